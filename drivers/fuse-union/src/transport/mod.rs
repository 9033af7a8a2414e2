//! Requests of the kernel over `/dev/fuse`, decoded and answered.
//!
//! The layouts come from the crate `fuse-abi`. No crate that also serves the protocol knows `FUSE_TMPFILE`, `FUSE_STATX` and the
//! flags by which the kernel asks to clear set-id bits (docs/adr/0012-own-fuse-transport.md).

mod device;
mod dispatch;
mod folder_buffer;
mod mounting;
mod negotiate;
mod reply;
mod session;
mod wire;

pub use mounting::{MountError, MountOptions, Mounter, mount, unmount};
pub use session::{Session, Unmounted};
