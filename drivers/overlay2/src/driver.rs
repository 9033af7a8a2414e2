//! The driver.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Capabilities, Change, Contents, DriverError, DriverResult, DriverStatus,
    ErrorKind, GraphDriver, LayerId, LayerRef, MountRequest, MountSpec, Mounted, Resettle, Usage,
};
use plywood_sys::identity::Privilege;
use plywood_tree::changes::{Layer, changes};
use plywood_tree::home::{Home, LayerFolder};
use plywood_tree::settle::make_root;
use plywood_tree::unpack::{settle_unpacked, unpack};
use plywood_tree::{Markers, Stack, export, usage};

use crate::links::Links;
use crate::mounting;
use crate::probe::{self, Facts};

/// The folder of a layer's own files.
pub(crate) const DIFF: &str = "diff";
/// Overlayfs' work folder of a writable layer.
pub(crate) const WORK: &str = "work";
/// Lower folders of one overlay at most (`OVL_MAX_STACK`, fs/overlayfs/params.h, Linux 4.0 to 6.18).
pub(crate) const MOST_LOWER: usize = 500;

/// Keeps layers as upper folders of the kernel's overlayfs.
#[derive(Debug)]
pub struct Overlay2 {
    home: Home,
    links: Links,
    facts: Facts,
}

impl Overlay2 {
    /// Opens the driver's folder, making it where it is not there, and probes what the kernel and the file system below can do.
    ///
    /// # Errors
    /// `Unsupported` with the reason and what to do, where overlayfs cannot use this file system; `PermissionDenied` where the
    /// caller cannot mount.
    pub fn open(folder: &Path, privilege: Privilege) -> DriverResult<Self> {
        let home = Home::open(folder)?;
        let facts = probe::probe(&home, privilege)?;
        let links = Links::open(&home)?;
        Ok(Self { home, links, facts })
    }

    fn markers(&self) -> Markers {
        Markers::Overlay(self.facts.namespace)
    }

    fn below(&self, parents: &[LayerId]) -> DriverResult<Stack> {
        self.home.stack(parents, DIFF, self.markers())
    }

    fn make_writable(&self, layer: LayerRef<'_>) -> DriverResult<LayerFolder> {
        let folder = self.home.create(layer.id)?;
        make_root(folder.as_fd(), DIFF.as_bytes(), self.markers(), &mut self.below(layer.parents)?)?;
        plywood_tree::folder::make(folder.as_fd(), WORK.as_bytes(), 0o700)
            .map_err(|error| plywood_graphdriver::DriverError::system("make work folder", error))?;
        Ok(folder)
    }
}

impl GraphDriver for Overlay2 {
    fn name(&self) -> &'static str {
        "overlay2"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // Read-only, the layer itself is one of the lower folders.
            max_depth: Some(MOST_LOWER - 1),
            independent_apply: true,
            native_diff: self.facts.native_diff,
            rootless: false,
            mounts: true,
            quota: false,
            device_backed: false,
            shares_page_cache: true,
        }
    }

    fn snapshot(&self, new: LayerRef<'_>, access: Access) -> DriverResult<()> {
        let folder = self.make_writable(new).map_err(|error| error.on(new.id))?;
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
        unpack(&folder, DIFF, self.markers(), tar, options).map_err(|error| error.on(layer.id))
    }

    fn diff(&self, layer: LayerRef<'_>, tar: &mut dyn Write) -> DriverResult<Usage> {
        let upper = self.home.layer(layer.id)?.open(DIFF)?;
        let layer_tree = Layer::Upper(upper.as_fd(), self.markers());
        export::diff(layer_tree, &mut self.below(layer.parents)?, tar).map_err(|error| error.on(layer.id))
    }

    fn changes(
        &self,
        layer: LayerRef<'_>,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> DriverResult<()> {
        let upper = self.home.layer(layer.id)?.open(DIFF)?;
        let layer_tree = Layer::Upper(upper.as_fd(), self.markers());
        changes(layer_tree, &mut self.below(layer.parents)?, visit).map_err(|error| error.on(layer.id))
    }

    fn mount_specs(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<Vec<MountSpec>> {
        let named = |id: &LayerId| {
            // The engine mounts the folder of the links elsewhere, where they would lead astray.
            if request.id_mapped { Ok(self.home.layer(id)?.path.join(DIFF)) } else { self.links.path_of(id) }
        };
        mounting::spec(&self.home, &self.facts, layer, request, &named).map(|spec| vec![spec])
    }

    fn mount(&self, layer: LayerRef<'_>, request: &MountRequest<'_>, target: &Path) -> DriverResult<Mounted> {
        let overlay = mounting::overlay(&self.home, &self.facts, layer, request)?;
        mounting::mount(&overlay, target).map_err(|error| error.on(layer.id))
    }

    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        Ok(Contents::new(self.home.layer(layer.id)?.open(DIFF)?, None))
    }

    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        let folder = self.home.layer(layer.id)?;
        if folder.is_sealed()? {
            return Ok(());
        }
        let below = || self.below(layer.parents);
        settle_unpacked(layer.id, &folder, DIFF, self.markers(), &below, resettle)
            .and_then(|()| folder.seal())
            .map_err(|error| error.on(layer.id))
    }

    fn remove(&self, id: &LayerId) -> DriverResult<()> {
        if let Some(target) = self.links.mounted_at(id)? {
            let reason = format!("it is mounted at {}: unmount it first", target.display());
            return Err(DriverError::new(ErrorKind::InUse, "remove layer", reason).on(id));
        }
        // The link first: what is half removed is then still listed, and removed again.
        self.links.remove(id)?;
        self.home.remove(id)
    }

    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        let upper = self.home.layer(layer.id)?.open(DIFF)?;
        usage::usage(upper.as_fd(), self.markers()).map_err(|error| error.on(layer.id))
    }

    fn layers(&self) -> DriverResult<Vec<LayerId>> {
        self.home.layers()
    }

    fn status(&self) -> DriverResult<DriverStatus> {
        Ok(self.facts.status())
    }
}
