//! Copies of single nodes: content, holes, owners, modes, attributes and nanoseconds.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::metadata::{Metadata, file_type, set_mode, set_modified, set_owner, times};
use crate::resolve::Node;
use crate::{file, xattr};

/// Which attributes a copy carries.
pub(crate) type Carries = fn(&[u8]) -> bool;

/// All but labels of this machine, which the kernel gives by itself.
pub(crate) fn all_but_labels(name: &[u8]) -> bool {
    name != b"security.selinux"
}

/// Copies anything but a folder to a free name.
///
/// # Errors
/// Those of the calls it makes.
pub(crate) fn copy_leaf(
    source: Node<'_>,
    target: Node<'_>,
    stat: &Stat,
    carries: Carries,
) -> std::io::Result<()> {
    match file_type(stat) {
        FileType::RegularFile => return copy_file(source, target, stat, carries),
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(source.folder, source.name, Vec::new())?;
            rustix::fs::symlinkat(link, target.folder, target.name)?;
        }
        kind => rustix::fs::mknodat(target.folder, target.name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?,
    }
    Ok(describe(source, target, stat, carries)?)
}

/// Copies a regular file to a free name, by descriptors: there are many of them.
fn copy_file(source: Node<'_>, target: Node<'_>, stat: &Stat, carries: Carries) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = file::open_readable(source)?;
    let made = rustix::fs::openat(target.folder, target.name, flags, Mode::RUSR | Mode::WUSR)?;
    file::copy_content(opened.as_fd(), made.as_fd(), size_bytes(stat))?;
    // Most have no attributes, and the kernel says so at once.
    if rustix::fs::flistxattr_query(&opened) != Ok(0) {
        return Ok(describe(source, target, stat, carries)?);
    }
    let metadata = Metadata::of(stat);
    let there = rustix::fs::fstat(&made)?;
    if (there.st_uid, there.st_gid) != (metadata.uid, metadata.gid) {
        permit_foreign(set_owner(target, metadata.uid, metadata.gid))?;
    }
    rustix::fs::fchmod(&made, Mode::from_raw_mode(metadata.mode))?;
    Ok(rustix::fs::futimens(&made, &times(metadata.modified))?)
}

/// Owners that the caller cannot give are left.
fn permit_foreign(answer: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match answer {
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
        other => other,
    }
}

fn size_bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Copies the content of a regular file into an empty one.
pub(crate) fn fill(source: Node<'_>, into: &OwnedFd, stat: &Stat) -> std::io::Result<()> {
    let opened = file::open_readable(source)?;
    file::copy_content(opened.as_fd(), into.as_fd(), size_bytes(stat))
}

/// Gives `target` the owner, mode, attributes and times of `source`.
pub(crate) fn describe(
    source: Node<'_>,
    target: Node<'_>,
    stat: &Stat,
    carries: Carries,
) -> rustix::io::Result<()> {
    let metadata = Metadata::of(stat);
    let there = target.stat()?;
    if (there.st_uid, there.st_gid) != (metadata.uid, metadata.gid) {
        permit_foreign(set_owner(target, metadata.uid, metadata.gid))?;
    }
    for (name, value) in xattr::read_all(source)? {
        if carries(&name) {
            match xattr::set(target, &name, &value) {
                // What the source's file system kept and this one, or this caller, cannot.
                Err(Errno::OPNOTSUPP | Errno::PERM) => {}
                other => other?,
            }
        }
    }
    // After the attributes, which a file that forbids its owner to write would not take.
    if file_type(stat) != FileType::Symlink {
        set_mode(target, metadata.mode)?;
    }
    set_modified(target, metadata.modified)
}
