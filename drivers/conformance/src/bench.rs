//! A driver on a folder of its own, with the chain of layers that a case builds.

use std::io::Read;
use std::path::{Path, PathBuf};

use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Change, DriverResult, GraphDriver, LayerId, LayerRef, MountRequest,
    Mounted, Ownership, Usage,
};
use plywood_sys::identity::Privilege;

use crate::faulty::{Fault, FaultyDriver};
use crate::listing::{Listing, assert_same, list};
use crate::recipes::{Again, rebuild};
use crate::subject::Subject;

/// A layer's id and the chain below it, owned; [`as_ref`](Layer::as_ref) is what the driver takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The layer itself.
    pub id: LayerId,
    /// Its parents, nearest first.
    pub parents: Vec<LayerId>,
}

impl Layer {
    /// The form that every operation of a driver takes.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "the trait answers a reference, and this is a value")]
    pub fn as_ref(&self) -> LayerRef<'_> {
        LayerRef::new(&self.id, &self.parents)
    }
}

/// A driver with no layers yet, and what a case does with it. Its methods panic where the driver fails.
#[derive(Debug)]
pub struct Bench {
    /// The driver.
    pub driver: Box<dyn GraphDriver>,
    /// The chain that the case is at, base first. A case may cut it and build on: layers stay where they are.
    pub chain: Vec<LayerId>,
    subject: Subject,
    fault: Option<Fault>,
    privilege: Privilege,
    folder: PathBuf,
    made: u32,
}

impl Bench {
    /// Opens a driver in a folder, which is the case's own and outlives the bench. With a fault the driver has that.
    ///
    /// # Errors
    /// Those of opening the driver.
    pub fn open(subject: &Subject, fault: Option<Fault>, folder: &Path) -> DriverResult<Self> {
        let privilege = Privilege::probe().unwrap();
        let driver = open(subject, fault, privilege, &folder.join(subject.name))?;
        Ok(Self {
            driver,
            chain: Vec::new(),
            subject: *subject,
            fault,
            privilege,
            folder: folder.to_owned(),
            made: 0,
        })
    }

