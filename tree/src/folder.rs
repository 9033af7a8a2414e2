//! Listing and removing by open folders, never by paths of the host.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::fail::Attempt;
use crate::markers::{OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::metadata::is_folder;
use crate::path;
use crate::resolve::Node;

/// Opens a folder for listing, though it may be an `O_PATH` descriptor.
pub(crate) fn open_listing(folder: BorrowedFd<'_>) -> rustix::io::Result<Dir> {
    Dir::new(Node::itself(folder).open(OFlags::RDONLY | OFlags::DIRECTORY)?)
}

/// Lets a caller without privilege into a folder of its own that forbids it, as long as this lives.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The folder, and the mode to put back; none where nothing was changed.
    changed: Option<(OwnedFd, Mode)>,
}

impl Permit {
    /// Permits the owner everything, where it was not permitted.
    pub(crate) fn hold(folder: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let caller = rustix::process::geteuid();
        if caller.is_root() {
            return Ok(Self { changed: None });
        }
        let stat = rustix::fs::fstat(folder)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        if mode.contains(Mode::RWXU) || stat.st_uid != caller.as_raw() {
            return Ok(Self { changed: None });
        }
        let held = rustix::io::fcntl_dupfd_cloexec(folder, 0)?;
        set_held_mode(held.as_fd(), mode | Mode::RWXU)?;
        Ok(Self { changed: Some((held, mode)) })
    }

    /// Leaves the rights as they are: the folder is about to get a mode anyway.
    pub(crate) fn forget(mut self) {
        self.changed = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((folder, mode)) = &self.changed
            && let Err(error) = set_held_mode(folder.as_fd(), *mode)
        {
            tracing::warn!(%error, "a folder keeps the rights that a walk needed");
        }
    }
}

/// An `O_PATH` descriptor takes no `fchmod(2)`; its link in /proc does.
fn set_held_mode(folder: BorrowedFd<'_>, mode: Mode) -> rustix::io::Result<()> {
    rustix::fs::chmod(format!("/proc/self/fd/{}", folder.as_raw_fd()), mode)
}

/// The names in a folder, unsorted, `.` and `..` left out.
///
/// # Errors
/// Those of `openat(2)` and `getdents64(2)`.
pub fn names(folder: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in open_listing(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    Ok(found)
}

/// The names in a folder, sorted bytewise.
///
/// # Errors
/// Those of [`names`].
pub fn sorted_names(folder: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut found = names(folder)?;
    found.sort_unstable();
    Ok(found)
}

/// The names that whiteouts in the OCI form hide in a folder.
pub(crate) fn whiteouts(folder: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    let all = names(folder)?.into_iter().filter(|name| name != OPAQUE_MARKER);
    Ok(all.filter_map(|name| name.strip_prefix(WHITEOUT_PREFIX).map(<[u8]>::to_vec)).collect())
}

/// How deep a walk goes: a layer's own limit (docs/limits.md). What is deeper than a layer can be is in none.
const DEEPEST_WALK: usize = 1024;

/// Refuses a folder that is too deep for a walk, which holds a descriptor and a piece of stack for each level.
pub(crate) fn check_depth(shown: &[u8]) -> DriverResult<()> {
    if shown.split(|byte| *byte == b'/').count() <= DEEPEST_WALK {
        return Ok(());
    }
    let reason = format!("more than {DEEPEST_WALK} folders in each other, which no layer can hold");
    Err(DriverError::new(ErrorKind::LimitExceeded, "walk", reason).at(path::display(shown)))
}

/// How deep a removal goes with one descriptor a level; folders below that are first moved up.
const DEEPEST: usize = 256;

/// Removes a node and all below it, on its own file system. Nothing there is removed already.
///
/// Goes down by open folders and follows nothing, whatever the depth. Folders of the caller's that forbid it are opened to it
/// first.
///
/// # Errors
/// The first failure; what was removed by then is gone.
pub fn remove_all(node: Node<'_>) -> DriverResult<()> {
    if unlink(node, node.name)? {
        return Ok(());
    }
    empty(node, node.name)?;
    remove_folder(node, node.name)
}

/// Removes all that a folder holds.
///
/// # Errors
/// As [`remove_all`].
pub fn empty(node: Node<'_>, shown: &[u8]) -> DriverResult<()> {
    let top = match node.open_folder() {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error).attempt("open to remove", shown),
    };
    if !rustix::process::geteuid().is_root() {
        set_held_mode(top.as_fd(), Mode::RWXU).attempt("permit removal", shown)?;
    }
    // What was moved up while the folder was emptied is in it afterwards.
    while !names(top.as_fd()).attempt("list to remove", shown)?.is_empty() {
        empty_below(top.as_fd(), top.as_fd(), shown, 0)?;
    }
    Ok(())
}

