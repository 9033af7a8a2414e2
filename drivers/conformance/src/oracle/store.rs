//! The store in memory: layers as whole trees, and what each transition does to them.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::compare::changes;
use super::member::{Style, members, write};
use super::operation::{Operation, time};
use super::transition::{How, Place, Transition, name};
use super::tree::{HardLinks, Tree};

/// A layer's number; never used a second time.
pub type Layer = u64;

/// Layers there may be at once; containers among them; parents of one; snapshots and applies wait above that.
const MOST_LAYERS: usize = 14;
const MOST_CONTAINERS: usize = 3;
const MOST_PARENTS: usize = 9;

/// A layer as the oracle keeps it.
#[derive(Debug, Clone)]
pub struct Record {
    /// Nearest first.
    pub parents: Vec<Layer>,
    /// All that is seen in it.
    pub tree: Tree,
    /// What it is just now.
    pub state: State,
}

/// What a layer is just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// To be written to; mounted or not.
    Container {
        /// Whether it is mounted.
        mounted: bool,
    },
    /// Sealed, and wanted.
    Kept,
    /// Sealed, and there for its children only: the next collection takes it once it has none.
    Unwanted,
}

/// What the last transition came to, with every choice made: what the system under test has to do.
#[derive(Debug, Clone)]
pub enum Event {
    /// Nothing happened yet.
    Began,
    /// A tar became a layer.
    Applied(Layer, Vec<u8>),
    /// A container was made.
    Snapshotted(Layer),
    /// A read-only view of the layer was made, and removed at once.
    Viewed(Layer),
    /// Something was done in a mounted container, and this was the answer.
    Did(Layer, Operation<Vec<u8>>, Result<(), Errno>),
    /// The first, a container, became the second, a layer, by way of its diff.
    Copied(Layer, Layer),
    /// The container became a layer itself; it was mounted or not.
    Sealed(Layer, bool),
    /// The container was mounted.
    Mounted(Layer),
    /// The container was unmounted.
    Unmounted(Layer),
    /// The diff was applied to the parent, compared, and removed.
    Diffed(Layer),
    /// The layers were removed, in this order.
    Removed(Vec<Layer>),
}

/// All layers.
#[derive(Debug, Clone)]
pub struct Store {
    /// By number.
    pub layers: BTreeMap<Layer, Record>,
    /// What became of the last transition.
    pub event: Event,
    next: Layer,
    /// Operations so far: their clock.
    clock: u64,
    links: HardLinks,
}

impl Store {
    /// An empty store of a driver that does this with hard links.
    #[must_use]
    pub fn new(links: HardLinks) -> Self {
        Self { layers: BTreeMap::new(), event: Event::Began, next: 1, clock: 1, links }
    }

    /// The tree of a layer's parent.
    #[must_use]
    pub fn parent_tree(&self, layer: Layer) -> Option<&Tree> {
        Some(&self.layers[self.layers[&layer].parents.first()?].tree)
    }

