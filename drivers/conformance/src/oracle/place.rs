//! Where the stores are that are led along the oracle.

use std::io;
use std::path::Path;

use rustix::fs::XattrFlags;
use tempfile::{Builder, TempDir};

/// Makes a temporary folder: in memory, where that keeps what a disk keeps. The cases of the table run on a disk; thousands of small trees
/// made and deleted there wait for ext4, which is wary of inodes freed in the last half minute (sixteen times slower, on Linux 6.18).
///
/// # Errors
/// Those of making the folder.
pub(super) fn temporary_folder() -> io::Result<TempDir> {
    let mut named = Builder::new();
    named.prefix("oracle-");
    match named.tempdir_in("/dev/shm") {
        Ok(folder) if keeps_attributes(folder.path()) => Ok(folder),
        _ => named.tempdir(),
    }
}

/// Whether files can have attributes of users: of a tmpfs since Linux 6.6.
fn keeps_attributes(folder: &Path) -> bool {
    rustix::fs::setxattr(folder, "user.probe", b"", XattrFlags::empty()).is_ok()
        && rustix::fs::removexattr(folder, "user.probe").is_ok()
}
