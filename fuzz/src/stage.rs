//! Drivers in the sandbox, and layers applied to them.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use plywood_archive::digest::Measured;
use plywood_archive::recipe::{RecipeError, rebuild};
use plywood_graphdriver::{
    ApplyOptions, Contents, DriverError, DriverResult, GraphDriver, LayerId, LayerRef, MountRequest,
    Ownership, Resettle,
};
use plywood_overlay2::Overlay2;
use plywood_sys::identity::Privilege;
use plywood_tree::ContentsFiles;
use plywood_vfs::Vfs;
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

use crate::canary::Canary;
use crate::layers::Elsewhere;
use crate::sandbox;
use crate::trees::{self, Tree};

/// All that may be in a layer's folder, whatever the driver.
const OWN_NAMES: [&str; 8] = ["diff", "work", "root", "upper", "again", "copied", "pending", "sealed"];

/// A driver among canaries, in memory.
pub struct Stage {
    pub driver: Box<dyn GraphDriver>,
    pub canary: Canary,
    ownership: Ownership,
    mount_point: TempDir,
    scratch: OwnedFd,
}

/// A layer that was applied and sealed.
pub struct Layer {
    pub id: LayerId,
    /// Nearest first.
    pub parents: Vec<LayerId>,
    pub recipe: Vec<u8>,
}

impl Layer {
    pub fn reference(&self) -> LayerRef<'_> {
        LayerRef::new(&self.id, &self.parents)
    }

    /// The layer and its parents: what a layer on top of it stands on.
    pub fn chain(&self) -> Vec<LayerId> {
        std::iter::once(&self.id).chain(&self.parents).cloned().collect()
    }
}

impl Stage {
    pub fn overlay2() -> Self {
        Self::new(|folder, privilege| Box::new(Overlay2::open(folder, privilege).unwrap()))
    }

    pub fn vfs() -> Self {
        Self::new(|folder, privilege| Box::new(Vfs::open(folder, privilege).unwrap()))
    }

    fn new(open: fn(&std::path::Path, Privilege) -> Box<dyn GraphDriver>) -> Self {
        sandbox::folder();
        let privilege = Privilege::probe().unwrap();
        let ownership = if privilege.may_change_owners() { Ownership::FromLayer } else { Ownership::Caller };
        let mut canary = Canary::new();
        let driver = open(&canary.driver_folder(), privilege);
        canary.remember();
        let mount_point = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let scratch = rustix::fs::open(mount_point.path(), flags, Mode::empty()).unwrap();
        Self { driver, canary, ownership, mount_point, scratch }
    }

    pub fn elsewhere(&self) -> Elsewhere {
        Elsewhere { outside: self.canary.outside(), far: self.canary.far() }
    }

    /// Applies and seals a layer; one that is refused is removed, as its owner must.
    pub fn unpack(&self, parents: Vec<LayerId>, tar: &[u8]) -> DriverResult<Layer> {
        let mut layer = Layer { id: fresh_id(), parents, recipe: Vec::new() };
        let made = self.apply_and_seal(&mut layer, tar);
        self.canary.assert_unchanged();
        self.assert_contained();
        match made {
            Ok(()) => Ok(layer),
            Err(error) => {
                self.driver.remove(&layer.id).unwrap();
                Err(error)
            }
        }
    }

    fn apply_and_seal(&self, layer: &mut Layer, tar: &[u8]) -> DriverResult<()> {
        let (id, parents) = (layer.id.clone(), layer.parents.clone());
        let reference = LayerRef::new(&id, &parents);
        let mut options = ApplyOptions::new(self.ownership);
        options.recipe = Some(&mut layer.recipe);
        self.driver.apply(reference, &mut &*tar, options)?;
        let mut again = Again { ownership: self.ownership, tar, recipe: &mut layer.recipe };
        self.driver.seal(reference, Some(&mut again))
    }

    /// The tar, made again from the layer's files and a recipe, as long as `out` takes it.
    pub fn rebuild(
        &self,
        layer: &Layer,
        recipe: &[u8],
        out: &mut dyn std::io::Write,
    ) -> Result<Measured, RecipeError> {
        let contents = self.driver.contents(layer.reference()).unwrap();
        let mut files = ContentsFiles::new(&contents, self.scratch.as_fd());
        let mut open =
            || -> std::io::Result<Box<dyn Read>> { Ok(Box::new(std::io::Cursor::new(recipe.to_vec()))) };
        rebuild(&mut open, &mut files, out)
    }

    pub fn diff(&self, layer: &Layer) -> DriverResult<Vec<u8>> {
        let mut tar = Vec::new();
        self.driver.diff(layer.reference(), &mut tar)?;
        Ok(tar)
    }

    /// What a mount shows.
    pub fn seen(&self, layer: &Layer) -> Tree {
        let target = self.mount_point.path();
        let mounted = self.driver.mount(layer.reference(), &MountRequest::inspection(), target).unwrap();
        let tree = trees::read(target);
        mounted.unmount().unwrap();
        tree
    }

    pub fn remove_all(&self) {
        for id in self.driver.layers().unwrap() {
            self.driver.remove(&id).unwrap();
        }
        assert_eq!(self.driver.layers().unwrap(), []);
    }

    /// Nothing but layers is in the driver's folder, and nothing but what the driver makes in a layer's.
    fn assert_contained(&self) {
        let folder = self.canary.driver_folder();
        for name in names(&folder).into_iter().filter(|name| !["empty", "l"].contains(&name.as_str())) {
            assert!(name.parse::<LayerId>().is_ok(), "{name} in the driver's folder");
            for inner in names(&folder.join(&name)) {
                assert!(OWN_NAMES.contains(&inner.as_str()), "{inner} in a layer's folder");
            }
        }
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    crate::canary::list(folder).collect()
}

/// An id that this process has not used yet; drivers look for mounts by the id, and see only the process's own.
fn fresh_id() -> LayerId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0xaa; 16];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    LayerId::from_bytes(bytes)
}

/// The chain of causes.
pub fn told(error: &DriverError) -> String {
    format!("{error}: {}", error.source)
}

/// Unpacks the same tar again.
struct Again<'a> {
    ownership: Ownership,
    tar: &'a [u8],
    recipe: &'a mut Vec<u8>,
}

impl Resettle for Again<'_> {
    fn again(
        &mut self,
        _contents: &Contents,
        apply: &mut dyn FnMut(&mut dyn Read, ApplyOptions<'_>) -> DriverResult<()>,
    ) -> DriverResult<()> {
        self.recipe.clear();
        let mut options = ApplyOptions::new(self.ownership);
        options.recipe = Some(self.recipe);
        apply(&mut &*self.tar, options)
    }
}