fn empty_below(folder: BorrowedFd<'_>, top: BorrowedFd<'_>, shown: &[u8], depth: usize) -> DriverResult<()> {
    if !rustix::process::geteuid().is_root() {
        set_held_mode(folder, Mode::RWXU).attempt("permit removal", shown)?;
    }
    for name in names(folder).attempt("list to remove", shown)? {
        let (node, below) = (Node { folder, name: &name }, path::join(shown, &name));
        if unlink(node, &below)? {
            continue;
        }
        if depth == DEEPEST {
            move_up(node, top).attempt("move up to remove", &below)?;
            continue;
        }
        let opened = node.open_folder().attempt("open to remove", &below)?;
        empty_below(opened.as_fd(), top, &below, depth + 1)?;
        remove_folder(node, &below)?;
    }
    Ok(())
}

/// Unlinks what is no folder; answers whether it is gone.
fn unlink(node: Node<'_>, shown: &[u8]) -> DriverResult<bool> {
    match rustix::fs::unlinkat(node.folder, node.name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(error) => match node.find().attempt("look up", shown)? {
            Some(stat) if is_folder(&stat) => Ok(false),
            _ => Err(error).attempt("remove", shown),
        },
    }
}

fn remove_folder(node: Node<'_>, shown: &[u8]) -> DriverResult<()> {
    match rustix::fs::unlinkat(node.folder, node.name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).attempt("remove folder", shown),
    }
}

/// Gives a folder a free name in another.
fn move_up(node: Node<'_>, top: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut number = 0_u32;
    loop {
        let name = format!(".deep-{number}");
        match rustix::fs::renameat_with(node.folder, node.name, top, name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => number += 1,
            other => return other,
        }
    }
}

/// Makes the folder `name` and opens it; one that is there is an error.
///
/// # Errors
/// Those of `mkdirat(2)`.
pub fn make(parent: BorrowedFd<'_>, name: &[u8], mode: u32) -> rustix::io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode))?;
    Node { folder: parent, name }.open_folder()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;
    use crate::resolve::open_root;

    #[test]
    fn a_tree_goes_and_what_its_links_point_to_stays() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(top.path().join("tree/a/b")).unwrap();
        std::fs::create_dir(top.path().join("kept")).unwrap();
        std::fs::write(top.path().join("kept/file"), "x").unwrap();
        std::os::unix::fs::symlink("../../kept", top.path().join("tree/a/link")).unwrap();
        let root = open_root(top.path()).unwrap();
        remove_all(Node::new(&root, b"tree")).unwrap();
        remove_all(Node::new(&root, b"tree")).unwrap();
        assert_eq!(names(root.as_fd()).unwrap(), vec![b"kept".to_vec()]);
        assert!(top.path().join("kept/file").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_descriptor_table_goes() {
        let top = tempfile::tempdir().unwrap();
        let root = open_root(top.path()).unwrap();
        let mut at = make(root.as_fd(), b"deep", 0o755).unwrap();
        for _ in 0..3_000 {
            at = make(at.as_fd(), b"d", 0o755).unwrap();
        }
        remove_all(Node::new(&root, b"deep")).unwrap();
        assert!(names(root.as_fd()).unwrap().is_empty());
    }
}
