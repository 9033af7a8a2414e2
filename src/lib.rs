//! Plywood: a container layer store.
//!
//! The library that an engine written in Rust embeds; the program `plywood` is a thin layer over it. It opens a store
//! with the best driver that the machine offers and hands out the [`Store`], which does everything else:
//!
//! ```no_run
//! use plywood::{MountRequest, MountTarget, OpenOptions, Platform, Plywood, PullOptions};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let plywood = Plywood::open(OpenOptions { root: Some("/var/lib/engine".into()), ..OpenOptions::default() })?;
//!     let options = PullOptions { name: Some("app:1".parse()?), platform: Platform::host() };
//!     plywood::pull(&plywood, &"oci:layout:app".parse()?, &options, &())?;
//!     let container = plywood.create_container(Some("app:1"), None)?;
//!     plywood.mount(MountTarget::Container(&container.id), &MountRequest::read_write(), None)?;
//!     Ok(())
//! }
//! ```
//!
//! Everything is synchronous and safe to call from any thread and any number of processes; an asynchronous engine calls
//! it from its blocking pool. The crates below are re-exported whole: [`archive`], [`driver`], [`graph`] and [`image`].

mod drivers;
mod error;
mod open;
mod root;
mod view;

/// Tar bytes, compression and digests.
pub use plywood_archive as archive;
/// The store: layers, images, containers.
pub use plywood_graph as graph;
/// The vocabulary of storage drivers.
pub use plywood_graphdriver as driver;
/// Image formats.
pub use plywood_image as image;

pub use drivers::{DriverChoice, UnknownDriver, driver_names};
pub use error::OpenError;
pub use open::{OpenOptions, Plywood};
pub use plywood_archive::compression::{Compression, ExpansionLimit};
pub use plywood_archive::digest::Digest;
pub use plywood_graph::{
    ContainerRecord, Durability, Event, GraphError, ImageRecord, Imported, LayerRecord, LayerState,
    MountRecord, MountTarget, Progress, Reference, Store,
};
pub use plywood_graphdriver::{
    Access, Capabilities, Change, ChangeKind, DriverError, ErrorKind, LayerId, Limits, MountRequest,
    Ownership, Skipped, Usage,
};
pub use plywood_image::{
    CommitOptions, ImageError, Location, Platform, PullOptions, PushOptions, commit, load, pull, push, save,
};
pub use plywood_sys::identity::Privilege;
pub use root::{default_root, default_root_for};
pub use view::{View, ViewTarget};
