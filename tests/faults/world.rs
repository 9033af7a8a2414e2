//! A store in memory, the program on it, and everything about it that must not change behind one's back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plywood::graph::CheckOptions;
use plywood::{DriverChoice, Durability, LayerState, MountTarget, OpenOptions, Plywood};
use tempfile::TempDir;

use crate::images;

/// The drivers.
pub const DRIVERS: [&str; 2] = ["overlay2", "vfs"];

/// A folder for a store, the images and what comes out of them. Whatever is mounted in it goes with it.
pub struct World {
    folder: TempDir,
    pub driver: &'static str,
}

impl World {
    /// In memory: nobody waits for a disk.
    pub fn new(driver: &'static str) -> Self {
        Self::below(Path::new("/dev/shm"), driver)
    }

    pub fn below(folder: &Path, driver: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("plywood-faults-").tempdir_in(folder).unwrap();
        Self { folder, driver }
    }

    /// A copy of everything; nothing may be mounted in it.
    pub fn copy(&self) -> Self {
        let copy = Self::below(self.folder.path().parent().unwrap(), self.driver);
        let from = self.folder.path().join(".");
        run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(copy.folder.path()));
        copy
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn root(&self) -> PathBuf {
        self.path("store")
    }

    /// The images `base`, `app` on the same base, and `other` with a top of its own.
    pub fn make_layout(&self) {
        let (base, app) = (vec![images::base()], vec![images::base(), images::middle(), images::top(10)]);
        let other = vec![images::base(), images::top(20)];
        images::layout(&self.path("layout"), &[("base", &base), ("app", &app), ("other", &other)]);
    }

    pub fn source(&self, name: &str) -> String {
        format!("oci:{}:{name}", self.path("layout").display())
    }

    /// The program on the store.
    pub fn command<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plywood"));
        command.env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command.args(["--driver", self.driver, "--workers", "1", "--root"]).arg(self.root()).args(arguments);
        command
    }

    /// Runs the program, which must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments))
    }

    /// Changes the database behind the store's back.
    pub fn sql(&self, text: &str) {
        rusqlite::Connection::open(self.root().join("plywood.db")).unwrap().execute_batch(text).unwrap();
    }

    pub fn pull(&self, name: &str) {
        self.ok(&["pull", "-q", &self.source(name), "--name", name]);
    }

    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            root: Some(self.root()),
            driver: self.driver.parse::<DriverChoice>().unwrap(),
            durability: Durability::None,
            workers: Some(1),
            ..OpenOptions::default()
        }
    }

    pub fn open(&self) -> Plywood {
        Plywood::open(self.options()).unwrap()
    }

    /// Opens the store, which recovers it, and answers what is in it. Fails where anything is damaged or left over.
    #[track_caller]
    pub fn recovered(&self) -> State {
        let store = self.open();
        let mut problems = Vec::new();
        store.check(CheckOptions::default(), &mut |problem| problems.push(problem.to_string())).unwrap();
        assert_eq!(problems, Vec::<String>::new(), "{}: the check", self.driver);
        let state = State::of(&store);
        drop(store);
        self.assert_nothing_left(&state);
        state
    }

    /// Nothing is there but what the records name.
    #[track_caller]
    fn assert_nothing_left(&self, state: &State) {
        for folder in ["leases", "tmp"] {
            assert_eq!(names(&self.root().join(folder)), [""; 0], "{}: {folder}", self.driver);
        }
        let layers: Vec<&str> = state.layers.keys().map(String::as_str).collect();
        let is_own = |name: &String| !["empty", "l"].contains(&name.as_str());
        let listed: Vec<String> = names(&self.root().join(self.driver)).into_iter().filter(is_own).collect();
        assert_eq!(listed, layers, "{}: folders", self.driver);
        let committed = state.layers.iter().filter(|(_, facts)| facts.state == LayerState::Committed);
        let committed: Vec<&str> = committed.map(|(id, _)| id.as_str()).collect();
        assert_eq!(names(&self.root().join("recipes")), committed, "{}: recipes", self.driver);
        let mounted: BTreeSet<PathBuf> = self.mounts().into_iter().collect();
        let recorded: BTreeSet<PathBuf> = state.mounts.iter().map(PathBuf::from).collect();
        assert_eq!(mounted, recorded, "{}: mounts", self.driver);
        let points = names(&self.root().join("mnt"));
        assert_eq!(points.len(), state.mounts.len(), "{}: {points:?}", self.driver);
    }

    /// What is mounted in the folder.
    pub fn mounts(&self) -> Vec<PathBuf> {
        let list = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let targets = list.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        targets.filter(|target| target.starts_with(self.folder.path())).collect()
    }

    fn unmount_all(&self) {
        for target in self.mounts().iter().rev() {
            run(Command::new("umount").arg("-l").arg(target));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.unmount_all();
        } else if let Ok(list) = fs::read_to_string("/proc/thread-self/mountinfo") {
            let below = |line: &&str| line.contains(self.folder.path().to_str().unwrap_or("?"));
            for target in list.lines().filter(below).filter_map(|line| line.split(' ').nth(4)) {
                drop(Command::new("umount").arg("-l").arg(target).status());
            }
        }
    }
}

