//! Files, links and devices: made under a name of their own and renamed, so that they replace what is there whole and
//! no link is followed.

use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use plywood::Skipped;
use plywood::archive::tar::{Entry, Kind, Segment, TarReader};
use plywood_tree::metadata::{set_modified, set_owner, times};
use plywood_tree::resolve::Node;
use plywood_tree::xattr::{Verdict, judge};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

/// An entry and what it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) mode: u32,
    /// Attributes of the system too, not only `user.*`.
    pub(crate) all_xattrs: bool,
}

/// Puts a leaf in the place of whatever has the name; that is no folder.
pub(crate) fn place<R: BufRead>(
    leaf: Leaf<'_>,
    node: Node<'_>,
    tar: &mut TarReader<R, ()>,
    skipped: &mut Skipped,
) -> anyhow::Result<()> {
    let temporary = temporary_name();
    let aside = Node { folder: node.folder, name: &temporary };
    let made = match &leaf.entry.kind {
        Kind::Regular => regular(leaf, aside, tar, skipped),
        Kind::Symlink { target } => symlink(leaf, target, aside),
        Kind::CharDevice { major, minor } => device(leaf, FileType::CharacterDevice, (*major, *minor), aside),
        Kind::BlockDevice { major, minor } => device(leaf, FileType::BlockDevice, (*major, *minor), aside),
        Kind::Fifo => device(leaf, FileType::Fifo, (0, 0), aside),
        Kind::Directory | Kind::HardLink { .. } => return Ok(()),
    };
    match made {
        Ok(()) => replace(aside, node),
        Err(error) if is_device(&leaf.entry.kind) && error.kind() == io::ErrorKind::PermissionDenied => {
            skipped.devices += 1;
            Ok(())
        }
        Err(error) => {
            clear(aside);
            Err(error.into())
        }
    }
}

/// Gives what `target` names a further name.
pub(crate) fn link(target: Node<'_>, node: Node<'_>) -> anyhow::Result<()> {
    let temporary = temporary_name();
    let aside = Node { folder: node.folder, name: &temporary };
    rustix::fs::linkat(target.folder, target.name, aside.folder, aside.name, AtFlags::empty())
        .map_err(io::Error::from)?;
    replace(aside, node)
}

fn replace(aside: Node<'_>, node: Node<'_>) -> anyhow::Result<()> {
    let renamed = rustix::fs::renameat(aside.folder, aside.name, node.folder, node.name);
    // Also after success: a rename of one name of a file onto another does nothing (rename(2)).
    clear(aside);
    Ok(renamed.map_err(io::Error::from)?)
}

fn clear(aside: Node<'_>) {
    match rustix::fs::unlinkat(aside.folder, aside.name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => {
            tracing::warn!(%error, name = %String::from_utf8_lossy(aside.name), "a file was left behind");
        }
    }
}

/// A name that nothing else has: of this process, and counted.
fn temporary_name() -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".plywood-cp-{}-{count}", std::process::id()).into_bytes()
}

fn is_device(kind: &Kind) -> bool {
    matches!(kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. })
}

fn regular<R: BufRead>(
    leaf: Leaf<'_>,
    aside: Node<'_>,
    tar: &mut TarReader<R, ()>,
    skipped: &mut Skipped,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(aside.folder, aside.name, flags, Mode::RUSR | Mode::WUSR)?;
    let file = File::from(made);
    let whole = [Segment { offset: 0, length: leaf.entry.size_bytes }];
    for segment in leaf.entry.sparse.as_deref().unwrap_or(&whole) {
        write_segment(&file, segment, tar)?;
    }
    // Holes at the end too.
    file.set_len(leaf.entry.size_bytes)?;
    let made = OwnedFd::from(file);
    own(&made, leaf.owner)?;
    set_xattrs(&made, leaf, skipped)?;
    // After the owner, which takes set-user-id bits away.
    rustix::fs::fchmod(&made, Mode::from_raw_mode(leaf.mode))?;
    Ok(rustix::fs::futimens(&made, &times(leaf.entry.modified))?)
}

fn write_segment<R: BufRead>(file: &File, segment: &Segment, tar: &mut TarReader<R, ()>) -> io::Result<()> {
    let (mut offset, end) = (segment.offset, segment.offset + segment.length);
    while offset < end {
        let payload = tar.payload().map_err(io::Error::other)?;
        if payload.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = payload.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        file.write_all_at(&payload[..length], offset)?;
        tar.consume(length);
        offset += length as u64;
    }
    Ok(())
}

fn symlink(leaf: Leaf<'_>, target: &[u8], aside: Node<'_>) -> io::Result<()> {
    rustix::fs::symlinkat(target, aside.folder, aside.name)?;
    own_node(aside, leaf.owner)?;
    Ok(set_modified(aside, leaf.entry.modified)?)
}

fn device(leaf: Leaf<'_>, kind: FileType, (major, minor): (u32, u32), aside: Node<'_>) -> io::Result<()> {
    let number = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(aside.folder, aside.name, kind, Mode::RUSR | Mode::WUSR, number)?;
    own_node(aside, leaf.owner)?;
    // By its descriptor: a link put in its place meanwhile would be followed by its name.
    let held = aside.open(OFlags::PATH)?;
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    rustix::fs::chmod(path, Mode::from_raw_mode(leaf.mode))?;
    Ok(set_modified(aside, leaf.entry.modified)?)
}

/// Gives an open file or folder to its owner.
pub(crate) fn own(opened: &OwnedFd, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    Ok(rustix::fs::fchown(opened.as_fd(), Some(uid), Some(gid))?)
}

fn own_node(node: Node<'_>, owner: Option<(u32, u32)>) -> io::Result<()> {
    owner.map_or(Ok(()), |(uid, gid)| Ok(set_owner(node, uid, gid)?))
}

/// Sets the attributes; those that cannot be kept are counted.
pub(crate) fn set_xattrs(opened: &OwnedFd, leaf: Leaf<'_>, skipped: &mut Skipped) -> io::Result<()> {
    for (name, value) in &leaf.entry.xattrs {
        if !leaf.all_xattrs && !name.starts_with(b"user.") {
            continue;
        }
        let name = match judge(name, value, false) {
            Verdict::Keep(name) => name,
            Verdict::Drop => continue,
            Verdict::Refuse(reason) => return Err(io::Error::new(io::ErrorKind::InvalidData, reason)),
        };
        match rustix::fs::fsetxattr(opened, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::OPNOTSUPP) => skipped.xattrs += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
