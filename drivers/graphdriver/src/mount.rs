//! Mounts: asked for, described, and held.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::DriverResult;

/// How a layer is to be mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent wishes, not states of one thing")]
pub struct MountRequest<'a> {
    /// No writes. A sealed layer takes no other.
    pub read_only: bool,
    /// Also `nosuid,nodev`: for looking at an image that nobody trusts yet.
    pub inspection: bool,
    /// An SELinux label for every file, as `context=` takes it.
    pub label: Option<&'a str>,
    /// The engine mounts by itself, and puts mounts with mapped ids in the place of the folders that the specs name: they are named by
    /// paths without links.
    pub id_mapped: bool,
    /// The engine mounts by itself, and writes a layer into it that has parents, without them: the specs are those of a stack also where
    /// the layer has no parents yet, so that it can write deletions.
    pub stacked: bool,
}

impl MountRequest<'_> {
    /// A writable mount.
    #[must_use]
    pub fn read_write() -> Self {
        Self::default()
    }

    /// A mount for looking: `ro,nosuid,nodev`.
    #[must_use]
    pub fn inspection() -> Self {
        Self { read_only: true, inspection: true, ..Self::default() }
    }
}

/// A mount as an engine makes it by itself with `mount(2)`, in the form that containerd uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// The file system's type: `overlay`, `bind`, `ext4`.
    pub kind: String,
    /// What to mount: a folder, a device, or the type's own word.
    pub source: PathBuf,
    /// Options in order, each as `mount -o` takes it: `ro`, `lowerdir=...`.
    pub options: Vec<String>,
}

/// Takes a mount down. Drivers hand one to [`Mounted::new`].
pub trait Teardown: Send {
    /// Unmounts `target` and frees what the mount held.
    ///
    /// # Errors
    /// `InUse` where files are open below the mount; the mount is then still there.
    fn unmount(&mut self, target: &Path) -> DriverResult<()>;
}

/// A mounted layer. Dropping it unmounts, doing its best and logging what fails.
#[must_use = "dropping it takes the mount down"]
pub struct Mounted {
    target: PathBuf,
    teardown: Option<Box<dyn Teardown>>,
}

impl Mounted {
    /// Takes charge of a mount that is there at `target`.
    pub fn new(target: PathBuf, teardown: Box<dyn Teardown>) -> Self {
        Self { target, teardown: Some(teardown) }
    }

    /// Where the layer's root is seen.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Unmounts.
    ///
    /// # Errors
    /// `InUse` where files are open below the mount, which then stays until dropped or unmounted by hand.
    pub fn unmount(mut self) -> DriverResult<()> {
        match self.teardown.take() {
            Some(mut teardown) => teardown.unmount(&self.target),
            None => Ok(()),
        }
    }

    /// Leaves the mount in place, beyond the end of this process.
    pub fn keep(mut self) {
        self.teardown = None;
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(mut teardown) = self.teardown.take()
            && let Err(error) = teardown.unmount(&self.target)
        {
            tracing::warn!(target_path = %self.target.display(), %error, cause = %error.source, "mount left behind");
        }
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mounted").field("target", &self.target).finish_non_exhaustive()
    }
}
