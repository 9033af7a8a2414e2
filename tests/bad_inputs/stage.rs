//! Where a case plays: a driver on a fresh folder among canaries, and layers applied and sealed on it.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::error::Error;
use std::hash::{BuildHasher, Hasher};
use std::io::{Cursor, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use plywood_archive::recipe::rebuild;
use plywood_graphdriver::{
    Applied, ApplyOptions, Contents, DriverError, DriverResult, ErrorKind, GraphDriver, LayerId, LayerRef,
    MountRequest, Ownership, Resettle,
};
use plywood_overlay2::Overlay2;
use plywood_sys::identity::Privilege;
use plywood_tree::ContentsFiles;
use plywood_vfs::Vfs;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Uid};
use tempfile::TempDir;

use crate::canary::{Canary, list};
use crate::look::Tree;

/// All that may be in a layer's folder, whatever the driver.
const OWN_NAMES: [&str; 8] = ["diff", "work", "root", "upper", "again", "copied", "pending", "sealed"];

/// The unprivileged user of the cases without root.
const NOBODY: u32 = 65_534;

type Open = fn(&Path, Privilege) -> Box<dyn GraphDriver>;

/// A driver among canaries.
pub struct Stage {
    pub driver: Box<dyn GraphDriver>,
    pub canary: Canary,
    pub ownership: Ownership,
    mount_point: TempDir,
    scratch: OwnedFd,
    open: Open,
    privilege: Privilege,
}

/// A layer that was applied and sealed.
#[derive(Debug)]
pub struct Layer {
    pub id: LayerId,
    pub applied: Applied,
    /// Bytes of the recipe.
    pub recipe_bytes: usize,
    /// How long applying and sealing took.
    pub took: Duration,
    parents: Vec<LayerId>,
}

/// How a layer is refused.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    pub kind: ErrorKind,
    /// What the message must name: the entry.
    pub entry: &'a str,
    /// What the message must say.
    pub reason: &'a str,
}

impl<'a> Refusal<'a> {
    pub fn invalid(entry: &'a str, reason: &'a str) -> Self {
        Self { kind: ErrorKind::InvalidInput, entry, reason }
    }

    pub fn limit(entry: &'a str, reason: &'a str) -> Self {
        Self { kind: ErrorKind::LimitExceeded, entry, reason }
    }
}

/// Held for writing by cases whose time is measured, and for reading by all others.
static MACHINE: RwLock<()> = RwLock::new(());

/// Plays a case on overlay2 and on vfs; without root on vfs alone.
pub fn on_each_driver(case: impl Fn(&Stage)) {
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    play(case);
}

/// The same, with no other case of this process running meanwhile.
pub fn on_each_driver_alone(case: impl Fn(&Stage)) {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    play(case);
}

fn play(case: impl Fn(&Stage)) {
    let privilege = Privilege::probe().unwrap();
    if privilege.may_mount() {
        case(&Stage::new(privilege, open_overlay2));
    }
    case(&Stage::new(privilege, open_vfs));
}

fn open_overlay2(folder: &Path, privilege: Privilege) -> Box<dyn GraphDriver> {
    Box::new(Overlay2::open(folder, privilege).unwrap())
}

fn open_vfs(folder: &Path, privilege: Privilege) -> Box<dyn GraphDriver> {
    Box::new(Vfs::open(folder, privilege).unwrap())
}

