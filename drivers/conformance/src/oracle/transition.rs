//! What can be asked of a store, and how it is chosen.

use std::cell::OnceCell;

use proptest::prelude::*;
use proptest::strategy::{BoxedStrategy, Union};
use proptest_state_machine::ReferenceStateMachine;
use serde::{Deserialize, Serialize};

use super::member::Style;
use super::operation::{Act, Attribute, Operation, Special, Target, Text, Times};
use super::store::Store;
use super::tree::HardLinks;

/// Chooses one of what there is: the position, modulo how many there are.
pub type Pick = u16;

/// Where an operation happens, said so that it stays meaningful while a failing sequence is made shorter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The root.
    Root,
    /// A path that is there.
    There(Pick),
    /// A name in a folder that is there.
    In(Pick, u8),
    /// A name in what is there, folder or not.
    Below(Pick, u8),
}

/// Names that sort, quote and end in odd ways. `a-b` sorts between `a` and `a/b` as text, and after both as paths; `.wh`
/// is no whiteout.
const NAMES: [&[u8]; 6] = [b"a", b"b", b"a-b", b"x,y:z\\", b"\xff\n", b".wh"];
/// One more: the longest whose whiteout is not too long for a name.
const LONGEST: [u8; 251] = [b'n'; 251];

/// The name with a number.
#[must_use]
pub fn name(number: u8) -> &'static [u8] {
    NAMES.get(usize::from(number)).copied().unwrap_or(&LONGEST)
}

/// How a container becomes a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// Its diff is applied to its parent as a new layer; the container stays.
    Diff,
    /// It is sealed.
    Seal,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields choose a layer, and say what is done")]
pub enum Transition {
    /// Makes an empty container.
    Create {},
    /// Applies a tar without parents.
    Base { acts: Vec<Operation<Place>>, style: Style },
    /// Applies a tar on a layer.
    Apply { parent: Pick, acts: Vec<Operation<Place>>, style: Style },
    /// Makes a container on a layer.
    Snapshot { parent: Pick },
    /// Makes a read-only view of a layer.
    View { layer: Pick },
    /// Does something in a mounted container.
    File { container: Pick, operation: Operation<Place> },
    /// Makes a layer of a container.
    Commit { container: Pick, how: How },
    /// Mounts a container.
    Mount { container: Pick },
    /// Unmounts one.
    Unmount { container: Pick },
    /// Applies the diff of a container to its parent.
    Diff { container: Pick },
    /// Removes a container or a layer.
    Remove { layer: Pick },
    /// Removes all layers that nobody wants.
    Collect,
}

impl Transition {
    /// Which layer it chooses.
    #[must_use]
    pub fn pick(&self) -> Pick {
        match self {
            Self::Create { .. } | Self::Base { .. } | Self::Collect => 0,
            Self::Apply { parent, .. } | Self::Snapshot { parent } => *parent,
            Self::View { layer } | Self::Remove { layer } => *layer,
            Self::File { container, .. }
            | Self::Commit { container, .. }
            | Self::Mount { container }
            | Self::Unmount { container }
            | Self::Diff { container } => *container,
        }
    }
}

impl Operation<Vec<u8>> {
    /// Whether it sets an attribute that no layer carries.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(&self.act, Act::SetXattr { attribute, .. } if !Attribute::is_carried(attribute.name()))
    }
}

/// The store as a reference for drivers that break hard links when they copy up, and for those that do not.
#[derive(Debug)]
pub struct Machine<const BREAKS: bool>;

impl<const BREAKS: bool> ReferenceStateMachine for Machine<BREAKS> {
    type State = Store;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Store> {
        Just(Store::new(if BREAKS { HardLinks::Broken } else { HardLinks::Kept })).boxed()
    }

    fn transitions(store: &Store) -> BoxedStrategy<Transition> {
        STRATEGIES.with(|strategies| {
            let strategies = strategies.get_or_init(Strategies::new);
            if !store.mounted(true).is_empty() {
                strategies.mounted.clone()
            } else if !store.containers().is_empty() {
                strategies.unmounted.clone()
            } else if !store.bases().is_empty() {
                strategies.layers.clone()
            } else {
                strategies.nothing.clone()
            }
        })
    }