    fn select(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Layer> {
        self.layers.iter().filter(|(_, record)| wanted(record)).map(|(layer, _)| *layer).collect()
    }

    /// Layers that others may stand on.
    #[must_use]
    pub fn bases(&self) -> Vec<Layer> {
        self.select(|record| {
            !matches!(record.state, State::Container { .. }) && record.parents.len() < MOST_PARENTS
        })
    }

    /// Layers that are written to.
    #[must_use]
    pub fn containers(&self) -> Vec<Layer> {
        self.select(|record| matches!(record.state, State::Container { .. }))
    }

    /// Those that are mounted, or are not.
    #[must_use]
    pub fn mounted(&self, mounted: bool) -> Vec<Layer> {
        self.select(|record| record.state == State::Container { mounted })
    }

    fn has_children(&self, layer: Layer) -> bool {
        self.layers.values().any(|record| record.parents.first() == Some(&layer))
    }

    /// Layers that may go: no mounted ones.
    fn removable(&self) -> Vec<Layer> {
        self.select(|record| !matches!(record.state, State::Container { mounted: true } | State::Unwanted))
    }

    /// Which layers a transition may choose from; none where it can do without.
    fn candidates(&self, transition: &Transition) -> Option<Vec<Layer>> {
        Some(match transition {
            Transition::Create { .. } | Transition::Base { .. } | Transition::Collect => return None,
            Transition::Apply { .. } => {
                let fit = |layer: &Layer| !self.layers[layer].tree.has_foreign();
                self.bases().into_iter().filter(fit).collect()
            }
            Transition::Snapshot { .. } => self.bases(),
            Transition::View { .. } => self.select(|record| !matches!(record.state, State::Container { .. })),
            Transition::File { .. } | Transition::Unmount { .. } => self.mounted(true),
            Transition::Mount { .. } => self.mounted(false),
            Transition::Commit { .. } | Transition::Diff { .. } => self.containers(),
            Transition::Remove { .. } => self.removable(),
        })
    }

    /// Whether a transition can be made now.
    #[must_use]
    pub fn allows(&self, transition: &Transition) -> bool {
        let room = self.layers.len() < MOST_LAYERS;
        let space = match transition {
            Transition::Create { .. } | Transition::Snapshot { .. } => {
                room && self.containers().len() < MOST_CONTAINERS
            }
            Transition::Base { .. } | Transition::Apply { .. } | Transition::Commit { .. } => room,
            _ => true,
        };
        space && self.candidates(transition).is_none_or(|candidates| !candidates.is_empty())
    }

    /// Makes a transition that is allowed.
    pub fn make(&mut self, transition: &Transition) {
        let chosen = self.candidates(transition).map(|candidates| {
            let pick = usize::from(transition.pick());
            candidates[pick % candidates.len()]
        });
        self.event = match (transition, chosen) {
            (Transition::Create { .. }, _) => self.snapshot(None),
            (Transition::Snapshot { .. }, Some(parent)) => self.snapshot(Some(parent)),
            (Transition::Base { acts, style }, _) => self.apply(None, acts, *style),
            (Transition::Apply { acts, style, .. }, Some(parent)) => self.apply(Some(parent), acts, *style),
            (Transition::View { .. }, Some(layer)) => Event::Viewed(layer),
            (Transition::File { operation, .. }, Some(layer)) => self.file(layer, operation),
            (Transition::Commit { how, .. }, Some(layer)) => self.commit(layer, *how),
            (Transition::Mount { .. }, Some(layer)) => self.set_mounted(layer, true),
            (Transition::Unmount { .. }, Some(layer)) => self.set_mounted(layer, false),
            (Transition::Diff { .. }, Some(layer)) => Event::Diffed(layer),
            (Transition::Remove { .. }, Some(layer)) => self.remove(layer),
            (Transition::Collect, _) => self.collect(),
            (transition, None) => panic!("{transition:?} was made though it is not allowed"),
        };
    }

    fn chain(&self, parent: Option<Layer>) -> Vec<Layer> {
        let Some(parent) = parent else { return Vec::new() };
        [&[parent][..], &self.layers[&parent].parents].concat()
    }

    fn add(&mut self, parents: Vec<Layer>, tree: Tree, state: State) -> Layer {
        let layer = self.next;
        self.next += 1;
        self.layers.insert(layer, Record { parents, tree, state });
        layer
    }

    fn snapshot(&mut self, parent: Option<Layer>) -> Event {
        let tree = parent.map_or_else(Tree::empty, |parent| self.layers[&parent].tree.snapshot());
        let state = State::Container { mounted: false };
        Event::Snapshotted(self.add(self.chain(parent), tree, state))
    }

    /// Does operations to a copy of the parent's tree, and makes a tar of the difference.
    fn apply(&mut self, parent: Option<Layer>, acts: &[Operation<Place>], style: Style) -> Event {
        let before = parent.map(|parent| &self.layers[&parent].tree);
        let mut tree = before.map_or_else(Tree::empty, Tree::snapshot);
        for operation in acts {
            self.clock += 1;
            let found = operation.map(|place| resolve(&tree, place));
            // Setting up: what fails changes nothing. No layer carries what is foreign.
            if !found.is_foreign() {
                tree.perform(&found, time(self.clock), HardLinks::Broken).ok();
            }
        }
        let (old, new) = (before.map(Tree::listing), tree.listing());
        let all = changes(old.as_ref(), &new).with_all();
        let tar = write(&members(&all, old.as_ref(), &new, style), &tree);
        let layer = self.add(self.chain(parent), tree, State::Kept);
        Event::Applied(layer, tar)
    }

    fn file(&mut self, layer: Layer, operation: &Operation<Place>) -> Event {
        self.clock += 1;
        let (now, links) = (time(self.clock), self.links);
        let tree = &mut self.record(layer).tree;
        let found = operation.map(|place| resolve(tree, place));
        let answer = tree.perform(&found, now, links);
        Event::Did(layer, found, answer)
    }

    /// What no layer carries is lost by way of a diff: such a container is sealed.
    fn commit(&mut self, layer: Layer, how: How) -> Event {
        let record = &self.layers[&layer];
        let foreign = record.tree.has_foreign() || self.parent_tree(layer).is_some_and(Tree::has_foreign);
        if how == How::Diff && !foreign {
            let made = self.add(record.parents.clone(), record.tree.clone(), State::Kept);
            return Event::Copied(layer, made);
        }
        let mounted = record.state == State::Container { mounted: true };
        self.record(layer).state = State::Kept;
        Event::Sealed(layer, mounted)
    }

    fn set_mounted(&mut self, layer: Layer, mounted: bool) -> Event {
        self.record(layer).state = State::Container { mounted };
        if mounted { Event::Mounted(layer) } else { Event::Unmounted(layer) }
    }

    /// Removes a container; takes a layer's name away, and the layer if nothing stands on it.
    fn remove(&mut self, layer: Layer) -> Event {
        if self.has_children(layer) {
            self.record(layer).state = State::Unwanted;
            return Event::Removed(Vec::new());
        }
        self.layers.remove(&layer);
        Event::Removed(vec![layer])
    }

    /// Removes what is unwanted and has no children, the topmost first.
    fn collect(&mut self) -> Event {
        let mut removed = Vec::new();
        loop {
            let unwanted = self.select(|record| record.state == State::Unwanted);
            let Some(layer) = unwanted.into_iter().find(|layer| !self.has_children(*layer)) else {
                return Event::Removed(removed);
            };
            self.layers.remove(&layer);
            removed.push(layer);
        }
    }

    fn record(&mut self, layer: Layer) -> &mut Record {
        self.layers.get_mut(&layer).expect("transitions choose among layers that are there")
    }

    /// The time of the last operation.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }
}

/// Finds the path that a place means in a tree as it is now.
fn resolve(tree: &Tree, place: &Place) -> Vec<u8> {
    let join = super::operation::join;
    match place {
        Place::Root => Vec::new(),
        Place::There(pick) => {
            let mut paths = tree.paths();
            paths.swap_remove(usize::from(*pick) % paths.len()).0
        }
        Place::In(pick, chosen) => {
            let folder = |(path, number): (Vec<u8>, _)| {
                let shallow = path.split(|byte| *byte == b'/').count() <= 2;
                (shallow && tree.inode(number).is_folder()).then_some(path)
            };
            let mut folders: Vec<Vec<u8>> = tree.paths().into_iter().filter_map(folder).collect();
            join(&folders.swap_remove(usize::from(*pick) % folders.len()), name(*chosen))
        }
        Place::Below(pick, chosen) => {
            let mut paths = tree.paths();
            join(&paths.swap_remove(usize::from(*pick) % paths.len()).0, name(*chosen))
        }
    }
}
