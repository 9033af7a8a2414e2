//! Whether two layers, each as it is on the disk, are the same.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;

use plywood_archive::tar::Timestamp;
use plywood_graphdriver::DriverResult;
use rustix::fs::{FileType, Stat};

use crate::fail::Attempt;
use crate::metadata::{Metadata, file_type, is_folder, modified};
use crate::resolve::{Node, open_folder};
use crate::{file, folder, path, xattr};

/// What overlayfs writes for itself into an upper folder (Documentation/filesystems/overlayfs.rst): where a file was copied up from, that a folder
/// has such files, and which file system it is.
const BOOKKEEPING: [&[u8]; 6] = [
    b"trusted.overlay.impure",
    b"trusted.overlay.origin",
    b"trusted.overlay.uuid",
    b"user.overlay.impure",
    b"user.overlay.origin",
    b"user.overlay.uuid",
];

/// One of two layers that are compared.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The folder of its files.
    pub root: BorrowedFd<'a>,
    /// Since when it was written to: folders with younger times have them from that, and from no tar.
    pub made: SystemTime,
}

/// Compares two layers of one driver on the same parents: names, types, content, owners, modes, times, extended attributes, devices and
/// which names are one inode. Times of folders only count where they are older than the layer, and of whiteouts nothing but
/// that they are there.
///
/// # Errors
/// Those of reading the trees.
pub fn equal(one: Side<'_>, other: Side<'_>) -> DriverResult<bool> {
    Ok(first_difference(one, other)?.is_none())
}

/// As [`equal`], and answers where the first difference is: a path in the layer, empty for its root; `None` where there is none.
///
/// # Errors
/// Those of reading the trees.
pub fn first_difference(one: Side<'_>, other: Side<'_>) -> DriverResult<Option<Vec<u8>>> {
    let since = |made: SystemTime| {
        let since = made.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // The clock that stamps files ticks more coarsely than the other, by up to 10 ms (CONFIG_HZ=100).
        let since = since.saturating_sub(std::time::Duration::from_millis(20));
        Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos(),
        }
    };
    let mut comparison = Comparison {
        since: since(one.made),
        other_since: since(other.made),
        linked: HashMap::new(),
        linked_back: HashMap::new(),
        differs: None,
    };
    let (root, other_root) = (Node::itself(one.root), Node::itself(other.root));
    let (stat, other_stat) =
        (root.stat().attempt("look up", b"")?, other_root.stat().attempt("look up", b"")?);
    let alike = comparison.folders_alike(root, &stat, other_root, &other_stat).attempt("compare", b"")?
        && comparison.content(one.root, other.root, b"")?;
    Ok((!alike).then(|| comparison.differs.unwrap_or_default()))
}

/// An inode.
type Inode = (u64, u64);

struct Comparison {
    since: Timestamp,
    other_since: Timestamp,
    /// Inodes with several names, and what each is in the other tree.
    linked: HashMap<Inode, Inode>,
    linked_back: HashMap<Inode, Inode>,
    /// Where the first difference is.
    differs: Option<Vec<u8>>,
}

