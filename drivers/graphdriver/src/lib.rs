//! The vocabulary of Plywood's storage drivers.
//!
//! A driver keeps *layers*: trees of files that stand on a chain of parents. The [`GraphDriver`]
//! trait is all that the graph store knows of a driver, and the types here are all that the two
//! say to each other. This crate does no work of its own.

mod apply;
mod capabilities;
mod change;
mod driver;
mod error;
mod id;
mod mount;
mod status;

pub use apply::{Applied, ApplyOptions, Limits, Ownership, Skipped};
pub use capabilities::Capabilities;
pub use change::{Change, ChangeKind};
pub use driver::{Access, Contents, GraphDriver, Resettle};
pub use error::{DriverError, DriverResult, ErrorKind};
pub use id::{InvalidLayerId, LayerId, LayerRef};
pub use mount::{MountRequest, MountSpec, Mounted, Teardown};
pub use status::{DriverStatus, Usage};
