//! The path primitive: every name that came from outside is opened here.
//!
//! A parent is opened with `openat2(2)` below a root that it cannot leave; the last component is used with a
//! `*at` call that does not follow links. Joining a foreign name onto a path of the host is a bug, wherever it is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use plywood_graphdriver::{DriverError, DriverResult};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::fail::Attempt;
use crate::folder::Permit;
use crate::path;

/// How many times an open is tried again that a rename elsewhere in the tree disturbed (`EAGAIN`, openat2(2)).
const DISTURBED_TRIES: usize = 128;

/// Opens the folder that is the root of a layer, or of whatever else names are to be confined to.
///
/// `folder` is the program's own path, not one from outside.
///
/// # Errors
/// Those of `open(2)`.
pub fn open_root(folder: &Path) -> DriverResult<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty())
        .map_err(|error| DriverError::system("open folder", error).at(folder))
}

/// Opens `cleaned` below `root`. Links on the way are followed inside the root; a link at the end is followed unless
/// `flags` hold `NOFOLLOW`.
///
/// # Errors
/// Those of `openat2(2)`.
pub fn open_in_root(root: BorrowedFd<'_>, cleaned: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    openat2(root, cleaned, flags, confined)
}

/// Opens `cleaned` below `root`, where no component, the last included, is a link.
///
/// # Errors
/// `ELOOP` for a link; those of `openat2(2)`.
pub fn open_beneath(root: BorrowedFd<'_>, cleaned: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let confined = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    openat2(root, cleaned, flags, confined)
}

fn openat2(
    root: BorrowedFd<'_>,
    cleaned: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let name = if cleaned.is_empty() { b"." } else { cleaned };
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(root, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < DISTURBED_TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// Opens a folder for its names to be used in `*at` calls, no component being a link.
///
/// # Errors
/// `ELOOP` or `ENOTDIR` for anything else than a folder; those of `openat2(2)`.
pub fn open_folder(root: BorrowedFd<'_>, cleaned: &[u8]) -> rustix::io::Result<OwnedFd> {
    match open_beneath(root, cleaned, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
        Err(Errno::ACCESS) => open_forbidden_folder(root, cleaned),
        other => other,
    }
}

/// Goes down folder by folder, each of which the caller may own and have to permit itself first.
fn open_forbidden_folder(root: BorrowedFd<'_>, cleaned: &[u8]) -> rustix::io::Result<OwnedFd> {
    let mut at = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    for component in path::components(cleaned) {
        let permit = Permit::hold(at.as_fd())?;
        let inner = Node::new(&at, &component).open_folder()?;
        drop(permit);
        at = inner;
    }
    Ok(at)
}

/// One name in an open folder: what `*at` calls take. The name is a single component, or `.`.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The folder.
    pub folder: BorrowedFd<'a>,
    /// The component.
    pub name: &'a [u8],
}

impl<'a> Node<'a> {
    /// Names a component of an open folder.
    #[must_use]
    pub fn new(folder: &'a OwnedFd, name: &'a [u8]) -> Self {
        Self { folder: folder.as_fd(), name }
    }

    /// The folder itself.
    #[must_use]
    pub fn itself(folder: BorrowedFd<'a>) -> Self {
        Self { folder, name: b"." }
    }

    /// What the name stands for, not following it.
    ///
    /// # Errors
    /// Those of `fstatat(2)`.
    pub fn stat(self) -> rustix::io::Result<Stat> {
        rustix::fs::statat(self.folder, self.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// What the name stands for, or `None` where nothing has it.
    ///
    /// # Errors
    /// Those of `fstatat(2)`, `ENOENT` aside.
    pub fn find(self) -> rustix::io::Result<Option<Stat>> {
        match self.stat() {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens it, not following a link.
    ///
    /// # Errors
    /// Those of `openat(2)`.
    pub fn open(self, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(self.folder, self.name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    /// Opens it as a folder whose names can be used.
    ///
    /// # Errors
    /// Those of `openat(2)`.
    pub fn open_folder(self) -> rustix::io::Result<OwnedFd> {
        self.open(OFlags::PATH | OFlags::DIRECTORY)
    }
}

/// The stat of `cleaned` below `root`, where no component is a link but perhaps the last; `None` where it is not there.
///
/// # Errors
/// Those of `openat2(2)`.
pub fn find(root: BorrowedFd<'_>, cleaned: &[u8]) -> DriverResult<Option<Stat>> {
    let Some((parent, name)) = path::split(cleaned) else {
        return Node::itself(root).find().attempt("look up", cleaned);
    };
    match open_folder(root, parent) {
        Ok(folder) => Node::new(&folder, name).find().attempt("look up", cleaned),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error).attempt("look up", cleaned),
    }
}
