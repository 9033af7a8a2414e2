//! The requests of `/dev/fuse` beside reading and writing (linux/fuse.h, Linux 6.18).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct fuse_backing_map`.
#[repr(C)]
struct BackingMap {
    fd: i32,
    flags: u32,
    padding: u64,
}

/// The raw requests.
mod raw {
    #![allow(missing_docs, reason = "the macros make public functions, which stay in here")]
    nix::ioctl_read!(device_clone, 229, 0, u32);
    nix::ioctl_write_ptr!(backing_open, 229, 1, super::BackingMap);
    nix::ioctl_write_ptr!(backing_close, 229, 2, u32);
}

/// Makes a newly opened device another channel of the session of `session`: requests are shared among the channels, answers
/// go where the request was read.
///
/// # Errors
/// Those of `ioctl(2)`.
pub fn join_session(device: BorrowedFd<'_>, session: BorrowedFd<'_>) -> io::Result<()> {
    let mut raw = u32::try_from(session.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the request reads one u32 at the pointer, which is valid for the call.
    unsafe { raw::device_clone(device.as_raw_fd(), &raw mut raw) }?;
    Ok(())
}

/// Registers a file that the kernel may read and write by itself for a session (Linux 6.9), and answers its number.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace; `ELOOP` for a file on a stacked file system.
pub fn open_backing(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<u32> {
    let map = BackingMap { fd: file.as_raw_fd(), flags: 0, padding: 0 };
    // SAFETY: the request reads one map at the pointer, which is valid for the call.
    let number = unsafe { raw::backing_open(device.as_raw_fd(), &raw const map) }?;
    u32::try_from(number).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Gives a number of [`open_backing`] back. Files opened through it stay open.
///
/// # Errors
/// `ENOENT` for a number that is not in use.
pub fn close_backing(device: BorrowedFd<'_>, number: u32) -> io::Result<()> {
    // SAFETY: the request reads one u32 at the pointer, which is valid for the call.
    unsafe { raw::backing_close(device.as_raw_fd(), &raw const number) }?;
    Ok(())
}