    fn apply(mut store: Store, transition: &Transition) -> Store {
        store.make(transition);
        store
    }

    fn preconditions(store: &Store, transition: &Transition) -> bool {
        store.allows(transition)
    }
}

thread_local! {
    /// Put together once: a hundred thousand steps would spend their time on it.
    static STRATEGIES: OnceCell<Strategies> = const { OnceCell::new() };
}

struct Strategies {
    nothing: BoxedStrategy<Transition>,
    layers: BoxedStrategy<Transition>,
    unmounted: BoxedStrategy<Transition>,
    mounted: BoxedStrategy<Transition>,
}

impl Strategies {
    fn new() -> Self {
        let file = (any::<Pick>(), operation())
            .prop_map(|(container, operation)| Transition::File { container, operation });
        let mount = any::<Pick>().prop_map(|container| Transition::Mount { container });
        let commit = (any::<Pick>(), prop_oneof![Just(How::Diff), Just(How::Seal)])
            .prop_map(|(container, how)| Transition::Commit { container, how });
        let diff = any::<Pick>().prop_map(|container| Transition::Diff { container });
        let unmount = any::<Pick>().prop_map(|container| Transition::Unmount { container });
        Self {
            nothing: prop_oneof![4 => base(), 1 => Just(Transition::Create {})].boxed(),
            layers: prop_oneof![1 => base(), 2 => apply(), 6 => snapshot(), 1 => view(), 1 => remove()].boxed(),
            unmounted: prop_oneof![
                10 => mount.clone(), 1 => snapshot(), 1 => apply(), 1 => commit.clone(), 1 => diff.clone(), 1 => remove(),
                1 => Just(Transition::Collect)
            ]
            .boxed(),
            mounted: prop_oneof![
                80 => file, 2 => mount, 2 => unmount, 4 => commit, 2 => diff, 2 => snapshot(), 2 => apply(), 1 => base(),
                1 => view(), 2 => remove(), 1 => Just(Transition::Collect), 1 => Just(Transition::Create {})
            ]
            .boxed(),
        }
    }
}

fn acts(most: usize) -> BoxedStrategy<Vec<Operation<Place>>> {
    proptest::collection::vec(operation(), 1..most).boxed()
}

fn style() -> impl Strategy<Value = Style> + Clone {
    (any::<bool>(), any::<bool>()).prop_map(|(implied, opaque)| Style { implied, opaque })
}

fn base() -> BoxedStrategy<Transition> {
    (acts(25), style()).prop_map(|(acts, style)| Transition::Base { acts, style }).boxed()
}

fn apply() -> BoxedStrategy<Transition> {
    (any::<Pick>(), acts(10), style())
        .prop_map(|(parent, acts, style)| Transition::Apply { parent, acts, style })
        .boxed()
}

fn snapshot() -> BoxedStrategy<Transition> {
    any::<Pick>().prop_map(|parent| Transition::Snapshot { parent }).boxed()
}

fn view() -> BoxedStrategy<Transition> {
    any::<Pick>().prop_map(|layer| Transition::View { layer }).boxed()
}

fn remove() -> BoxedStrategy<Transition> {
    any::<Pick>().prop_map(|layer| Transition::Remove { layer }).boxed()
}

fn operation() -> BoxedStrategy<Operation<Place>> {
    let times = prop_oneof![Just(Times::Set), Just(Times::Kept)];
    (act(), times).prop_map(|(act, times)| Operation { act, times }).boxed()
}

fn number() -> impl Strategy<Value = u8> + Clone {
    prop_oneof![12 => 0_u8..6, 1 => Just(6)]
}

/// Mostly what is there.
fn there() -> BoxedStrategy<Place> {
    prop_oneof![
        16 => any::<Pick>().prop_map(Place::There),
        2 => (any::<Pick>(), number()).prop_map(|(folder, name)| Place::In(folder, name)),
        1 => (any::<Pick>(), number()).prop_map(|(path, name)| Place::Below(path, name)),
    ]
    .boxed()
}

/// What is there, or the root.
fn any_node() -> BoxedStrategy<Place> {
    prop_oneof![9 => there(), 1 => Just(Place::Root)].boxed()
}

