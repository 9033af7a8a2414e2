//! The driver.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Capabilities, Change, Contents, DriverError, DriverResult, DriverStatus,
    ErrorKind, GraphDriver, LayerId, LayerRef, MountRequest, MountSpec, Mounted, Resettle, Usage,
};
use plywood_sys::identity::Privilege;
use plywood_sys::mount::{self, Restrictions};
use plywood_tree::changes::{Layer, changes};
use plywood_tree::home::{Home, LayerFolder};
use plywood_tree::metadata::status_changed;
use plywood_tree::mounted::Detach;
use plywood_tree::resolve::Node;
use plywood_tree::settle::make_root;
use plywood_tree::unpack::{settle_unpacked, unpack};
use plywood_tree::{Markers, Stack, copy_tree, export, merge, usage};

/// The whole tree of a layer.
const ROOT: &str = "root";
/// What a layer brings, until it is sealed.
const UPPER: &str = "upper";
/// Its status time tells the parent's files from the layer's.
const COPIED: &str = "copied";

/// Keeps every layer as a whole tree of its own.
#[derive(Debug)]
pub struct Vfs {
    home: Home,
    privilege: Privilege,
}

impl Vfs {
    /// Opens the driver's folder, making it where it is not there.
    ///
    /// # Errors
    /// Those of making it.
    pub fn open(folder: &Path, privilege: Privilege) -> DriverResult<Self> {
        Ok(Self { home: Home::open(folder)?, privilege })
    }

    /// The parent's tree, whole, or nothing.
    fn below(&self, layer: LayerRef<'_>) -> DriverResult<Stack> {
        let parent = layer.parent().map(|parent| parent.id.clone());
        self.home.stack(parent.as_slice(), ROOT, Markers::Whole)
    }

    /// Makes the layer's whole tree as a copy of its parent's.
    fn copy_parent(&self, layer: LayerRef<'_>, folder: &LayerFolder) -> DriverResult<OwnedFd> {
        // The parent's root may have a default ACL, or forbid its owner to write: it is copied last.
        let root = make_root(
            folder.as_fd(),
            ROOT.as_bytes(),
            Markers::Whole,
            &mut Stack::new(Vec::new(), Markers::Whole),
        )?;
        if let Some(parent) = layer.parent() {
            let from = self.home.layer(parent.id)?.open(ROOT)?;
            copy_tree::copy_tree(from.as_fd(), root.as_fd())?;
        }
        folder.touch(COPIED)?;
        Ok(root)
    }

    /// Runs `with` on the layer as it compares to its parent.
    fn compare<T>(
        &self,
        layer: LayerRef<'_>,
        with: impl FnOnce(Layer<'_>, &mut Stack) -> DriverResult<T>,
    ) -> DriverResult<T> {
        let compared = || {
            let folder = self.home.layer(layer.id)?;
            let root = folder.open(ROOT)?;
            let copied = Node::new(&folder.folder, COPIED.as_bytes())
                .find()
                .map_err(|error| DriverError::system("look up", error).at(folder.path.join(COPIED)))?;
            with(Layer::Whole(root.as_fd(), copied.as_ref().map(status_changed)), &mut self.below(layer)?)
        };
        compared().map_err(|error| error.on(layer.id))
    }

    /// The layer's folder, if it can be mounted as the request says.
    fn check_request(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<LayerFolder> {
        let folder = self.home.layer(layer.id)?;
        if request.label.is_some() {
            let reason = "a bind mount shows its files with the labels they have: leave the label out, or use --driver overlay2";
            return Err(DriverError::new(ErrorKind::Unsupported, "mount", reason).on(layer.id));
        }
        if !request.read_only && folder.is_sealed()? {
            let reason = "the layer is sealed: mount it read-only, or make a snapshot of it to write to";
            return Err(DriverError::new(ErrorKind::InvalidInput, "mount", reason).on(layer.id));
        }
        Ok(folder)
    }
}

impl GraphDriver for Vfs {
    fn name(&self) -> &'static str {
        "vfs"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_depth: None,
            independent_apply: true,
            native_diff: false,
            rootless: true,
            mounts: self.privilege.may_mount(),
            quota: false,
            device_backed: false,
            shares_page_cache: false,
        }
    }

