//! A real driver, led through what the oracle did, and compared with it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use plywood_graphdriver::{
    Access, ApplyOptions, Change, DriverError, ErrorKind, GraphDriver, LayerId, LayerRef, MountRequest,
    Mounted, Ownership,
};
use plywood_sys::identity::Privilege;
use rustix::fs::{CWD, Mode, OFlags};

use super::compare::{all_carried, changes};
use super::member::{Member, Members, Style, members, read};
use super::operation::time;
use super::perform::perform;
use super::place::temporary_folder;
use super::store::{Event, Layer, Store};
use crate::listing::Listing;
use crate::subject::Subject;

/// After this many steps every layer is looked at, and not the touched one alone.
const ALL_EVERY: u64 = 20;
/// Numbers of layers from here on are nobody's in the store.
const SCRATCH: Layer = 1 << 40;

/// What is wrong, in words.
pub type Difference = String;

/// A driver in a folder of its own, with the mounts of its containers.
pub struct System {
    mounts: BTreeMap<Layer, Held>,
    driver: Box<dyn GraphDriver>,
    folder: tempfile::TempDir,
    steps: u64,
    scratch: Layer,
    /// What the ids of its layers begin with: a driver asks the mounts of the whole machine whether a layer is in use.
    prefix: u64,
}

/// A container's mount. The root is closed first: an open file keeps a mount.
struct Held {
    root: OwnedFd,
    mounted: Mounted,
}