/// Mostly a name that may be free.
fn new() -> BoxedStrategy<Place> {
    prop_oneof![
        14 => (any::<Pick>(), number()).prop_map(|(folder, name)| Place::In(folder, name)),
        1 => (any::<Pick>(), number()).prop_map(|(path, name)| Place::Below(path, name)),
        1 => any::<Pick>().prop_map(Place::There),
    ]
    .boxed()
}

/// Either: to move onto what is there, or to a new name.
fn either() -> BoxedStrategy<Place> {
    prop_oneof![1 => there(), 1 => new()].boxed()
}

fn mode() -> impl Strategy<Value = u32> + Clone {
    proptest::sample::select(vec![0o755, 0o644, 0o4755, 0o2755, 0o1777, 0o6711, 0o2644, 0, 0o700])
}

fn owner() -> impl Strategy<Value = u32> + Clone {
    proptest::sample::select(vec![0, 1000, 70_000, 4_000_000_000])
}

fn text() -> impl Strategy<Value = Text> + Clone {
    prop_oneof![
        // Mostly of one length: then only content tells that it was written to.
        2 => (0_u8..9).prop_map(Text::Short),
        6 => (6_u8..9).prop_map(Text::Short),
        2 => Just(Text::Empty),
        1 => (0_u8..3).prop_map(Text::Page),
        1 => (0_u8..3).prop_map(Text::Holed),
    ]
}

fn attribute() -> impl Strategy<Value = Attribute> + Clone {
    proptest::sample::select(Attribute::ALL.to_vec())
}

fn act() -> BoxedStrategy<Act<Place>> {
    let special = prop_oneof![Just(Special::Fifo), Just(Special::Character), Just(Special::Block)];
    let offset = proptest::sample::select(vec![0_u32, 0, 0, 1, 4096, 70_000]);
    let size = proptest::sample::select(vec![0_u32, 1, 2, 5000, 71_680]);
    let weighted: Vec<(u32, BoxedStrategy<Act<Place>>)> = vec![
        (12, (new(), mode(), text()).prop_map(|(at, mode, text)| Act::Create { at, mode, text }).boxed()),
        (6, (there(), text()).prop_map(|(at, text)| Act::Write { at, text }).boxed()),
        (
            2,
            (there(), offset, b'a'..b'd')
                .prop_map(|(at, offset, byte)| Act::Overwrite { at, offset, byte })
                .boxed(),
        ),
        (2, (there(), text()).prop_map(|(at, text)| Act::Append { at, text }).boxed()),
        (2, (there(), size).prop_map(|(at, size_bytes)| Act::Truncate { at, size_bytes }).boxed()),
        (3, there().prop_map(|at| Act::Replace { at }).boxed()),
        (4, there().prop_map(|at| Act::Unlink { at }).boxed()),
        (9, (new(), mode()).prop_map(|(at, mode)| Act::Mkdir { at, mode }).boxed()),
        (2, there().prop_map(|at| Act::Rmdir { at }).boxed()),
        (4, there().prop_map(|at| Act::RemoveTree { at }).boxed()),
        (4, there().prop_map(|at| Act::Remake { at }).boxed()),
        (9, (there(), either()).prop_map(|(from, to)| Act::Rename { from, to }).boxed()),
        (7, (there(), new()).prop_map(|(from, to)| Act::Link { from, to }).boxed()),
        (
            4,
            (new(), any::<u8>()).prop_map(|(at, target)| Act::Symlink { at, target: Target(target) }).boxed(),
        ),
        (
            3,
            (new(), special, mode()).prop_map(|(at, special, mode)| Act::Mknod { at, special, mode }).boxed(),
        ),
        (4, (any_node(), mode()).prop_map(|(at, mode)| Act::Chmod { at, mode }).boxed()),
        (4, (any_node(), owner(), owner()).prop_map(|(at, uid, gid)| Act::Chown { at, uid, gid }).boxed()),
        (
            6,
            (any_node(), attribute(), any::<u8>())
                .prop_map(|(at, attribute, value)| Act::SetXattr { at, attribute, value })
                .boxed(),
        ),
        (3, (any_node(), attribute()).prop_map(|(at, attribute)| Act::RemoveXattr { at, attribute }).boxed()),
        (3, any_node().prop_map(|at| Act::Touch { at }).boxed()),
    ];
    Union::new_weighted(weighted).boxed()
}
