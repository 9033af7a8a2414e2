//! Owner, mode and times of a node: read, compared and set.

use plywood_archive::tar::Timestamp;
use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid};

use crate::resolve::Node;

/// What a node is, as far as a layer tells: all of its stat but the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits, set-id bits and the sticky bit.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The time of the last change of content.
    pub modified: Timestamp,
}

impl Metadata {
    /// Reads it out of a stat.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        Self { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, modified: modified(stat) }
    }

    /// What a folder gets that nothing describes: 0755, owned by root, from the epoch, so that the same layer always
    /// gives the same tree.
    #[must_use]
    pub fn implied_folder() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, modified: Timestamp { seconds: 0, nanoseconds: 0 } }
    }
}

/// The modification time in a stat.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the kernel keeps nanoseconds below 10^9"
)]
pub fn modified(stat: &Stat) -> Timestamp {
    Timestamp { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }
}

/// The type in a stat.
#[must_use]
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether the stat is that of a folder.
#[must_use]
pub fn is_folder(stat: &Stat) -> bool {
    file_type(stat) == FileType::Directory
}

/// Sets the modification time of a node, not following a link, and leaves its access time.
///
/// # Errors
/// Those of `utimensat(2)`.
pub fn set_modified(node: Node<'_>, modified: Timestamp) -> rustix::io::Result<()> {
    rustix::fs::utimensat(node.folder, node.name, &times(modified), AtFlags::SYMLINK_NOFOLLOW)
}

/// The argument of `utimensat(2)` and `futimens(3)` that sets the modification time alone.
#[must_use]
pub fn times(modified: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: i64::from(modified.nanoseconds) },
    }
}

/// Gives a node to an owner, not following a link.
///
/// # Errors
/// Those of `fchownat(2)`.
pub fn set_owner(node: Node<'_>, uid: u32, gid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(node.folder, node.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// Sets the mode of a node that is known not to be a link: Linux has no `fchmodat(2)` that does not follow before 6.6.
///
/// # Errors
/// Those of `fchmodat(2)`.
pub fn set_mode(node: Node<'_>, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::chmodat(node.folder, node.name, Mode::from_raw_mode(mode), AtFlags::empty())
}

/// The time of the last change of a node's status, in a stat.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the kernel keeps nanoseconds below 10^9"
)]
pub fn status_changed(stat: &Stat) -> Timestamp {
    Timestamp { seconds: stat.st_ctime, nanoseconds: stat.st_ctime_nsec as u32 }
}
