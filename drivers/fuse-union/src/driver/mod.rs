//! The driver.
//!
//! Layers are kept as overlay2 keeps them, and mounted without the kernel's overlayfs:
//!
//! ```text
//! <layer id>/diff      the layer's own files; deletions as character devices 0:0 and overlay.opaque
//! <layer id>/work      the work folder, of writable layers
//! <layer id>/pending   what is open until the parents are known (until sealed)
//! <layer id>/sealed    the layer is read-only from now on
//! ```

mod background;
mod in_process;
mod mounting;
mod probe;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Capabilities, Change, Contents, DriverError, DriverResult, DriverStatus,
    ErrorKind, GraphDriver, LayerId, LayerRef, MountRequest, MountSpec, Mounted, Resettle, Usage,
};
use plywood_sys::identity::Privilege;
use plywood_tree::Markers;
use plywood_tree::home::Home;
use plywood_tree::upper_layers::UpperLayers;

use probe::Facts;

/// Who serves mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// The program `fuse-union` at this path, one process a mount, which outlives its caller.
    Program(PathBuf),
    /// Threads of this process: mounts end with it.
    ThisProcess,
}

impl Server {
    /// The program beside the one that runs, or in one of the folders of `PATH`.
    ///
    /// # Errors
    /// `Unsupported` where it is in none of them.
    pub fn find() -> DriverResult<Self> {
        let own = std::env::current_exe().ok();
        let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = beside.into_iter().chain(std::env::split_paths(&path));
        let found = folders
            .map(|folder| folder.join("fuse-union"))
            .find(|program| rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok());
        found.map(Self::Program).ok_or_else(|| {
            let reason =
                "the program fuse-union, which serves mounts, is neither beside this one nor in PATH";
            DriverError::new(ErrorKind::Unsupported, "open fuse-union", reason)
        })
    }
}

/// Keeps layers as upper folders, and mounts them in user space.
#[derive(Debug)]
pub struct FuseUnion {
    layers: UpperLayers,
    facts: Facts,
    server: Server,
}

impl FuseUnion {
    /// Opens the driver's folder, making it where it is not there, and finds out what can be kept in it.
    ///
    /// # Errors
    /// `Unsupported` where `/dev/fuse` does not open, or the file system keeps neither attributes nor whiteouts;
    /// `PermissionDenied` where layers could not be given their owners.
    pub fn open(folder: &Path, privilege: Privilege, server: Server) -> DriverResult<Self> {
        let home = Home::open(folder)?;
        let facts = probe::probe(&home, privilege)?;
        let markers = Markers::Overlay(facts.namespace);
        Ok(Self { layers: UpperLayers { home, markers }, facts, server })
    }
}

impl GraphDriver for FuseUnion {
    fn name(&self) -> &'static str {
        "fuse-union"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_depth: None,
            independent_apply: true,
            native_diff: true,
            rootless: false,
            mounts: self.facts.mounts,
            quota: false,
            device_backed: false,
            // Files of lower layers are kept once for each mount.
            shares_page_cache: false,
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
        let folders = self.layers.mount_folders(layer, request)?;
        let spec = mounting::spec(&self.server, layer, &folders, request);
        Ok(vec![spec.map_err(|error| error.on(layer.id))?])
    }

    fn mount(&self, layer: LayerRef<'_>, request: &MountRequest<'_>, target: &Path) -> DriverResult<Mounted> {
        let folders = self.layers.mount_folders(layer, request)?;
        mounting::check_label(request)
            .and_then(|()| mounting::clear_dead(target))
            .map_err(|error| error.on(layer.id))?;
        match &self.server {
            Server::Program(program) => background::mount(program, layer, &folders, request, target),
            Server::ThisProcess => in_process::mount(layer, &folders, request, target),
        }
        .map_err(|error| error.on(layer.id))
    }

    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        self.layers.contents(layer)
    }

    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        self.layers.seal(layer, resettle)
    }

    fn remove(&self, id: &LayerId) -> DriverResult<()> {
        mounting::clear_dead_of(id)?;
        // A server whose mount is gone takes a moment to end.
        let mut attempts = 100;
        while attempts > 0 && self.layers.is_locked(id)? {
            attempts -= 1;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        if attempts == 0 {
            let reason = "it is mounted, or a layer on it is: unmount that first";
            return Err(DriverError::new(ErrorKind::InUse, "remove layer", reason).on(id));
        }
        self.layers.home.remove(id)
    }

    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        self.layers.usage(layer)
    }

    fn layers(&self) -> DriverResult<Vec<LayerId>> {
        self.layers.home.layers()
    }

    fn status(&self) -> DriverResult<DriverStatus> {
        Ok(self.facts.status(&self.server))
    }
}
