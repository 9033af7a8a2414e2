//! Copies of nodes and of whole trees: content, holes, hard links, owners, modes, attributes and nanoseconds.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plywood_graphdriver::{DriverResult, Usage};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::fail::Attempt;
use crate::metadata::{Metadata, file_type, is_folder, set_mode, set_modified, set_owner};
use crate::resolve::{Node, open_folder};
use crate::{file, folder, path, xattr};

/// Which attributes a copy carries.
pub(crate) type Carries = fn(&[u8]) -> bool;

/// All but labels of this machine, which the kernel gives by itself.
pub(crate) fn all_but_labels(name: &[u8]) -> bool {
    name != b"security.selinux"
}

/// Copies all that is below one folder, and the folder's own metadata, into an empty one.
///
/// # Errors
/// The first failure, with its path in the tree; the copy is then incomplete.
pub fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> DriverResult<Usage> {
    let mut copying = Copying { to, linked: HashMap::new(), usage: Usage::default() };
    let stat = Node::itself(from).stat().attempt("look up", b"")?;
    copying.content(from, to, b"")?;
    describe(Node::itself(from), Node::itself(to), &stat, all_but_labels).attempt("copy metadata", b"")?;
    Ok(copying.usage)
}

struct Copying<'a> {
    to: BorrowedFd<'a>,
    /// Where the first name of an inode with several names was copied to.
    linked: HashMap<(u64, u64), Vec<u8>>,
    usage: Usage,
}

impl Copying<'_> {
    fn content(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, shown: &[u8]) -> DriverResult<()> {
        folder::check_depth(shown)?;
        let _permit = folder::Permit::hold(from).attempt("open", shown)?;
        for name in folder::names(from).attempt("list", shown)? {
            let (source, target) = (Node { folder: from, name: &name }, Node { folder: to, name: &name });
            let below = path::join(shown, &name);
            let stat = source.stat().attempt("look up", &below)?;
            if is_folder(&stat) {
                let inner = source.open_folder().attempt("open", &below)?;
                let made = folder::make(to, &name, 0o700).attempt("make folder", &below)?;
                self.content(inner.as_fd(), made.as_fd(), &below)?;
                describe(source, target, &stat, all_but_labels).attempt("copy metadata", &below)?;
                self.usage.inodes += 1;
            } else {
                self.leaf(source, target, &stat, &below)?;
            }
        }
        Ok(())
    }

    fn leaf(&mut self, source: Node<'_>, target: Node<'_>, stat: &Stat, shown: &[u8]) -> DriverResult<()> {
        if stat.st_nlink > 1 {
            if let Some(first) = self.linked.get(&(stat.st_dev, stat.st_ino)) {
                return link_from_root(self.to, first, target).attempt("copy hard link", shown);
            }
            self.linked.insert((stat.st_dev, stat.st_ino), shown.to_vec());
        }
        copy_leaf(source, target, stat, all_but_labels).attempt("copy", shown)?;
        self.usage.inodes += 1;
        if file_type(stat) == FileType::RegularFile {
            self.usage.size_bytes += u64::try_from(stat.st_size).unwrap_or_default();
        }
        Ok(())
    }
}

fn link_from_root(root: BorrowedFd<'_>, first: &[u8], target: Node<'_>) -> rustix::io::Result<()> {
    let (parent, name) = path::split(first).unwrap_or((b"", b"."));
    let parent = open_folder(root, parent)?;
    rustix::fs::linkat(&parent, name, target.folder, target.name, AtFlags::empty())
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
        FileType::RegularFile => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(target.folder, target.name, flags, Mode::RUSR | Mode::WUSR)?;
            fill(source, &made, stat)?;
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(source.folder, source.name, Vec::new())?;
            rustix::fs::symlinkat(link, target.folder, target.name)?;
        }
        kind => rustix::fs::mknodat(target.folder, target.name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?,
    }
    Ok(describe(source, target, stat, carries)?)
}

/// Copies the content of a regular file into an empty one.
pub(crate) fn fill(source: Node<'_>, into: &OwnedFd, stat: &Stat) -> std::io::Result<()> {
    let opened = file::open_readable(source)?;
    file::copy_content(opened.as_fd(), into.as_fd(), u64::try_from(stat.st_size).unwrap_or_default())
}

/// Gives `target` the owner, mode, attributes and times of `source`. Owners that the caller cannot give are left.
pub(crate) fn describe(
    source: Node<'_>,
    target: Node<'_>,
    stat: &Stat,
    carries: Carries,
) -> rustix::io::Result<()> {
    let metadata = Metadata::of(stat);
    let there = target.stat()?;
    if (there.st_uid, there.st_gid) != (metadata.uid, metadata.gid) {
        match set_owner(target, metadata.uid, metadata.gid) {
            Err(Errno::PERM) if !rustix::process::geteuid().is_root() => {}
            other => other?,
        }
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
