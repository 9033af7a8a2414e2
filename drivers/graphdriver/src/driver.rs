//! The trait.

use std::any::Any;
use std::fmt::{self, Debug};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::{
    Applied, ApplyOptions, Capabilities, Change, DriverResult, DriverStatus, LayerId, LayerRef, MountRequest,
    MountSpec, Mounted, Usage,
};

/// Whether a new layer is to be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A view of the parents; never written to.
    ReadOnly,
    /// A writable layer on top of the parents.
    ReadWrite,
}

/// The files of one layer, held readable.
///
/// Every regular file that the layer itself brought is there at its path below the folder that it gives;
/// whether the parents' files are there too, and how deletions show, is the driver's own business.
/// Whatever makes the tree readable (a mount, a device) is held until this is dropped.
pub struct Contents {
    root: OwnedFd,
    _hold: Option<Box<dyn Any + Send>>,
}

impl Contents {
    /// Wraps the layer's root folder, and what keeps it readable.
    #[must_use]
    pub fn new(root: OwnedFd, hold: Option<Box<dyn Any + Send>>) -> Self {
        Self { root, _hold: hold }
    }
}

impl AsFd for Contents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Debug for Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Contents").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A storage driver: keeps layers, each on a chain of parents.
///
/// Operations are synchronous and may be called from several threads and processes at once on
/// different layers; the graph store never runs two that change one layer at the same time.
/// Nothing is durable before the caller's `syncfs` on the driver's root has answered.
///
/// # Errors
/// Every operation answers one [`DriverError`](crate::DriverError) that names the operation, the
/// layer and the path. Full disks answer `NoSpace`, missing layers `NotFound`.
#[allow(clippy::missing_errors_doc, reason = "said once, for all operations")]
pub trait GraphDriver: Debug + Send + Sync + 'static {
    /// The driver's name, as `--driver` takes it.
    fn name(&self) -> &'static str;

    /// What the driver can do here: facts, probed once at open.
    fn capabilities(&self) -> Capabilities;

    /// Makes the layer `new` with the parents' tree in it; without parents, an empty tree of mode
    /// 0755. The parents must be sealed.
    ///
    /// # Errors
    /// `AlreadyExists` where the layer is there.
    fn snapshot(&self, new: LayerRef<'_>, access: Access) -> DriverResult<()>;

    /// Makes the layer `layer` out of an uncompressed tar of the OCI layer format: reads it once, to its
    /// end, and leaves the result unsealed.
    ///
    /// Where `independent_apply` holds the parents need not be there yet and are not looked at.
    /// After an error only [`remove`](Self::remove) is legal on the layer.
    ///
    /// # Errors
    /// `AlreadyExists` where the layer is there; `InvalidInput` and `LimitExceeded` for a tar that must
    /// not get through, with the entry's path and number.
    fn apply(
        &self,
        layer: LayerRef<'_>,
        tar: &mut dyn Read,
        options: ApplyOptions<'_>,
    ) -> DriverResult<Applied>;

    /// Writes what turns the immediate parent's tree into the layer's, as an uncompressed tar of the OCI layer
    /// format: sorted by path, and for the same trees always the same bytes. Applied to the parent, it
    /// gives the layer's tree.
    fn diff(&self, layer: LayerRef<'_>, tar: &mut dyn Write) -> DriverResult<Usage>;

    /// Visits what differs from the immediate parent, sorted by path. Parents of a changed path are visited as
    /// modified. An error of the visitor ends the walk and is answered.
    fn changes(
        &self,
        layer: LayerRef<'_>,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> DriverResult<()>;

    /// The mounts by which an engine can mount the layer itself, outermost last. May be called any number of times.
    fn mount_specs(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<Vec<MountSpec>>;

    /// Mounts the layer's tree at the folder `target`, which must be there.
    ///
    /// # Errors
    /// `InvalidInput` for a writable mount of a sealed layer; `PermissionDenied` without the privilege.
    fn mount(&self, layer: LayerRef<'_>, request: &MountRequest<'_>, target: &Path) -> DriverResult<Mounted>;

    /// Holds the layer's own files readable, without a mount that others see: how content is verified and a
    /// layer's tar is rebuilt from its recipe.
    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents>;

    /// Settles what needed the parents and makes the layer read-only from now on. The parents must be sealed.
    /// A sealed layer is left as it is.
    ///
    /// `resettle` is called at most once, where settling takes a second unpacking; the recipe written then replaces that of
    /// [`apply`](Self::apply).
    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()>;

    /// Removes the layer and all it holds, sealed or not. A layer that is not there is `Ok`.
    ///
    /// # Errors
    /// `InUse` where it is mounted.
    fn remove(&self, id: &LayerId) -> DriverResult<()>;

    /// What this layer alone takes, without its parents.
    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage>;

    /// Every layer on disk, half-made ones included, in no order: what recovery compares with its records.
    fn layers(&self) -> DriverResult<Vec<LayerId>>;

    /// What `plywood info` shows.
    fn status(&self) -> DriverResult<DriverStatus>;
}

/// How a driver unpacks a layer a second time, now that its parents are known.
///
/// Needed where a folder that the tar only implies is a symlink in a parent: the files belong below the
/// link's target, and only the tar says in which order they came.
pub trait Resettle {
    /// Rebuilds the layer's tar from `contents`, and lets `apply` read it with the options of the first time and a
    /// place for the new recipe. The new recipe counts once `apply` and then [`GraphDriver::seal`] answered.
    ///
    /// # Errors
    /// Those of rebuilding (`Corrupt`), or what `apply` answered.
    fn again(
        &mut self,
        contents: &Contents,
        apply: &mut dyn FnMut(&mut dyn Read, ApplyOptions<'_>) -> DriverResult<()>,
    ) -> DriverResult<()>;
}