/// Plays a case on vfs without privilege: on a thread that gives up root, which on Linux each thread does for itself.
pub fn without_privilege(case: impl Fn(&Stage) + Sync) {
    thread::scope(|scope| {
        let played = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_groups(&[]).unwrap();
                let (group, user) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
                rustix::thread::set_thread_res_gid(group, group, group).unwrap();
                rustix::thread::set_thread_res_uid(user, user, user).unwrap();
            }
            let privilege = Privilege::probe().unwrap();
            assert_eq!(privilege, Privilege::None);
            case(&Stage::new(privilege, open_vfs));
        });
        if let Err(panic) = played.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Stage {
    fn new(privilege: Privilege, open: Open) -> Self {
        let mut canary = Canary::new();
        let driver = open(&canary.driver_folder(), privilege);
        let mount_point = tempfile::tempdir().unwrap();
        canary.remember();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let scratch = rustix::fs::open(mount_point.path(), flags, Mode::empty()).unwrap();
        let ownership = if privilege.may_change_owners() { Ownership::FromLayer } else { Ownership::Caller };
        Self { driver, canary, ownership, mount_point, scratch, open, privilege }
    }

    /// The driver once more on the same folder: for a store to own.
    pub fn open_driver(&self) -> Box<dyn GraphDriver> {
        (self.open)(&self.canary.driver_folder(), self.privilege)
    }

    pub fn is_overlay(&self) -> bool {
        self.driver.name() == "overlay2"
    }

    /// Whether files get the owners that a layer names.
    pub fn keeps_owners(&self) -> bool {
        self.ownership == Ownership::FromLayer
    }

    /// Applies a tar that must get through, on top of `base`, and seals it.
    #[track_caller]
    pub fn accept(&self, base: Option<&Layer>, tar: &[u8]) -> Layer {
        self.unpack(base, tar).unwrap_or_else(|error| panic!("{}: {}", self.driver.name(), told(&error)))
    }

    /// Applies a tar that must not get through, and checks that nothing is left of it.
    #[track_caller]
    pub fn refuse(&self, base: Option<&Layer>, tar: &[u8], expected: Refusal<'_>) {
        let before = self.layers();
        match self.unpack(base, tar) {
            Ok(layer) => {
                panic!("{}: got through: {expected:?}: {:?}", self.driver.name(), self.seen(&layer).paths())
            }
            Err(error) => self.assert_refused(&error, expected),
        }
        assert_eq!(self.layers(), before, "a refused layer is left behind");
    }

    #[track_caller]
    fn assert_refused(&self, error: &DriverError, expected: Refusal<'_>) {
        let text = told(error);
        let driver = self.driver.name();
        assert_eq!(error.kind, expected.kind, "{driver}: {text}");
        let layer = error.layer.as_ref().unwrap_or_else(|| panic!("{driver}: no layer is named: {text}"));
        assert!(text.contains(layer.short()), "{driver}: the layer is not told: {text}");
        assert!(
            text.contains(expected.entry),
            "{driver}: the entry {:?} is not told: {text}",
            expected.entry
        );
        assert!(
            text.contains(expected.reason),
            "{driver}: the reason {:?} is not told: {text}",
            expected.reason
        );
    }

    /// Applies and seals; a layer that is refused is removed, as its owner must. The canaries are looked at after each step.
    #[track_caller]
    pub fn unpack(&self, base: Option<&Layer>, tar: &[u8]) -> Result<Layer, DriverError> {
        self.unpack_from(base, &mut || Box::new(Cursor::new(tar.to_vec())), Some(tar))
    }

    /// The same for a tar too large to hold: `open` gives it from its start, as often as it is asked.
    #[track_caller]
    pub fn unpack_from(
        &self,
        base: Option<&Layer>,
        open: &mut dyn FnMut() -> Box<dyn Read>,
        expected: Option<&[u8]>,
    ) -> Result<Layer, DriverError> {
        let id = fresh_id();
        let parents: Vec<LayerId> =
            base.iter().flat_map(|base| std::iter::once(&base.id).chain(&base.parents)).cloned().collect();
        let layer = LayerRef::new(&id, &parents);
        let mut recipe = Vec::new();
        let started = Instant::now();
        let unpacked = self.options(&mut recipe, |options| self.driver.apply(layer, &mut *open(), options));
        let applying = started.elapsed();
        self.canary.assert_unchanged();
        let started = Instant::now();
        let sealed = unpacked.and_then(|applied| {
            let mut again = Again { stage: self, open, recipe: &mut recipe };
            self.driver.seal(layer, Some(&mut again)).map(|()| applied)
        });
        let took = applying + started.elapsed();
        self.canary.assert_unchanged();
        self.assert_contained();
        match sealed {
            Ok(applied) => {
                if let Some(tar) = expected {
                    assert_eq!(self.rebuilt(layer, &recipe), tar, "the tar does not come out as it came in");
                }
                Ok(Layer { id, applied, recipe_bytes: recipe.len(), took, parents })
            }
            Err(error) => {
                let sealed = self.layer_folder(&id).join("sealed");
                assert!(!sealed.exists(), "a refused layer is sealed");
                self.driver.remove(&id).unwrap();
                self.canary.assert_unchanged();
                Err(error)
            }
        }
    }

    fn options<T>(&self, recipe: &mut Vec<u8>, with: impl FnOnce(ApplyOptions<'_>) -> T) -> T {
        let mut options = ApplyOptions::new(self.ownership);
        options.recipe = Some(recipe);
        with(options)
    }

    /// The tar, made again from the layer's files and its recipe.
    fn rebuilt(&self, layer: LayerRef<'_>, recipe: &[u8]) -> Vec<u8> {
        let contents = self.driver.contents(layer).unwrap();
        let mut files = ContentsFiles::new(&contents, self.scratch.as_fd());
        let mut tar = Vec::new();
        let mut open = || -> std::io::Result<Box<dyn Read>> { Ok(Box::new(Cursor::new(recipe.to_vec()))) };
        rebuild(&mut open, &mut files, &mut tar).unwrap();
        tar
    }

    /// Nothing but layers is in the driver's folder, and nothing but what the driver makes in a layer's.
    #[track_caller]
    fn assert_contained(&self) {
        let folder = self.canary.driver_folder();
        for name in list(&folder).filter(|name| !["empty", "l"].contains(&name.as_str())) {
            assert!(name.parse::<LayerId>().is_ok(), "{name} in the driver's folder");
            for inner in list(&folder.join(&name)) {
                assert!(OWN_NAMES.contains(&inner.as_str()), "{inner} in the layer's folder");
            }
        }
    }

    pub fn layers(&self) -> BTreeSet<LayerId> {
        self.driver.layers().unwrap().into_iter().collect()
    }

    /// The driver's folder of a layer.
    pub fn layer_folder(&self, id: &LayerId) -> PathBuf {
        self.canary.driver_folder().join(id.as_str())
    }

    /// What the layer itself has on disk: of overlay2 its own files, of vfs the whole tree.
    pub fn raw(&self, layer: &Layer) -> Tree {
        let name = if self.is_overlay() { "diff" } else { "root" };
        Tree::of(&self.layer_folder(&layer.id).join(name))
    }

    /// What a mount shows; without privilege, what vfs would mount.
    pub fn seen(&self, layer: &Layer) -> Tree {
        if !self.driver.capabilities().mounts {
            return self.raw(layer);
        }
        let target = self.mount_point.path();
        let reference = LayerRef::new(&layer.id, &layer.parents);
        let mounted = self.driver.mount(reference, &MountRequest::inspection(), target).unwrap();
        let tree = Tree::of(target);
        mounted.unmount().unwrap();
        tree
    }
}

/// An id of no other layer on this machine: drivers look for mounts by the id alone.
fn fresh_id() -> LayerId {
    let random = || RandomState::new().build_hasher().finish().to_le_bytes();
    let (high, low) = (random(), random());
    LayerId::from_bytes(std::array::from_fn(|index| if index < 8 { high[index] } else { low[index - 8] }))
}

/// The chain of causes, as a program would print it.
pub fn told(error: &DriverError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Unpacks the same tar again.
struct Again<'a> {
    stage: &'a Stage,
    open: &'a mut dyn FnMut() -> Box<dyn Read>,
    recipe: &'a mut Vec<u8>,
}

impl Resettle for Again<'_> {
    fn again(
        &mut self,
        _contents: &Contents,
        apply: &mut dyn FnMut(&mut dyn Read, ApplyOptions<'_>) -> DriverResult<()>,
    ) -> DriverResult<()> {
        self.recipe.clear();
        self.stage.options(self.recipe, |options| apply(&mut *(self.open)(), options))
    }
}