impl System {
    /// Opens the driver in a new temporary folder.
    ///
    /// # Errors
    /// The driver's.
    pub fn open(subject: &Subject) -> Result<Self, Difference> {
        let folder = temporary_folder().map_err(|error| format!("make temporary folder: {error}"))?;
        let privilege = Privilege::probe().map_err(|error| format!("probe privilege: {error}"))?;
        let driver = (subject.open)(&folder.path().join(subject.name), privilege).map_err(failed("open"))?;
        Ok(Self { mounts: BTreeMap::new(), driver, folder, steps: 0, scratch: SCRATCH, prefix: prefix() })
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> &dyn GraphDriver {
        &*self.driver
    }

    /// Makes a container.
    ///
    /// # Errors
    /// The driver's.
    pub fn snapshot(&self, layer: Layer, parents: &[Layer]) -> Result<(), Difference> {
        let (id, parents) = self.ids(layer, parents);
        let new = LayerRef::new(&id, &parents);
        self.driver.snapshot(new, Access::ReadWrite).map_err(failed("snapshot"))
    }

    /// The root of a mounted container.
    #[must_use]
    pub fn root(&self, layer: Layer) -> &OwnedFd {
        &self.mounts[&layer].root
    }

    /// Does what the store's last transition did, and compares.
    ///
    /// # Errors
    /// What differs.
    pub fn step(&mut self, store: &Store) -> Result<(), Difference> {
        self.steps += 1;
        match &store.event {
            Event::Began => {}
            Event::Applied(layer, tar) => {
                self.apply(*layer, &store.layers[layer].parents, tar)?;
                self.check(store, *layer)?;
            }
            Event::Snapshotted(layer) => {
                self.snapshot(*layer, &store.layers[layer].parents)?;
                self.check(store, *layer)?;
            }
            Event::Viewed(layer) => self.view(store, *layer)?,
            Event::Did(layer, operation, expected) => {
                let answer = perform(self.root(*layer), operation, time(store.clock()));
                if answer != *expected {
                    return Err(format!("it answers {answer:?}"));
                }
                self.check(store, *layer)?;
            }
            Event::Copied(container, layer) => {
                let tar = self.diff(*container, &store.layers[container].parents)?;
                self.apply(*layer, &store.layers[layer].parents, &tar)?;
                self.check(store, *layer)?;
            }
            Event::Sealed(layer, mounted) => self.seal(store, *layer, *mounted)?,
            Event::Mounted(layer) => {
                self.mount(*layer, &store.layers[layer].parents)?;
                self.check(store, *layer)?;
            }
            Event::Unmounted(layer) => {
                self.unmount(*layer)?;
                self.check(store, *layer)?;
            }
            Event::Diffed(layer) => self.round_trip(store, *layer)?,
            Event::Removed(layers) => layers.iter().try_for_each(|layer| self.remove(*layer))?,
        }
        self.check_layers(store)?;
        if self.steps.is_multiple_of(ALL_EVERY) { self.check_all(store) } else { Ok(()) }
    }

    /// Compares all there is, and takes it down.
    ///
    /// # Errors
    /// What differs, or is left.
    pub fn finish(mut self, store: &Store) -> Result<(), Difference> {
        self.check_all(store)?;
        for layer in store.mounted(true) {
            self.unmount(layer)?;
        }
        // A layer is younger than all it stands on.
        for layer in store.layers.keys().rev() {
            self.remove(*layer)?;
        }
        let left = self.driver.layers().map_err(failed("layers"))?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("layers are left after all were removed: {left:?}"))
        }
    }

    /// Compares every layer, each twice over: the bytes of a diff are the same each time.
    ///
    /// # Errors
    /// What differs.
    pub fn check_all(&mut self, store: &Store) -> Result<(), Difference> {
        for layer in store.layers.keys() {
            let diff = self.check(store, *layer)?;
            if diff != self.diff(*layer, &store.layers[layer].parents)? {
                return Err(format!("layer {layer}: two diffs of it are not the same bytes"));
            }
        }
        Ok(())
    }

    /// Compares one layer: its tree, its changes, its diff, and what the diff makes of the parent's tree. Gives the diff.
    fn check(&self, store: &Store, layer: Layer) -> Result<Vec<u8>, Difference> {
        let tree = &store.layers[&layer].tree;
        let expected = tree.listing();
        let seen = self.look(layer, &store.layers[&layer].parents)?;
        same_listing(&format!("the tree of layer {layer}"), &expected, &seen)?;
        let parent = store.parent_tree(layer).map(super::tree::Tree::listing);
        let told = self.changes(layer, &store.layers[&layer].parents)?;
        let possible = changes(parent.as_ref(), &expected);
        let right = possible.with(told.iter().map(|change| &change.path[..]));
        let line = |change: &Change| format!("{} /{}", change.kind.letter(), change.path.escape_ascii());
        let (right_lines, told_lines): (Vec<_>, Vec<_>) =
            (right.told().iter().map(line).collect(), told.iter().map(line).collect());
        same_lines(&format!("the changes of layer {layer}"), &right_lines, &told_lines)?;
        let tar = self.diff(layer, &store.layers[&layer].parents)?;
        let diff = read(&tar)?;
        let written = members(&right, parent.as_ref(), &expected, Style::PLAIN);
        same_members(&format!("the diff of layer {layer}"), &written, &diff.all)?;
        applies(store, layer, &diff, &expected)?;
        Ok(tar)
    }

    /// The tree of a layer as it is seen now.
    ///
    /// # Errors
    /// The driver's.
    pub fn look(&self, layer: Layer, parents: &[Layer]) -> Result<Listing, Difference> {
        if let Some(held) = self.mounts.get(&layer) {
            return Ok(Listing::of(held.mounted.target()));
        }
        let (id, parents) = self.ids(layer, parents);
        let request = MountRequest { read_only: true, ..MountRequest::default() };
        let target = self.target("look")?;
        let mounted = self
            .driver
            .mount(LayerRef::new(&id, &parents), &request, &target)
            .map_err(failed("mount read-only"))?;
        let seen = Listing::of(mounted.target());
        mounted.unmount().map_err(failed("unmount"))?;
        Ok(seen)
    }

    /// What a layer's driver tells of its changes.
    ///
    /// # Errors
    /// The driver's.
    pub fn changes(&self, layer: Layer, parents: &[Layer]) -> Result<Vec<Change>, Difference> {
        let (id, parents) = self.ids(layer, parents);
        let mut told = Vec::new();
        let visit = &mut |change| {
            told.push(change);
            Ok(())
        };
        self.driver.changes(LayerRef::new(&id, &parents), visit).map_err(failed("changes"))?;
        Ok(told)
    }

    /// The bytes of a layer's diff.
    ///
    /// # Errors
    /// The driver's.
    pub fn diff(&self, layer: Layer, parents: &[Layer]) -> Result<Vec<u8>, Difference> {
        let (id, parents) = self.ids(layer, parents);
        let mut tar = Vec::new();
        self.driver.diff(LayerRef::new(&id, &parents), &mut tar).map_err(failed("diff"))?;
        Ok(tar)
    }

    /// Makes a layer out of a tar.
    ///
    /// # Errors
    /// The driver's, and what was left out.
    pub fn apply(&self, layer: Layer, parents: &[Layer], tar: &[u8]) -> Result<(), Difference> {
        let (id, parents) = self.ids(layer, parents);
        let layer = LayerRef::new(&id, &parents);
        let alone = if self.driver.capabilities().independent_apply { &[][..] } else { &parents };
        let options = ApplyOptions::new(Ownership::FromLayer);
        let applied =
            self.driver.apply(LayerRef::new(&id, alone), &mut &*tar, options).map_err(failed("apply"))?;
        if !applied.skipped.is_empty() {
            return Err(format!("apply left something out: {:?}", applied.skipped));
        }
        self.driver.seal(layer, None).map_err(failed("seal"))
    }

    /// Removes a layer; that it is gone already is no error.
    ///
    /// # Errors
    /// The driver's.
    pub fn remove(&self, layer: Layer) -> Result<(), Difference> {
        let id = self.id(layer);
        self.driver.remove(&id).map_err(failed("remove"))?;
        self.driver.remove(&id).map_err(failed("remove what is removed"))
    }

    /// Mounts a container, to be written to.
    ///
    /// # Errors
    /// The driver's.
    pub fn mount(&mut self, layer: Layer, parents: &[Layer]) -> Result<(), Difference> {
        let (id, parents) = self.ids(layer, parents);
        let target = self.target(&format!("mounted-{layer}"))?;
        let mounted = self
            .driver
            .mount(LayerRef::new(&id, &parents), &MountRequest::read_write(), &target)
            .map_err(failed("mount"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, mounted.target(), flags, Mode::empty())
            .map_err(|error| format!("open mounted root: {error}"))?;
        self.mounts.insert(layer, Held { root, mounted });
        Ok(())
    }

    /// Unmounts a container, if it is mounted.
    ///
    /// # Errors
    /// The driver's.
    pub fn unmount(&mut self, layer: Layer) -> Result<(), Difference> {
        let Some(Held { root, mounted }) = self.mounts.remove(&layer) else { return Ok(()) };
        drop(root);
        mounted.unmount().map_err(failed("unmount"))
    }

    fn seal(&mut self, store: &Store, layer: Layer, mounted: bool) -> Result<(), Difference> {
        if mounted {
            self.unmount(layer)?;
        }
        let (id, parents) = self.ids(layer, &store.layers[&layer].parents);
        let sealed = LayerRef::new(&id, &parents);
        self.driver.seal(sealed, None).map_err(failed("seal"))?;
        self.refuses_writes(sealed)?;
        self.check(store, layer).map(drop)
    }

    fn refuses_writes(&self, layer: LayerRef<'_>) -> Result<(), Difference> {
        let target = self.target("look")?;
        match self.driver.mount(layer, &MountRequest::read_write(), &target) {
            Err(error) if error.kind == ErrorKind::InvalidInput => Ok(()),
            Err(error) => Err(failed("mount what is sealed")(error)),
            Ok(mounted) => {
                mounted.unmount().map_err(failed("unmount"))?;
                Err("a sealed layer was mounted to be written to".to_owned())
            }
        }
    }

    /// A read-only snapshot has its parent's tree, no changes and an empty diff.
    fn view(&mut self, store: &Store, layer: Layer) -> Result<(), Difference> {
        let view = self.next_scratch();
        let chain = [&[layer][..], &store.layers[&layer].parents].concat();
        let (id, parents) = self.ids(view, &chain);
        let viewed = LayerRef::new(&id, &parents);
        self.driver.snapshot(viewed, Access::ReadOnly).map_err(failed("snapshot read-only"))?;
        self.refuses_writes(viewed)?;
        let expected = store.layers[&layer].tree.listing();
        same_listing(&format!("a view of layer {layer}"), &expected, &self.look(view, &chain)?)?;
        let told = self.changes(view, &chain)?;
        let mut tar = Vec::new();
        self.driver.diff(viewed, &mut tar).map_err(failed("diff"))?;
        if !told.is_empty() || !read(&tar)?.all.is_empty() {
            return Err(format!("a view of layer {layer} has changes: {told:?}"));
        }
        self.remove(view)
    }

    /// A layer's diff, applied to its parent, gives its tree, and the new layer's diff is the same bytes.
    fn round_trip(&mut self, store: &Store, layer: Layer) -> Result<(), Difference> {
        let parents = &store.layers[&layer].parents;
        let tar = self.diff(layer, parents)?;
        let copy = self.next_scratch();
        self.apply(copy, parents, &tar)?;
        let expected = all_carried(&store.layers[&layer].tree.listing());
        let seen = all_carried(&self.look(copy, parents)?);
        same_listing(&format!("the tree that the diff of layer {layer} gives"), &expected, &seen)?;
        self.remove(copy)
    }

    fn check_layers(&self, store: &Store) -> Result<(), Difference> {
        let mut there = self.driver.layers().map_err(failed("layers"))?;
        there.sort();
        let expected: Vec<LayerId> = store.layers.keys().map(|layer| self.id(*layer)).collect();
        if there == expected { Ok(()) } else { Err(format!("layers on disk: {there:?}, not {expected:?}")) }
    }

    fn id(&self, layer: Layer) -> LayerId {
        LayerId::from_bytes((u128::from(self.prefix) << 64 | u128::from(layer)).to_be_bytes())
    }

    fn ids(&self, layer: Layer, parents: &[Layer]) -> (LayerId, Vec<LayerId>) {
        (self.id(layer), parents.iter().map(|parent| self.id(*parent)).collect())
    }

    fn next_scratch(&mut self) -> Layer {
        self.scratch += 1;
        self.scratch
    }

    fn target(&self, name: &str) -> Result<PathBuf, Difference> {
        let target = self.folder.path().join(name);
        make_folder(&target)?;
        Ok(target)
    }
}