/// What is known of a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerFacts {
    pub state: LayerState,
    pub diff_id: Option<String>,
    pub parent: Option<String>,
    pub pinned: bool,
}

/// What is known of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerFacts {
    pub image: Option<String>,
    pub layer: String,
    /// The digest of all that it changed.
    pub changes: String,
}

/// All that a store holds, in a form that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Images by id: their names, sorted, and their layers, bottom-up.
    pub images: BTreeMap<String, (Vec<String>, Vec<String>)>,
    /// Containers by name.
    pub containers: BTreeMap<String, ContainerFacts>,
    /// Layers by id.
    pub layers: BTreeMap<String, LayerFacts>,
    pub mounts: Vec<String>,
}

impl State {
    pub fn of(store: &Plywood) -> Self {
        let images = store.images().unwrap().into_iter().map(|image| {
            let mut names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
            names.sort();
            (image.id.to_string(), (names, image.layers.iter().map(|layer| layer.id.to_string()).collect()))
        });
        let containers = store.containers().unwrap().into_iter().map(|container| {
            let mut changes = Vec::new();
            store.diff(&container.layer, &mut changes).unwrap();
            let facts = ContainerFacts {
                image: container.image.map(|image| image.to_string()),
                layer: container.layer.to_string(),
                changes: plywood::Digest::of(&changes).to_string(),
            };
            (container.name, facts)
        });
        let layers = store.layers().unwrap().into_iter().map(|layer| {
            let facts = LayerFacts {
                state: layer.state,
                diff_id: layer.diff_id.map(|diff_id| diff_id.to_string()),
                parent: layer.parent.map(|parent| parent.to_string()),
                pinned: layer.pinned,
            };
            (layer.id.to_string(), facts)
        });
        let mounts = store.mounts().unwrap().into_iter().map(|mount| mount.target.display().to_string());
        Self {
            images: images.collect(),
            containers: containers.collect(),
            layers: layers.collect(),
            mounts: mounts.collect(),
        }
    }

    /// The same without ids, which are made anew each time, and without times.
    pub fn shape(&self) -> Vec<String> {
        let diff_id = |layer: &String| self.layers[layer].diff_id.clone();
        let images = self.images.values().map(|(names, layers)| {
            format!("image {names:?} of {:?}", layers.iter().map(diff_id).collect::<Vec<_>>())
        });
        let containers =
            self.containers.iter().map(|(name, facts)| format!("container {name} {}", facts.changes));
        let layers = self.layers.values().map(|facts| {
            let below = facts.parent.as_ref().map(diff_id);
            format!("layer {:?} {:?} on {below:?} {}", facts.state, facts.diff_id, facts.pinned)
        });
        let mut shape: Vec<String> = images.chain(containers).chain(layers).collect();
        shape.sort();
        shape.push(format!("{} mounts", self.mounts.len()));
        shape
    }
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Runs a command, which must succeed, and answers what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a file into a container.
pub fn write_into(store: &Plywood, container: &str, name: &str, content: &[u8]) {
    let held =
        store.mount_held(MountTarget::Container(container), &plywood::MountRequest::read_write()).unwrap();
    fs::write(held.target().join(name), content).unwrap();
    held.end().unwrap();
}
