//! System calls that no crate wraps, and the few sequences of calls that several drivers need:
//! mounts through the new mount API, what the kernel says is mounted, and who the caller is. With the feature `isal` also the
//! one library that is called without a crate's safe interface.
//!
//! The one crate with `unsafe` code: each block does one operation and says why it is sound.

pub mod allocator;
pub mod backing;
pub mod daemon;
pub mod file_handle;
pub mod fuse_device;
pub mod identity;
#[cfg(feature = "isal")]
pub mod inflate;
pub mod mount;
mod mount_page;
mod mount_setattr;
pub mod mountinfo;
pub mod range_lock;
