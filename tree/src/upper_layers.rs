//! Layers that are kept as upper folders: what the drivers have in common that mount such layers, each in its own way.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Change, Contents, DriverError, DriverResult, ErrorKind, LayerId, LayerRef,
    MountRequest, Resettle, Usage,
};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::changes::{Layer, changes};
use crate::home::{Home, LayerFolder};
use crate::markers::Markers;
use crate::settle::make_root;
use crate::stack::Stack;
use crate::unpack::{settle_unpacked, unpack};
use crate::{export, folder, usage};

/// The folder of a layer's own files.
pub const DIFF: &str = "diff";
/// The work folder of a writable layer.
const WORK: &str = "work";

/// A driver's folder, with a folder `diff` in each layer, and `work` in those that were made to be written.
#[derive(Debug)]
pub struct UpperLayers {
    /// The folder.
    pub home: Home,
    /// The form of the deletions.
    pub markers: Markers,
}

/// The folders that a layer is mounted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFolders {
    /// Lower folders, topmost first.
    pub lower: Vec<PathBuf>,
    /// The upper and the work folder of a writable mount.
    pub upper: Option<(PathBuf, PathBuf)>,
}

impl UpperLayers {
    fn below(&self, parents: &[LayerId]) -> DriverResult<Stack> {
        self.home.stack(parents, DIFF, self.markers)
    }

    fn make_writable(&self, layer: LayerRef<'_>) -> DriverResult<LayerFolder> {
        let made = self.home.create(layer.id)?;
        make_root(made.as_fd(), DIFF.as_bytes(), self.markers, &mut self.below(layer.parents)?)?;
        folder::make(made.as_fd(), WORK.as_bytes(), 0o700)
            .map_err(|error| DriverError::system("make work folder", error))?;
        Ok(made)
    }

    /// As [`GraphDriver::snapshot`](plywood_graphdriver::GraphDriver::snapshot).
    ///
    /// # Errors
    /// As there.
    pub fn snapshot(&self, new: LayerRef<'_>, access: Access) -> DriverResult<()> {
        let folder = self.make_writable(new).map_err(|error| error.on(new.id))?;
        match access {
            Access::ReadOnly => folder.seal(),
            Access::ReadWrite => Ok(()),
        }
    }

    /// As [`GraphDriver::apply`](plywood_graphdriver::GraphDriver::apply).
    ///
    /// # Errors
    /// As there.
    pub fn apply(
        &self,
        layer: LayerRef<'_>,
        tar: &mut dyn Read,
        options: ApplyOptions<'_>,
    ) -> DriverResult<Applied> {
        let folder = self.home.create(layer.id)?;
        unpack(&folder, DIFF, self.markers, tar, options).map_err(|error| error.on(layer.id))
    }

    /// As [`GraphDriver::diff`](plywood_graphdriver::GraphDriver::diff).
    ///
    /// # Errors
    /// As there.
    pub fn diff(&self, layer: LayerRef<'_>, tar: &mut dyn Write) -> DriverResult<Usage> {
        let upper = self.home.layer(layer.id)?.open(DIFF)?;
        let layer_tree = Layer::Upper(upper.as_fd(), self.markers);
        export::diff(layer_tree, &mut self.below(layer.parents)?, tar).map_err(|error| error.on(layer.id))
    }

    /// As [`GraphDriver::changes`](plywood_graphdriver::GraphDriver::changes).
    ///
    /// # Errors
    /// As there.
    pub fn changes(
        &self,
        layer: LayerRef<'_>,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> DriverResult<()> {
        let upper = self.home.layer(layer.id)?.open(DIFF)?;
        let layer_tree = Layer::Upper(upper.as_fd(), self.markers);
        changes(layer_tree, &mut self.below(layer.parents)?, visit).map_err(|error| error.on(layer.id))
    }

    /// Where the layer's own files are, as a mount names them.
    ///
    /// # Errors
    /// `NotFound` where the layer is not there.
    pub fn folder(&self, id: &LayerId) -> DriverResult<PathBuf> {
        Ok(self.home.layer(id)?.path.join(DIFF))
    }

    /// The layer's own files.
    ///
    /// # Errors
    /// `NotFound` where the layer is not there.
    pub fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        Ok(Contents::new(self.home.layer(layer.id)?.open(DIFF)?, None))
    }

    /// As [`GraphDriver::seal`](plywood_graphdriver::GraphDriver::seal).
    ///
    /// # Errors
    /// As there.
    pub fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        let folder = self.home.layer(layer.id)?;
        if folder.is_sealed()? {
            return Ok(());
        }
        let below = || self.below(layer.parents);
        settle_unpacked(layer.id, &folder, DIFF, self.markers, &below, resettle)
            .and_then(|()| folder.seal())
            .map_err(|error| error.on(layer.id))
    }

    /// As [`GraphDriver::usage`](plywood_graphdriver::GraphDriver::usage).
    ///
    /// # Errors
    /// As there.
    pub fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        let upper = self.home.layer(layer.id)?.open(DIFF)?;
        usage::usage(upper.as_fd(), self.markers).map_err(|error| error.on(layer.id))
    }

    /// Whether somebody holds a lock on the layer's own files, as who serves them in user space does.
    ///
    /// # Errors
    /// Those of `flock(2)`.
    pub fn is_locked(&self, id: &LayerId) -> DriverResult<bool> {
        let Ok(layer) = self.home.layer(id) else { return Ok(false) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A layer that is half made, or half removed, may have none.
        let Ok(diff) = rustix::fs::openat(&layer.folder, DIFF, flags, Mode::empty()) else {
            return Ok(false);
        };
        match rustix::fs::flock(diff, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(DriverError::system("lock layer", error).on(id)),
        }
    }

    /// What a layer is mounted from.
    ///
    /// # Errors
    /// `NotFound` where a layer is not there, `InvalidInput` for a writable mount of a sealed one.
    pub fn mount_folders(
        &self,
        layer: LayerRef<'_>,
        request: &MountRequest<'_>,
    ) -> DriverResult<MountFolders> {
        let folder = self.home.layer(layer.id)?;
        if !request.read_only && folder.is_sealed()? {
            let reason = "the layer is sealed: mount it read-only, or make a snapshot of it to write to";
            return Err(DriverError::new(ErrorKind::InvalidInput, "mount", reason).on(layer.id));
        }
        let mut lower = Vec::with_capacity(layer.parents.len() + 1);
        if request.read_only {
            lower.push(folder.path.join(DIFF));
        }
        for parent in layer.parents {
            lower.push(self.home.layer(parent)?.path.join(DIFF));
        }
        let upper = (!request.read_only).then(|| (folder.path.join(DIFF), folder.path.join(WORK)));
        Ok(MountFolders { lower, upper })
    }
}
