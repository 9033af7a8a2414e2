//! A driver's folder, with one folder a layer in it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, LayerId};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::fail::Attempt;
use crate::markers::Markers;
use crate::metadata::set_mode;
use crate::resolve::{Node, open_folder, open_root};
use crate::stack::Stack;
use crate::{folder, xattr};

/// The file in a layer's folder that says it is sealed.
const SEALED: &[u8] = b"sealed";

/// A driver's folder. Layers are folders in it, named by their ids, of mode 0700.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    folder: OwnedFd,
}

/// A layer's folder, open.
#[derive(Debug)]
pub struct LayerFolder {
    /// The folder.
    pub folder: OwnedFd,
    /// Its path, for mounts.
    pub path: PathBuf,
}

impl Home {
    /// Opens the folder, making it with mode 0700 where it is not there; its parent must be.
    ///
    /// # Errors
    /// Those of `mkdir(2)` and `open(2)`.
    pub fn open(path: &Path) -> DriverResult<Self> {
        match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(DriverError::system("make the driver's folder", error).at(path)),
        }
        let path =
            std::path::absolute(path).map_err(|error| DriverError::system("open folder", error).at(path))?;
        Ok(Self { folder: open_root(&path)?, path })
    }

    /// The folder's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a layer's folder.
    ///
    /// # Errors
    /// `AlreadyExists` where it is there.
    pub fn create(&self, id: &LayerId) -> DriverResult<LayerFolder> {
        match rustix::fs::mkdirat(&self.folder, id.as_str(), Mode::RWXU) {
            Ok(()) => {
                let made = self.layer(id)?;
                self.forget_inherited(id).map_err(|error| DriverError::system("make layer", error).on(id))?;
                Ok(made)
            }
            Err(error) => Err(DriverError::system("make layer", error).on(id)),
        }
    }

    /// A default ACL or a set-group-id bit of the folder above would go on to every file of the layer.
    fn forget_inherited(&self, id: &LayerId) -> rustix::io::Result<()> {
        let node = Node::new(&self.folder, id.as_str().as_bytes());
        for name in xattr::POSIX_ACLS {
            xattr::remove(node, name)?;
        }
        set_mode(node, 0o700)
    }

    /// Opens a layer's folder.
    ///
    /// # Errors
    /// `NotFound` where it is not there.
    pub fn layer(&self, id: &LayerId) -> DriverResult<LayerFolder> {
        let folder = Node::new(&self.folder, id.as_str().as_bytes())
            .open_folder()
            .map_err(|error| DriverError::system("open layer", error).on(id))?;
        Ok(LayerFolder { folder, path: self.path.join(id.as_str()) })
    }

    /// The merged view of layers, the topmost first, each by the folder `name` in its own.
    ///
    /// # Errors
    /// `NotFound` where one is not there.
    pub fn stack(&self, layers: &[LayerId], name: &str, markers: Markers) -> DriverResult<Stack> {
        let open = |id: &LayerId| self.layer(id)?.open(name).map_err(|error| error.on(id));
        Ok(Stack::new(layers.iter().map(open).collect::<DriverResult<_>>()?, markers))
    }

    /// Every layer there is, half-made ones included.
    ///
    /// # Errors
    /// Those of listing the folder.
    pub fn layers(&self) -> DriverResult<Vec<LayerId>> {
        let names = folder::names(self.folder.as_fd())
            .map_err(|error| DriverError::system("list layers", error).at(&self.path))?;
        let text = |name: Vec<u8>| String::from_utf8(name).ok()?.parse().ok();
        Ok(names.into_iter().filter_map(text).collect())
    }

    /// Removes a layer's folder and all in it; absent is `Ok`.
    ///
    /// # Errors
    /// `InUse` where it is mounted in this mount namespace.
    pub fn remove(&self, id: &LayerId) -> DriverResult<()> {
        if let Some(target) = mounted_at(id)? {
            let reason = format!("it is mounted at {}: unmount it first", target.display());
            return Err(DriverError::new(ErrorKind::InUse, "remove layer", reason).on(id));
        }
        folder::remove_all(Node::new(&self.folder, id.as_str().as_bytes())).map_err(|error| error.on(id))
    }
}

impl LayerFolder {
    /// Opens a folder of the driver's own in it.
    ///
    /// # Errors
    /// `NotFound` where it is not there.
    pub fn open(&self, name: &str) -> DriverResult<OwnedFd> {
        open_folder(self.folder.as_fd(), name.as_bytes())
            .map_err(|error| DriverError::system("open layer", error).at(self.path.join(name)))
    }

    /// Whether a folder or file of the driver's own is in it.
    ///
    /// # Errors
    /// Those of looking it up.
    pub fn has(&self, name: &str) -> DriverResult<bool> {
        Ok(Node::new(&self.folder, name.as_bytes()).find().attempt("look up", name.as_bytes())?.is_some())
    }

    /// Makes an empty file of the driver's own in it.
    ///
    /// # Errors
    /// Those of `openat(2)`.
    pub fn touch(&self, name: &str) -> DriverResult<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)
            .map(drop)
            .attempt("make note", name.as_bytes())
    }

    /// Whether the layer is sealed.
    ///
    /// # Errors
    /// Those of looking it up.
    pub fn is_sealed(&self) -> DriverResult<bool> {
        Ok(Node::new(&self.folder, SEALED).find().attempt("look up", SEALED)?.is_some())
    }

    /// Says that the layer is sealed.
    ///
    /// # Errors
    /// Those of `openat(2)`.
    pub fn seal(&self) -> DriverResult<()> {
        self.touch("sealed")
    }

    /// Renames a folder of the driver's own, over nothing.
    ///
    /// # Errors
    /// Those of `renameat(2)`.
    pub fn rename(&self, from: &str, to: &str) -> DriverResult<()> {
        rustix::fs::renameat(&self.folder, from, &self.folder, to).attempt("rename", from.as_bytes())
    }

    /// Removes a folder of the driver's own, with all in it; absent is `Ok`.
    ///
    /// # Errors
    /// The first failure.
    pub fn remove(&self, name: &str) -> DriverResult<()> {
        folder::remove_all(Node::new(&self.folder, name.as_bytes()))
    }

    /// The folder, borrowed.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Where a layer is mounted, be it by itself or below another. Its id is in the mount's options, root or source.
fn mounted_at(id: &LayerId) -> DriverResult<Option<PathBuf>> {
    let mounts = plywood_sys::mountinfo::read().attempt("read mounts", b"")?;
    let names = |mount: &plywood_sys::mountinfo::MountPoint| {
        let shown = |path: &Path| path.to_string_lossy().contains(id.as_str());
        mount.options.contains(id.as_str()) || shown(&mount.root) || shown(&mount.source)
    };
    Ok(mounts.into_iter().find(names).map(|mount| mount.target))
}
