//! The driver.

use std::io::{Read, Write};
use std::path::Path;

use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Capabilities, Change, Contents, DriverError, DriverResult, DriverStatus,
    ErrorKind, GraphDriver, LayerId, LayerRef, MountRequest, MountSpec, Mounted, Resettle, Usage,
};
use plywood_sys::identity::Privilege;
use plywood_tree::Markers;
use plywood_tree::home::Home;
use plywood_tree::upper_layers::UpperLayers;

use crate::links::Links;
use crate::mounting;
use crate::probe::{self, Facts};

/// Lower folders of one overlay at most (`OVL_MAX_STACK`, fs/overlayfs/params.h, Linux 4.0 to 6.18).
pub(crate) const MOST_LOWER: usize = 500;

/// Keeps layers as upper folders of the kernel's overlayfs.
#[derive(Debug)]
pub struct Overlay2 {
    layers: UpperLayers,
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
        let markers = Markers::Overlay(facts.namespace);
        Ok(Self { layers: UpperLayers { home, markers }, links, facts })
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
        self.layers.snapshot(new, access)
    }

    fn apply(
        &self,
        layer: LayerRef<'_>,
        tar: &mut dyn Read,
        options: ApplyOptions<'_>,
    ) -> DriverResult<Applied> {
        self.layers.apply(layer, tar, options)
    }

    fn diff(&self, layer: LayerRef<'_>, tar: &mut dyn Write) -> DriverResult<Usage> {
        self.layers.diff(layer, tar)
    }

    fn changes(
        &self,
        layer: LayerRef<'_>,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> DriverResult<()> {
        self.layers.changes(layer, visit)
    }

    fn mount_specs(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<Vec<MountSpec>> {
        let named = |id: &LayerId| {
            // The engine mounts the folder of the links elsewhere, where they would lead astray.
            if request.id_mapped { self.layers.folder(id) } else { self.links.path_of(id) }
        };
        mounting::spec(&self.layers, &self.facts, layer, request, &named).map(|spec| vec![spec])
    }

    fn mount(&self, layer: LayerRef<'_>, request: &MountRequest<'_>, target: &Path) -> DriverResult<Mounted> {
        let overlay = mounting::overlay(&self.layers, &self.facts, layer, request)?;
        mounting::mount(&overlay, target).map_err(|error| error.on(layer.id))
    }

    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        self.layers.contents(layer)
    }

    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        self.layers.seal(layer, resettle)
    }

    fn remove(&self, id: &LayerId) -> DriverResult<()> {
        if let Some(target) = self.links.mounted_at(id)? {
            let reason = format!("it is mounted at {}: unmount it first", target.display());
            return Err(DriverError::new(ErrorKind::InUse, "remove layer", reason).on(id));
        }
        // The link first: what is half removed is then still listed, and removed again.
        self.links.remove(id)?;
        self.layers.home.remove(id)
    }

    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        self.layers.usage(layer)
    }

    fn layers(&self) -> DriverResult<Vec<LayerId>> {
        self.layers.home.layers()
    }

    fn status(&self) -> DriverResult<DriverStatus> {
        Ok(self.facts.status())
    }
}