impl Comparison {
    fn content(&mut self, one: BorrowedFd<'_>, other: BorrowedFd<'_>, shown: &[u8]) -> DriverResult<bool> {
        folder::check_depth(shown)?;
        let (held, other_held) =
            (open_folder(one, b"").attempt("open", shown)?, open_folder(other, b"").attempt("open", shown)?);
        let _permit = folder::Permit::hold(held.as_fd()).attempt("open", shown)?;
        let _other_permit = folder::Permit::hold(other_held.as_fd()).attempt("open", shown)?;
        let names = folder::sorted_names(held.as_fd()).attempt("list", shown)?;
        let other_names = folder::sorted_names(other_held.as_fd()).attempt("list", shown)?;
        if names != other_names {
            let lacks = |names: &[Vec<u8>], name: &&Vec<u8>| names.binary_search(*name).is_err();
            let more = names.iter().find(|name| lacks(&other_names, name));
            let odd = more.or_else(|| other_names.iter().find(|name| lacks(&names, name)));
            self.differs.get_or_insert_with(|| odd.map_or_else(Vec::new, |name| path::join(shown, name)));
            return Ok(false);
        }
        for name in names {
            let at = path::join(shown, &name);
            if !self.alike(Node::new(&held, &name), Node::new(&other_held, &name), &at)? {
                self.differs.get_or_insert(at);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn alike(&mut self, one: Node<'_>, other: Node<'_>, at: &[u8]) -> DriverResult<bool> {
        let (stat, other_stat) = (one.stat().attempt("look up", at)?, other.stat().attempt("look up", at)?);
        if file_type(&stat) != file_type(&other_stat) || stat.st_rdev != other_stat.st_rdev {
            return Ok(false);
        }
        if is_folder(&stat) {
            if !self.folders_alike(one, &stat, other, &other_stat).attempt("compare", at)? {
                return Ok(false);
            }
            let inner = one.open_folder().attempt("open", at)?;
            let other_inner = other.open_folder().attempt("open", at)?;
            return self.content(inner.as_fd(), other_inner.as_fd(), at);
        }
        // A whiteout; overlayfs may give several of them one inode.
        if file_type(&stat) == FileType::CharacterDevice && stat.st_rdev == 0 {
            return Ok(true);
        }
        if Metadata::of(&stat) != Metadata::of(&other_stat)
            || stat.st_size != other_stat.st_size
            || !self.links_alike(&stat, &other_stat)
        {
            return Ok(false);
        }
        Ok(xattrs_alike(one, other).attempt("read extended attributes", at)?
            && content_alike(one, other, &stat).attempt("compare", at)?)
    }

    fn folders_alike(
        &self,
        one: Node<'_>,
        stat: &Stat,
        other: Node<'_>,
        other_stat: &Stat,
    ) -> rustix::io::Result<bool> {
        let (mine, theirs) = (Metadata::of(stat), Metadata::of(other_stat));
        let written = modified(stat) >= self.since && modified(other_stat) >= self.other_since;
        let theirs = if written { Metadata { modified: mine.modified, ..theirs } } else { theirs };
        Ok(mine == theirs && xattrs_alike(one, other)?)
    }

    /// Whether the inodes, where they have several names, are the same pair as before.
    fn links_alike(&mut self, stat: &Stat, other: &Stat) -> bool {
        if stat.st_nlink != other.st_nlink {
            return false;
        }
        if stat.st_nlink == 1 {
            return true;
        }
        let (inode, other) = ((stat.st_dev, stat.st_ino), (other.st_dev, other.st_ino));
        *self.linked.entry(inode).or_insert(other) == other
            && *self.linked_back.entry(other).or_insert(inode) == inode
    }
}

fn xattrs_alike(one: Node<'_>, other: Node<'_>) -> rustix::io::Result<bool> {
    let told = |node| -> rustix::io::Result<Vec<xattr::Xattr>> {
        let mut all = xattr::read_all(node)?;
        all.retain(|(name, _)| !BOOKKEEPING.contains(&name.as_slice()));
        Ok(all)
    };
    Ok(told(one)? == told(other)?)
}

fn content_alike(one: Node<'_>, other: Node<'_>, stat: &Stat) -> std::io::Result<bool> {
    match file_type(stat) {
        FileType::RegularFile => {
            let (one, other) = (file::open_readable(one)?, file::open_readable(other)?);
            file::same_content(&one, &other)
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(one.folder, one.name, Vec::new())?;
            Ok(target == rustix::fs::readlinkat(other.folder, other.name, Vec::new())?)
        }
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    #![allow(clippy::disallowed_methods, reason = "tests make trees by paths of their own")]
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn tree(folder: &Path) {
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(folder.join("a/file"), "content").unwrap();
        fs::hard_link(folder.join("a/file"), folder.join("a/link")).unwrap();
        symlink("file", folder.join("a/symlink")).unwrap();
        for name in ["a/file", "a/symlink"] {
            let time = Timestamp { seconds: 1_000, nanoseconds: 5 };
            let parent = open_folder(fs::File::open(folder).unwrap().as_fd(), b"").unwrap();
            crate::metadata::set_modified(Node::new(&parent, name.as_bytes()), time).unwrap();
        }
    }

    fn compared(change: impl FnOnce(&Path)) -> bool {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = SystemTime::now();
        tree(one.path());
        tree(other.path());
        change(other.path());
        let (one, other) = (fs::File::open(one.path()).unwrap(), fs::File::open(other.path()).unwrap());
        equal(Side { root: one.as_fd(), made }, Side { root: other.as_fd(), made }).unwrap()
    }

    fn set_time(path: &Path, seconds: u64) {
        let file = fs::File::open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn equal_trees_are_equal_and_every_difference_is_seen() {
        assert!(compared(|_| {}));
        assert!(!compared(|other| fs::write(other.join("new"), "").unwrap()));
        assert!(!compared(|other| fs::remove_file(other.join("a/symlink")).unwrap()));
        assert!(!compared(|other| set_time(&other.join("a/file"), 1_000)));
        assert!(!compared(|other| set_time(&other.join("a/b"), 1_000)), "a folder with a time of a tar");
        assert!(!compared(|other| {
            fs::set_permissions(other.join("a/b"), fs::Permissions::from_mode(0o700)).unwrap();
        }));
        assert!(!compared(|other| {
            fs::write(other.join("a/file"), "c0ntent").unwrap();
            let parent = fs::File::open(other).unwrap();
            let parent = open_folder(parent.as_fd(), b"").unwrap();
            let time = Timestamp { seconds: 1_000, nanoseconds: 5 };
            crate::metadata::set_modified(Node::new(&parent, b"a/file"), time).unwrap();
        }));
        assert!(!compared(|other| {
            fs::remove_file(other.join("a/link")).unwrap();
            fs::copy(other.join("a/file"), other.join("a/link")).unwrap();
        }));
        assert!(!compared(|other| {
            let root = fs::File::open(other).unwrap();
            let root = open_folder(root.as_fd(), b"").unwrap();
            xattr::set(Node::new(&root, b"a"), b"user.x", b"1").unwrap();
        }));
    }
}
