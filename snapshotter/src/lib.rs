//! containerd's Snapshots service over a Plywood store.
//!
//! containerd loads it as a proxy plugin of the type `snapshot`: it asks for snapshots over a unix socket, mounts what it is told by itself, writes
//! into it, and says when a snapshot is done. All state is in the graph store; this crate translates, and everything asynchronous stays
//! in it.

mod convert;
mod error;
mod filter;
mod id_mapping;
mod metrics;
mod removal;
mod server;
mod service;
mod socket;
mod status;
mod update;
mod write_back;

/// The interface as it is on the wire, and its client; generated from `proto/`.
pub mod proto {
    #![allow(clippy::all, clippy::pedantic, missing_docs, reason = "generated")]

    /// `containerd.types`
    pub mod types {
        tonic::include_proto!("containerd.types");
    }

    /// `containerd.services`
    pub mod services {
        /// `containerd.services.snapshots`
        pub mod snapshots {
            /// `containerd.services.snapshots.v1`
            pub mod v1 {
                tonic::include_proto!("containerd.services.snapshots.v1");
            }
        }
    }

    pub use services::snapshots::v1 as snapshots;
}

pub use error::ServeError;
pub use filter::{Filter, FilterError, Selected};
pub use server::{ServeOptions, serve, serve_until};
pub use socket::SocketOptions;
