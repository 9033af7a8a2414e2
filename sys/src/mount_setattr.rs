//! `mount_setattr(2)`, Linux 5.12.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sets the attributes `set` (of `MOUNT_ATTR_*`) on the mount that `mount` refers to.
///
/// # Errors
/// Those of `mount_setattr(2)`.
pub(crate) fn set(mount: impl AsFd, set: u64) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the empty path is a NUL-terminated literal, `attributes` outlives the call and its true size is passed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