fn make_folder(path: &Path) -> Result<(), Difference> {
    match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(format!("make {}: {error}", path.display())),
    }
}

/// A number that no other system of this machine has.
fn prefix() -> u64 {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 32 | OPENED.fetch_add(1, Ordering::Relaxed)
}

/// Says that an operation failed that should not have.
pub fn failed(operation: &str) -> impl Fn(DriverError) -> Difference {
    move |error| format!("{operation} fails: {error}: {}", error.source)
}

/// What the members of a diff make of the parent's tree in memory.
fn applies(store: &Store, layer: Layer, diff: &Members, expected: &Listing) -> Result<(), Difference> {
    let mut tree = store.parent_tree(layer).cloned().unwrap_or_else(super::tree::Tree::empty);
    diff.apply(&mut tree)?;
    let what = format!("the tree that the diff of layer {layer} means");
    same_listing(&what, &all_carried(expected), &all_carried(&tree.listing()))
}

fn same_members(what: &str, expected: &[Member], seen: &[Member]) -> Result<(), Difference> {
    if expected == seen {
        return Ok(());
    }
    let lines = |members: &[Member]| members.iter().map(ToString::to_string).collect::<Vec<_>>();
    same_lines(what, &lines(expected), &lines(seen))
}

/// Compares two trees.
///
/// # Errors
/// The lines that differ.
pub fn same_listing(what: &str, expected: &Listing, seen: &Listing) -> Result<(), Difference> {
    if expected == seen { Ok(()) } else { same_lines(what, &expected.lines(), &seen.lines()) }
}

/// Compares lines.
///
/// # Errors
/// Those that one side has alone.
pub fn same_lines(what: &str, expected: &[String], seen: &[String]) -> Result<(), Difference> {
    if expected == seen {
        return Ok(());
    }
    let missing =
        expected.iter().filter(|line| !seen.contains(line)).map(|line| format!("  expected {line}"));
    let wrong = seen.iter().filter(|line| !expected.contains(line)).map(|line| format!("  but has  {line}"));
    let mut differing: Vec<String> = missing.chain(wrong).collect();
    if differing.is_empty() {
        differing = vec![format!("  the order or number of {seen:?}, not of {expected:?}")];
    }
    Err(format!("{what} differs:\n{}", differing.join("\n")))
}
