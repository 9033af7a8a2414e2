//! `name_to_handle_at(2)`: what tells a file from all others of its file system, whatever its names.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The longest handle that a file system makes, in bytes (`MAX_HANDLE_SZ`, linux/fs.h).
const LONGEST: u32 = 128;

/// A file's handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHandle {
    /// How the bytes are laid out (`enum fid_type`, linux/exportfs.h).
    pub kind: i32,
    /// The handle; only the file system knows what is in it.
    pub bytes: Vec<u8>,
}

/// `struct file_handle` with room for any handle.
#[repr(C)]
struct Raw {
    bytes: u32,
    kind: i32,
    handle: [u8; LONGEST as usize],
}

/// The handle of `name` in an open folder, not following a link.
///
/// # Errors
/// `EOPNOTSUPP` where the file system has none; those of looking the name up.
pub fn of(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<FileHandle> {
    let mut raw = Raw { bytes: LONGEST, kind: 0, handle: [0; LONGEST as usize] };
    let mut mount_id = 0_i32;
    // SAFETY: the name ends in NUL, `raw` says its true room, and all pointers are valid for the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            folder.as_raw_fd(),
            name.as_ptr(),
            &raw mut raw,
            &raw mut mount_id,
            0,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = raw.bytes.min(LONGEST) as usize;
    Ok(FileHandle { kind: raw.kind, bytes: raw.handle[..length].to_vec() })
}

/// `struct fsuuid2`.
#[repr(C)]
struct Uuid {
    length: u8,
    bytes: [u8; 16],
}

/// The raw request; what is public of it is [`super::file_system_uuid`].
mod raw {
    #![allow(missing_docs, reason = "the macro makes public functions, which stay in here")]
    nix::ioctl_read!(get_uuid, 0x15, 0, super::Uuid);
}

/// The UUID of the file system that an open file is on (`FS_IOC_GETFSUUID`, Linux 6.9).
///
/// # Errors
/// `ENOTTY` where it has none, or the kernel does not tell.
pub fn file_system_uuid(file: BorrowedFd<'_>) -> io::Result<[u8; 16]> {
    let mut uuid = Uuid { length: 0, bytes: [0; 16] };
    // SAFETY: the request writes one struct at the pointer, which is valid for the call.
    unsafe { raw::get_uuid(file.as_raw_fd(), &raw mut uuid) }?;
    if uuid.length == 16 { Ok(uuid.bytes) } else { Err(io::ErrorKind::Unsupported.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn two_files_have_two_handles_and_a_link_has_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let opened = rustix::fs::open(folder.path(), rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
        let opened = opened.unwrap();
        for name in ["one", "two"] {
            let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::RDWR;
            rustix::fs::openat(&opened, name, flags, rustix::fs::Mode::RWXU).unwrap();
        }
        rustix::fs::linkat(&opened, "one", &opened, "link", rustix::fs::AtFlags::empty()).unwrap();
        let handle = |name| of(opened.as_fd(), name).unwrap();
        assert_eq!(handle(c"one"), handle(c"link"));
        assert_ne!(handle(c"one"), handle(c"two"));
    }
}
