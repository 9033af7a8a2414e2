//! Mounts of our own, attached nowhere, through which layers are reached: what else is mounted below them, this union perhaps, is not seen.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::OpenTreeFlags;

use super::layers::{OpenError, Writable};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The mounts, for as long as the layers are used.
pub(super) struct OwnMounts {
    /// The deepest folder that holds all layers, and its mount.
    shared: Option<(PathBuf, OwnedFd)>,
    /// Mounts of single folders that are on another mount than that.
    single: Vec<OwnedFd>,
}

impl OwnMounts {
    /// Makes one for all that are on it: the kernel takes a grace period to let go of each, which would add up with many layers.
    pub(super) fn new<'a>(folders: impl Iterator<Item = &'a Path>) -> Self {
        let paths = folders.filter_map(|folder| real_path("layer's", folder).ok());
        let common = paths.reduce(|one, other| {
            let pairs = one.components().zip(other.components());
            pairs.take_while(|(one, other)| one == other).map(|(one, _)| one).collect()
        });
        let shared = common.and_then(|common| Some((clone_mount(&common)?, common)));
        Self { shared: shared.map(|(mount, common)| (common, mount)), single: Vec::new() }
    }

    /// Opens a folder, through a mount of our own where we may make one.
    pub(super) fn open(&mut self, role: &'static str, path: &Path) -> Result<OwnedFd, OpenError> {
        let failed = |cause| OpenError::Folder { role, path: path.to_owned(), cause };
        if let Some(opened) = self.open_shared(&real_path(role, path)?) {
            return Ok(opened);
        }
        if let Some(mount) = clone_mount(path) {
            let opened = rustix::fs::openat(&mount, ".", FOLDER, Mode::empty()).map_err(failed)?;
            self.single.push(mount);
            return Ok(opened);
        }
        rustix::fs::open(path, FOLDER, Mode::empty()).map_err(failed)
    }

    /// Opens the upper and the work folder, through one mount: names cannot be moved from one mount to another.
    pub(super) fn open_writable(&mut self, upper: &Path, work: &Path) -> Result<Writable, OpenError> {
        let (real_upper, real_work) = (real_path("upper", upper)?, real_path("work", work)?);
        if real_work.starts_with(&real_upper) || real_upper.starts_with(&real_work) {
            return Err(OpenError::WorkInUpper { path: work.to_owned() });
        }
        if let (Some(upper), Some(work)) = (self.open_shared(&real_upper), self.open_shared(&real_work)) {
            return Ok(Writable { upper, work });
        }
        let mut both = Self::new([upper, work].into_iter());
        if let (Some(upper), Some(work)) = (both.open_shared(&real_upper), both.open_shared(&real_work)) {
            self.single.extend(both.shared.map(|(_, mount)| mount));
            return Ok(Writable { upper, work });
        }
        both.shared = None;
        let plain = |path: &Path, role| {
            rustix::fs::open(path, FOLDER, Mode::empty()).map_err(|cause| OpenError::Folder {
                role,
                path: path.to_owned(),
                cause,
            })
        };
        Ok(Writable { upper: plain(upper, "upper")?, work: plain(work, "work")? })
    }

    /// Opens a folder through the one mount, if it is on it.
    fn open_shared(&self, real_path: &Path) -> Option<OwnedFd> {
        let (base, mount) = self.shared.as_ref()?;
        let below = real_path.strip_prefix(base).ok()?;
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::BENEATH;
        let opened = rustix::fs::openat2(mount, below, FOLDER, Mode::empty(), resolve).ok()?;
        // Another file system may be mounted on the way, which this mount of our own does not have.
        let (one, other) = (rustix::fs::fstat(&opened).ok()?, rustix::fs::stat(real_path).ok()?);
        ((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)).then_some(opened)
    }
}

/// The path without links.
fn real_path(role: &'static str, path: &Path) -> Result<PathBuf, OpenError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|opened| rustix::fs::readlink(format!("/proc/self/fd/{}", opened.as_raw_fd()), Vec::new()))
        .map(|real| PathBuf::from(OsString::from_vec(real.into_bytes())))
        .map_err(|cause| OpenError::Folder { role, path: path.to_owned(), cause })
}

fn clone_mount(path: &Path) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match rustix::mount::open_tree(CWD, path, flags) {
        Ok(mount) => Some(mount),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "layers are read through the mounts that are there");
            None
        }
    }
}