    fn snapshot(&self, new: LayerRef<'_>, access: Access) -> DriverResult<()> {
        let folder = self.home.create(new.id)?;
        self.copy_parent(new, &folder).map_err(|error| error.on(new.id))?;
        match access {
            Access::ReadOnly => folder.seal(),
            Access::ReadWrite => Ok(()),
        }
    }

    fn apply(
        &self,
        layer: LayerRef<'_>,
        tar: &mut dyn Read,
        options: ApplyOptions<'_>,
    ) -> DriverResult<Applied> {
        let folder = self.home.create(layer.id)?;
        unpack(&folder, UPPER, Markers::Oci, tar, options).map_err(|error| error.on(layer.id))
    }

    fn diff(&self, layer: LayerRef<'_>, tar: &mut dyn Write) -> DriverResult<Usage> {
        self.compare(layer, |tree, below| export::diff(tree, below, tar))
    }

    fn changes(
        &self,
        layer: LayerRef<'_>,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> DriverResult<()> {
        self.compare(layer, |tree, below| changes(tree, below, visit))
    }

    fn mount_specs(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<Vec<MountSpec>> {
        let folder = self.check_request(layer, request)?;
        let access = if request.read_only { "ro" } else { "rw" };
        let mut options = vec![access.to_owned(), "rbind".to_owned()];
        if request.inspection {
            options.extend(["nosuid", "nodev"].map(str::to_owned));
        }
        Ok(vec![MountSpec { kind: "bind".to_owned(), source: folder.path.join(ROOT), options }])
    }

    fn mount(&self, layer: LayerRef<'_>, request: &MountRequest<'_>, target: &Path) -> DriverResult<Mounted> {
        let folder = self.check_request(layer, request)?;
        if !self.privilege.may_mount() {
            let reason = format!(
                "mounts need root, or a user namespace of one's own (unshare --user --map-root-user --mount); \
                 the tree itself is at {}",
                folder.path.join(ROOT).display()
            );
            return Err(DriverError::new(ErrorKind::PermissionDenied, "mount", reason).on(layer.id));
        }
        let restrictions = Restrictions {
            read_only: request.read_only,
            no_set_user_id: request.inspection,
            no_devices: request.inspection,
        };
        let made = mount::bind(&folder.path.join(ROOT), restrictions)
            .map_err(|error| DriverError::system("bind mount", error).on(layer.id))?;
        mount::attach(made, target).map_err(|error| DriverError::system("attach mount", error).at(target))?;
        Ok(Mounted::new(target.to_owned(), Box::new(Detach)))
    }

    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        Ok(Contents::new(self.home.layer(layer.id)?.open(ROOT)?, None))
    }

    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        let folder = self.home.layer(layer.id)?;
        if folder.is_sealed()? {
            return Ok(());
        }
        let sealed = || {
            if folder.has(UPPER)? {
                let below = || self.below(layer);
                settle_unpacked(layer.id, &folder, UPPER, Markers::Oci, &below, resettle)?;
                let root = self.copy_parent(layer, &folder)?;
                merge::merge(folder.open(UPPER)?.as_fd(), root.as_fd())?;
                folder.remove(UPPER)?;
            }
            folder.seal()
        };
        sealed().map_err(|error| error.on(layer.id))
    }

    fn remove(&self, id: &LayerId) -> DriverResult<()> {
        self.home.remove(id)
    }

    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        // What the copy shares with its parent belongs to the parent.
        self.compare(layer, usage::of_differences)
    }

    fn layers(&self) -> DriverResult<Vec<LayerId>> {
        self.home.layers()
    }

    fn status(&self) -> DriverResult<DriverStatus> {
        let home = plywood_tree::resolve::open_root(self.home.path())?;
        let backing = plywood_sys::backing::name(&home)
            .map_err(|error| DriverError::system("look at the file system", error).at(self.home.path()))?;
        Ok(DriverStatus { fields: vec![("Backing Filesystem".to_owned(), backing.to_owned())] })
    }
}