    /// The case's folder: the driver's home is one of the folders in it, and the others are the case's.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The driver's own folder.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join(self.subject.name)
    }

    /// Whose the files of layers are here: the tar's owners where the caller may give files away.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        if self.privilege.may_change_owners() { Ownership::FromLayer } else { Ownership::Caller }
    }

    /// Opens another driver of the same kind on a folder of the case's choice.
    ///
    /// # Errors
    /// Those of opening the driver.
    pub fn open_at(&self, home: &Path) -> DriverResult<Box<dyn GraphDriver>> {
        open(&self.subject, self.fault, self.privilege, home)
    }

    /// As [`open_at`](Self::open_at), after a case has given up the privilege that the process had.
    ///
    /// # Errors
    /// Those of opening the driver.
    pub fn open_unprivileged(&self, home: &Path) -> DriverResult<Box<dyn GraphDriver>> {
        open(&self.subject, self.fault, Privilege::None, home)
    }

    /// Lets go of the driver and opens it again on what it left on disk, as the next process would.
    pub fn reopen(&mut self) {
        self.driver = self.open_at(&self.home()).unwrap();
    }

    /// An id that this bench has not given out yet.
    pub fn new_id(&mut self) -> LayerId {
        self.made += 1;
        let number = self.made.to_be_bytes();
        LayerId::from_bytes(std::array::from_fn(|at| number.get(at).copied().unwrap_or(0xee)))
    }

    /// A new id on top of the chain, which is not on it until a case pushes it.
    pub fn new_layer(&mut self) -> Layer {
        Layer { id: self.new_id(), parents: self.parents(self.chain.len()) }
    }

    /// The parents of the layer at a position of the chain, nearest first.
    #[must_use]
    pub fn parents(&self, position: usize) -> Vec<LayerId> {
        self.chain[..position].iter().rev().cloned().collect()
    }

    /// The layer at a position of the chain.
    #[must_use]
    pub fn at(&self, position: usize) -> Layer {
        Layer { id: self.chain[position].clone(), parents: self.parents(position) }
    }

    /// The topmost layer of the chain.
    #[must_use]
    pub fn top(&self) -> Layer {
        self.at(self.chain.len() - 1)
    }

    /// Runs `with` on the lowest `depth` layers of the chain, on which it may build, and comes back to the chain as it was.
    pub fn branch<T>(&mut self, depth: usize, with: impl FnOnce(&mut Self) -> T) -> T {
        let kept = self.chain.clone();
        self.chain.truncate(depth);
        let answer = with(self);
        self.chain = kept;
        answer
    }

    /// Applies a tar without its parents, seals it on them, checks that its bytes can be had back, and puts it on the chain.
    pub fn layer(&mut self, tar: &[u8]) -> Applied {
        self.try_layer(tar).unwrap_or_else(|error| panic!("{error}: {}", error.source))
    }

    /// As [`layer`](Self::layer), for tars that must not get through; the chain is then as before.
    ///
    /// # Errors
    /// The driver's, of applying or of sealing.
    pub fn try_layer(&mut self, tar: &[u8]) -> DriverResult<Applied> {
        let layer = self.new_layer();
        let applied = self.apply_on(&layer, &mut &tar[..])?;
        self.try_seal(&layer)?;
        assert!(self.rebuild(&layer) == tar, "the tar that the layer's recipe gives is not what was applied");
        self.chain.push(layer.id);
        Ok(applied)
    }

    /// Applies a tar to a new layer and tells no parents; what the recipe says is kept for [`rebuild`](Self::rebuild).
    ///
    /// # Errors
    /// The driver's.
    pub fn apply(&self, id: &LayerId, tar: &mut dyn Read) -> DriverResult<Applied> {
        self.apply_on(&Layer { id: id.clone(), parents: Vec::new() }, tar)
    }

    /// As [`apply`](Self::apply), for a layer with parents: a driver without independent apply is told them.
    ///
    /// # Errors
    /// The driver's.
    pub fn apply_on(&self, layer: &Layer, tar: &mut dyn Read) -> DriverResult<Applied> {
        let mut recipe = Vec::new();
        let mut options = ApplyOptions::new(self.ownership());
        options.recipe = Some(&mut recipe);
        let independent = self.driver.capabilities().independent_apply;
        let parents = if independent { &[][..] } else { &layer.parents };
        let applied = self.driver.apply(LayerRef::new(&layer.id, parents), tar, options)?;
        std::fs::write(self.recipe(&layer.id), recipe).unwrap();
        Ok(applied)
    }

    /// Seals a layer, unpacking it again from its recipe where the driver asks for that.
    ///
    /// # Errors
    /// The driver's.
    pub fn try_seal(&self, layer: &Layer) -> DriverResult<()> {
        let mut again = Again {
            recipe: self.recipe(&layer.id),
            scratch: self.folder.clone(),
            ownership: self.ownership(),
            times: 0,
        };
        self.driver.seal(layer.as_ref(), Some(&mut again))
    }

    /// Seals the topmost layer: what was a container becomes a parent.
    pub fn seal(&self) {
        self.try_seal(&self.top()).unwrap();
    }

    fn recipe(&self, id: &LayerId) -> PathBuf {
        self.folder.join(format!("recipe-{id}"))
    }

    /// The tar that a layer was applied from, out of its recipe and its contents.
    #[must_use]
    pub fn rebuild(&self, layer: &Layer) -> Vec<u8> {
        let contents = self.driver.contents(layer.as_ref()).unwrap();
        rebuild(&self.recipe(&layer.id), &contents, &self.folder)
    }

    /// Makes a writable layer on the chain and puts it there, unsealed.
    pub fn snapshot(&mut self) {
        let layer = self.new_layer();
        self.driver.snapshot(layer.as_ref(), Access::ReadWrite).unwrap();
        self.chain.push(layer.id);
    }

    /// Makes a view of the chain that nobody writes to, and puts it there.
    pub fn view(&mut self) {
        let layer = self.new_layer();
        self.driver.snapshot(layer.as_ref(), Access::ReadOnly).unwrap();
        self.chain.push(layer.id);
    }

    /// Makes a writable layer on the chain, lets `change` at its mounted root, and leaves it unsealed on the chain.
    pub fn change<T>(&mut self, change: impl FnOnce(&Path) -> T) -> T {
        self.snapshot();
        self.write(change)
    }

    /// Makes a writable layer as [`change`](Self::change) does, and seals it.
    pub fn commit<T>(&mut self, change: impl FnOnce(&Path) -> T) -> T {
        let answer = self.change(change);
        self.seal();
        answer
    }

    /// Lets `change` at the mounted root of the topmost layer, which must not be sealed.
    pub fn write<T>(&self, change: impl FnOnce(&Path) -> T) -> T {
        let mounted = self.mount(&self.top(), &MountRequest::read_write(), "writing").unwrap();
        let answer = change(mounted.target());
        mounted.unmount().unwrap();
        answer
    }

    /// Runs `look` on the topmost layer's tree, mounted for inspection.
    pub fn look<T>(&self, look: impl FnOnce(&Path) -> T) -> T {
        self.look_at(&self.top(), look)
    }

    /// Runs `look` on a layer's tree, mounted for inspection.
    pub fn look_at<T>(&self, layer: &Layer, look: impl FnOnce(&Path) -> T) -> T {
        let mounted = self.mount(layer, &MountRequest::inspection(), "looking").unwrap();
        let seen = look(mounted.target());
        mounted.unmount().unwrap();
        seen
    }

    /// Mounts a layer at the folder `name` in the case's, for as long as the case keeps it.
    ///
    /// # Errors
    /// The driver's.
    pub fn mount(&self, layer: &Layer, request: &MountRequest<'_>, name: &str) -> DriverResult<Mounted> {
        self.driver.mount(layer.as_ref(), request, &self.place(name))
    }

    /// The path of the folder `name` in the case's, which is made where it is not there.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        let place = self.folder.join(name);
        std::fs::create_dir_all(&place).unwrap();
        place
    }

    /// The topmost layer's tree, a line each.
    #[must_use]
    pub fn tree(&self) -> Vec<String> {
        self.look(list)
    }

    /// The topmost layer's tree, to compare.
    #[must_use]
    pub fn listing(&self) -> Listing {
        self.look(Listing::of)
    }

    /// The topmost layer's diff.
    #[must_use]
    pub fn diff(&self) -> Vec<u8> {
        self.diff_of(&self.top()).unwrap().0
    }

    /// A layer's diff, and what the driver says is in it.
    ///
    /// # Errors
    /// The driver's.
    pub fn diff_of(&self, layer: &Layer) -> DriverResult<(Vec<u8>, Usage)> {
        let mut tar = Vec::new();
        let usage = self.driver.diff(layer.as_ref(), &mut tar)?;
        Ok((tar, usage))
    }

    /// Takes the topmost layer's diff, checks that it is the same twice, applies it to the same parents, and checks that this gives
    /// the same tree, and that tree the same diff. The layer that was applied takes the other's place on the chain.
    pub fn round_trip(&mut self) {
        let (tree, diff) = (self.listing(), self.diff());
        assert!(self.diff() == diff, "a diff is not the same each time");
        self.chain.pop();
        self.layer(&diff);
        assert_same(&self.listing().lines(), &tree.lines(), "the diff, applied, gives another tree");
        assert_eq!(
            crate::tarball::paths(&self.diff()),
            crate::tarball::paths(&diff),
            "the diff of the applied diff"
        );
        assert!(self.diff() == diff, "the diff of the applied diff has other bytes");
    }

    /// What the topmost layer takes.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.driver.usage(self.top().as_ref()).unwrap()
    }

    /// Changes of the topmost layer, as `docker diff` shows them.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let visited = self.changes_of(&self.top()).unwrap().into_iter();
        visited.map(|change| format!("{} /{}", change.kind.letter(), change.path.escape_ascii())).collect()
    }

    /// Changes of a layer, in the order they were visited.
    ///
    /// # Errors
    /// The driver's.
    pub fn changes_of(&self, layer: &Layer) -> DriverResult<Vec<Change>> {
        let mut seen = Vec::new();
        self.driver.changes(layer.as_ref(), &mut |change| {
            seen.push(change);
            Ok(())
        })?;
        Ok(seen)
    }

    /// Every layer that the driver says is there, sorted.
    #[must_use]
    pub fn layers(&self) -> Vec<LayerId> {
        let mut layers = self.driver.layers().unwrap();
        layers.sort();
        layers
    }
}

fn open(
    subject: &Subject,
    fault: Option<Fault>,
    privilege: Privilege,
    home: &Path,
) -> DriverResult<Box<dyn GraphDriver>> {
    let driver = (subject.open)(home, privilege)?;
    Ok(match fault {
        Some(fault) => Box::new(FaultyDriver::new(driver, fault)),
        None => driver,
    })
}
