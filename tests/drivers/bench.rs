//! A driver on a temporary folder, with the chain of layers that a case builds.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use plywood_archive::recipe;
use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Change, Contents, DriverError, DriverResult, GraphDriver, LayerId,
    LayerRef, MountRequest, Ownership, Resettle,
};
use plywood_overlay2::Overlay2;
use plywood_sys::identity::Privilege;
use plywood_tree::ContentsFiles;
use plywood_vfs::Vfs;

/// Runs a case on every driver.
pub fn on_every_driver(case: impl Fn(&mut Bench)) {
    for driver in ["overlay2", "vfs"] {
        eprintln!("on {driver}");
        case(&mut Bench::new(driver));
    }
}

pub struct Bench {
    pub driver: Box<dyn GraphDriver>,
    /// Base first.
    pub chain: Vec<LayerId>,
    pub folder: tempfile::TempDir,
    made: u8,
}

impl Bench {
    pub fn new(driver: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let privilege = Privilege::probe().unwrap();
        let home = folder.path().join(driver);
        let driver: Box<dyn GraphDriver> = match driver {
            "overlay2" => Box::new(Overlay2::open(&home, privilege).unwrap()),
            _ => Box::new(Vfs::open(&home, privilege).unwrap()),
        };
        std::fs::create_dir(folder.path().join("mounted")).unwrap();
        Self { driver, chain: Vec::new(), folder, made: 0 }
    }

    pub fn new_id(&mut self) -> LayerId {
        self.made += 1;
        LayerId::from_bytes([self.made; 16])
    }

    /// The parents of the layer at a position of the chain, nearest first.
    pub fn parents(&self, position: usize) -> Vec<LayerId> {
        self.chain[..position].iter().rev().cloned().collect()
    }

    fn recipe(&self, id: &LayerId) -> PathBuf {
        self.folder.path().join(format!("recipe-{id}"))
    }

    /// Applies a tar without its parents, seals it on them, and checks that its bytes can be had back.
    pub fn layer(&mut self, tar: &[u8]) -> Applied {
        self.try_layer(tar).unwrap_or_else(|error| panic!("{error}: {}", error.source))
    }

    pub fn try_layer(&mut self, tar: &[u8]) -> Result<Applied, DriverError> {
        let id = self.new_id();
        let parents = self.parents(self.chain.len());
        let applied = self.apply(&id, &mut &tar[..])?;
        let mut again = Again { recipe: self.recipe(&id), scratch: self.folder.path().to_owned(), times: 0 };
        self.driver.seal(LayerRef::new(&id, &parents), Some(&mut again))?;
        assert_eq!(self.rebuild(&id, &parents), tar, "the layer's tar is not what was applied");
        self.chain.push(id);
        Ok(applied)
    }

    pub fn apply(&self, id: &LayerId, tar: &mut dyn Read) -> DriverResult<Applied> {
        let mut recipe = Vec::new();
        let mut options = ApplyOptions::new(Ownership::FromLayer);
        options.recipe = Some(&mut recipe);
        let applied = self.driver.apply(LayerRef::new(id, &[]), tar, options)?;
        std::fs::write(self.recipe(id), recipe).unwrap();
        Ok(applied)
    }

    pub fn rebuild(&self, id: &LayerId, parents: &[LayerId]) -> Vec<u8> {
        let contents = self.driver.contents(LayerRef::new(id, parents)).unwrap();
        rebuild(&self.recipe(id), &contents, self.folder.path())
    }

    /// Makes a writable layer on the chain, lets `change` at its mounted root, and leaves it unsealed on the chain.
    pub fn change(&mut self, change: impl FnOnce(&Path)) {
        let id = self.new_id();
        let parents = self.parents(self.chain.len());
        let layer = LayerRef::new(&id, &parents);
        self.driver.snapshot(layer, Access::ReadWrite).unwrap();
        let target = self.folder.path().join("mounted");
        let mounted = self.driver.mount(layer, &MountRequest::read_write(), &target).unwrap();
        change(mounted.target());
        mounted.unmount().unwrap();
        self.chain.push(id);
    }

    /// Runs `look` on the topmost layer's mounted tree.
    pub fn look<T>(&self, look: impl FnOnce(&Path) -> T) -> T {
        let position = self.chain.len() - 1;
        let parents = self.parents(position);
        let layer = LayerRef::new(&self.chain[position], &parents);
        let target = self.folder.path().join("mounted");
        let mounted = self.driver.mount(layer, &MountRequest::inspection(), &target).unwrap();
        let seen = look(mounted.target());
        mounted.unmount().unwrap();
        seen
    }

    pub fn tree(&self) -> Vec<String> {
        self.look(crate::listing::list)
    }

    pub fn diff(&self) -> Vec<u8> {
        let position = self.chain.len() - 1;
        let mut tar = Vec::new();
        self.driver.diff(LayerRef::new(&self.chain[position], &self.parents(position)), &mut tar).unwrap();
        tar
    }

    /// Changes of the topmost layer, as `docker diff` shows them.
    pub fn changes(&self) -> Vec<String> {
        let position = self.chain.len() - 1;
        let mut seen = Vec::new();
        let visit = &mut |change: Change| {
            seen.push(format!("{} /{}", change.kind.letter(), change.path.escape_ascii()));
            Ok(())
        };
        self.driver.changes(LayerRef::new(&self.chain[position], &self.parents(position)), visit).unwrap();
        seen
    }
}

fn rebuild(recipe: &Path, contents: &Contents, scratch: &Path) -> Vec<u8> {
    let scratch = plywood_tree::resolve::open_root(scratch).unwrap();
    let mut files = ContentsFiles::new(contents, scratch.as_fd());
    let mut tar = Vec::new();
    recipe::rebuild(&mut || Ok(Box::new(std::fs::File::open(recipe)?)), &mut files, &mut tar).unwrap();
    tar
}

struct Again {
    recipe: PathBuf,
    scratch: PathBuf,
    times: u32,
}

impl Resettle for Again {
    fn again(
        &mut self,
        contents: &Contents,
        apply: &mut dyn FnMut(&mut dyn Read, ApplyOptions<'_>) -> DriverResult<()>,
    ) -> DriverResult<()> {
        self.times += 1;
        assert_eq!(self.times, 1, "a layer is unpacked again once");
        let tar = rebuild(&self.recipe, contents, &self.scratch);
        let mut recipe = Vec::new();
        let mut options = ApplyOptions::new(Ownership::FromLayer);
        options.recipe = Some(&mut recipe);
        apply(&mut &tar[..], options)?;
        std::fs::write(&self.recipe, recipe).unwrap();
        Ok(())
    }
}
