//! A union file system in user space, and the driver that mounts layers with it.
//!
//! [`Union`] shows layers as one tree, in the forms of the kernel's overlayfs. [`transport`] serves it over `/dev/fuse`. The
//! program `fuse-union` takes the options of fuse-overlayfs. [`FuseUnion`] keeps and mounts layers with it.

mod driver;
pub mod ids;
pub mod options;
pub mod request;
pub mod transport;
mod union;

pub use driver::{FuseUnion, Server};
pub use union::{OpenError, Union};
