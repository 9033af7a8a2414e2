//! The store's own folders, each held open: every file in them is reached by one component below a descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};

use crate::GraphError;

/// Only the owner of the store may look into it: layers hold set-user-id files.
const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A folder held open, and the path it was opened by for messages.
#[derive(Debug)]
pub(crate) struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the store's root, and makes it first where it is missing. Its mode becomes 0700 in any case.
    pub(crate) fn create_root(path: &Path) -> Result<Self, GraphError> {
        make_with_parents(path)?;
        let folder = Self::open(path)?;
        rustix::fs::fchmod(&folder.descriptor, PRIVATE_FOLDER).map_err(GraphError::io("protect", path))?;
        Ok(folder)
    }

    /// Opens a folder that is there.
    pub(crate) fn open(path: &Path) -> Result<Self, GraphError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor =
            rustix::fs::open(path, flags, Mode::empty()).map_err(GraphError::io("open", path))?;
        Ok(Self { descriptor, path: path.to_owned() })
    }

    /// Opens the folder `name` in this one, and makes it first where it is missing.
    pub(crate) fn child(&self, name: &str) -> Result<Self, GraphError> {
        self.make_folder(name)?;
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())
            .map_err(GraphError::io("open", &path))?;
        Ok(Self { descriptor, path })
    }

    /// The path that it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Makes the folder `name`, unless it is there.
    pub(crate) fn make_folder(&self, name: &str) -> Result<(), GraphError> {
        match rustix::fs::mkdirat(&self.descriptor, name, PRIVATE_FOLDER) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(self.failed("make folder", name, error)),
        }
    }

    /// Makes the file `name`, which must not be there.
    pub(crate) fn create_file(&self, name: &str) -> Result<File, GraphError> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens the file `name` for writing, and makes it where it is missing.
    pub(crate) fn open_or_create(&self, name: &str) -> Result<File, GraphError> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Opens the file `name` for reading; `None` where it is not there.
    pub(crate) fn open_existing(&self, name: &str) -> Result<Option<File>, GraphError> {
        match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => Ok(Some(file)),
            Err(GraphError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<File, GraphError> {
        // Without NONBLOCK a FIFO put there would hang the open.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let descriptor = rustix::fs::openat(&self.descriptor, name, flags, PRIVATE_FILE)
            .map_err(|error| self.failed("open", name, error))?;
        Ok(File::from(descriptor))
    }

    /// Makes a file without a name, which disappears with its last descriptor.
    pub(crate) fn anonymous_file(&self, fallback_name: &str) -> Result<File, GraphError> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.descriptor, ".", flags, PRIVATE_FILE) {
            Ok(descriptor) => Ok(File::from(descriptor)),
            // Some network and union file systems have no O_TMPFILE.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
                let file = self.create_file(fallback_name)?;
                self.remove_file(fallback_name)?;
                Ok(file)
            }
            Err(error) => Err(self.failed("make temporary file in", "", error)),
        }
    }

    /// Removes the file `name`; answers whether it was there.
    pub(crate) fn remove_file(&self, name: &str) -> Result<bool, GraphError> {
        self.remove(name, AtFlags::empty())
    }

    /// Removes the empty folder `name`; answers whether it was there.
    pub(crate) fn remove_folder(&self, name: &str) -> Result<bool, GraphError> {
        self.remove(name, AtFlags::REMOVEDIR)
    }

    fn remove(&self, name: &str, flags: AtFlags) -> Result<bool, GraphError> {
        match rustix::fs::unlinkat(&self.descriptor, name, flags) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// Renames a file of this folder, over another one.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), GraphError> {
        rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to)
            .map_err(|error| self.failed("rename", from, error))
    }

    /// The names in this folder, in no order. Names that are not UTF-8 are none of the store's, and left out.
    pub(crate) fn names(&self) -> Result<Vec<String>, GraphError> {
        let failed = |error| self.failed("list", "", error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.descriptor).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    /// Brings the whole file system to the disk. Linux 5.8 and later answer every write that failed since this
    /// folder was opened, once for each time it is open: whoever relies on it opens the folder anew before writing.
    pub(crate) fn sync_filesystem(&self) -> Result<(), GraphError> {
        rustix::fs::syncfs(self.descriptor.as_fd())
            .map_err(|error| self.failed("sync file system of", "", error))
    }

    fn failed(&self, operation: &'static str, name: &str, error: rustix::io::Errno) -> GraphError {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        GraphError::Io { operation, path, source: error.into() }
    }
}

fn make_with_parents(path: &Path) -> Result<(), GraphError> {
    match rustix::fs::mkdirat(CWD, path, PRIVATE_FOLDER) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(rustix::io::Errno::NOENT) if path.parent().is_some_and(|parent| parent != Path::new("")) => {
            path.parent().map_or(Ok(()), make_with_parents)?;
            rustix::fs::mkdirat(CWD, path, PRIVATE_FOLDER).map_err(GraphError::io("make folder", path))
        }
        Err(error) => {
            Err(GraphError::Io { operation: "make folder", path: path.to_owned(), source: error.into() })
        }
    }
}
