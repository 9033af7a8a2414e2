//! A layout's folder, out of which no name leads and in which no symlink is followed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::files::{Files, Opened};
use crate::ImageError;

/// Stricter than a layer's root: a layout has no use for symlinks at all.
const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// An open folder. It stays the same one, whatever happens to its path.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    location: String,
}

impl Folder {
    /// Opens the folder at `path`, which the user typed and which may be a symlink. Errors call it `location`.
    pub(crate) fn open(path: &Path, location: impl Into<String>) -> Result<Self, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(path, flags, Mode::empty()).map_err(ImageError::io("open", path.display()))?;
        Ok(Self { fd, location: location.into() })
    }

    /// The folder itself.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// What errors call a file in it.
    pub(crate) fn shown(&self, name: &str) -> String {
        format!("{}: {name}", self.location)
    }

    /// Opens the folder `name` in this one.
    pub(crate) fn folder(&self, name: &str) -> Result<Self, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = self.resolve(name, flags)?.ok_or_else(|| ImageError::missing(&self.location, name))?;
        Ok(Self { fd, location: self.location.clone() })
    }

    /// Opens the regular file `name`, `None` where there is none.
    pub(crate) fn file(&self, name: &str) -> Result<Option<(File, u64)>, ImageError> {
        // NONBLOCK: opening a FIFO would wait for its other end. Regular files do not mind.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Some(fd) = self.resolve(name, flags)? else { return Ok(None) };
        let stat = fstat(&fd).map_err(ImageError::io("look at", self.shown(name)))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ImageError::malformed(&self.location, name, "it is not a regular file"));
        }
        Ok(Some((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0))))
    }

    fn resolve(&self, name: &str, flags: OFlags) -> Result<Option<OwnedFd>, ImageError> {
        use rustix::io::Errno;
        match openat2(&self.fd, name, flags, Mode::empty(), RESOLVE) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => {
                let reason = "it is a symlink or lies behind one, which a layout must not have";
                Err(ImageError::malformed(&self.location, name, reason))
            }
            Err(Errno::NOTDIR) => {
                Err(ImageError::malformed(&self.location, name, "it is not in a folder, or not one"))
            }
            Err(error) => {
                Err(ImageError::Io { operation: "open", path: self.shown(name), source: error.into() })
            }
        }
    }
}

impl Files for Folder {
    fn location(&self) -> &str {
        &self.location
    }

    fn open(&self, name: &str) -> Result<Option<Opened>, ImageError> {
        let opened = self.file(name)?;
        Ok(opened.map(|(file, size_bytes)| Opened { size_bytes, reader: Box::new(file) }))
    }
}

/// The error of a folder that is not there, in a form that layers' sources give.
pub(crate) fn as_io_error(error: ImageError) -> io::Error {
    match error {
        ImageError::Io { source, .. } => source,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
