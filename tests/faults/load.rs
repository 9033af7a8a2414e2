//! A mixed load: one process of many that pulls, makes, writes, commits, mounts, removes and collects in one store.
//!
//! Every process has names of its own, so that it knows at any time what has to be there under them; the layers below are everybody's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use plywood::graph::Waits;
use plywood::{
    CommitOptions, LayerState, Location, MountRequest, MountTarget, OpenOptions, Platform, Plywood,
    PullOptions,
};

use crate::images;
use crate::random::Random;
use crate::world::World;

/// Images that each process has.
pub const IMAGES: usize = 3;

/// What was begun, and whether it is done: the same lines tell another process about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    MoreImages(String),
    FewerImages(String),
    MoreContainers(String),
    FewerContainers(String),
    /// Nothing under any name changes.
    None,
}

impl Change {
    pub fn line(&self) -> String {
        match self {
            Self::MoreImages(name) => format!("+image {name}"),
            Self::FewerImages(name) => format!("-image {name}"),
            Self::MoreContainers(name) => format!("+container {name}"),
            Self::FewerContainers(name) => format!("-container {name}"),
            Self::None => "nothing".to_owned(),
        }
    }

    pub fn parse(line: &str) -> Self {
        let name = || line.split(' ').nth(1).unwrap().to_owned();
        match line.split(' ').next() {
            Some("+image") => Self::MoreImages(name()),
            Some("-image") => Self::FewerImages(name()),
            Some("+container") => Self::MoreContainers(name()),
            Some("-container") => Self::FewerContainers(name()),
            _ => Self::None,
        }
    }
}

/// What is there under the names of all processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub images: BTreeSet<String>,
    pub containers: BTreeSet<String>,
}

impl Names {
    pub fn of(store: &Plywood) -> Self {
        let images = store.images().unwrap().into_iter().flat_map(|image| image.names);
        Self {
            images: images.map(|name| name.to_string()).collect(),
            containers: store.containers().unwrap().into_iter().map(|container| container.name).collect(),
        }
    }

    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::MoreImages(name) => drop(self.images.insert(name.clone())),
            Change::FewerImages(name) => drop(self.images.remove(name)),
            Change::MoreContainers(name) => drop(self.containers.insert(name.clone())),
            Change::FewerContainers(name) => drop(self.containers.remove(name)),
            Change::None => {}
        }
    }

    fn only(mut self, prefix: &str) -> Self {
        self.images.retain(|name| name.starts_with(&format!("localhost/{prefix}")));
        self.containers.retain(|name| name.starts_with(prefix));
        self
    }
}

/// Writes the layout that the load pulls from: some images for each of so many processes, all on the same base.
pub fn layout(folder: &Path, processes: usize) {
    let (base, middle) = (images::base(), images::middle());
    let tops: Vec<Vec<u8>> = (0..IMAGES as u64).map(|seed| images::top(100 * (seed + 1))).collect();
    let mut named = Vec::new();
    for process in 0..processes {
        for (index, top) in tops.iter().enumerate() {
            let layers = if index == 0 {
                vec![base.clone(), top.clone()]
            } else {
                vec![base.clone(), middle.clone(), top.clone()]
            };
            named.push((format!("m{process}-{index}"), layers));
        }
    }
    let named: Vec<(&str, &[Vec<u8>])> =
        named.iter().map(|(name, layers)| (name.as_str(), layers.as_slice())).collect();
    images::layout(folder, &named);
}

/// Where the load works: what can be told to another process.
#[derive(Debug, Clone)]
pub struct Place {
    options: OpenOptions,
    pub layout: std::path::PathBuf,
}

impl Place {
    pub fn of(world: &World, durability: plywood::Durability) -> Self {
        Self { options: OpenOptions { durability, ..world.options() }, layout: world.path("layout") }
    }

    /// For the command line of another process.
    pub fn told(&self) -> String {
        let driver = self.options.driver;
        format!(
            "{} {driver} {:?} {}",
            self.options.root.as_ref().unwrap().display(),
            self.options.durability,
            self.layout.display()
        )
    }

    pub fn heard(words: &[&str]) -> Self {
        let durability =
            if words[2] == "Full" { plywood::Durability::Full } else { plywood::Durability::None };
        let options = OpenOptions {
            root: Some(words[0].into()),
            driver: words[1].parse().unwrap(),
            durability,
            ..OpenOptions::default()
        };
        Self { options, layout: words[3].into() }
    }

    pub fn open(&self) -> Plywood {
        Plywood::open(self.options.clone()).unwrap()
    }
}

/// A process of the load.
pub struct Load {
    place: Place,
    store: Plywood,
    prefix: String,
    random: Random,
    names: Names,
    /// Containers, and the image that each stands on.
    on: BTreeMap<String, String>,
    made: usize,
    waits: Option<Waits>,
}

impl Load {
    pub fn new(place: Place, number: usize, seed: u64) -> Self {
        let store = place.open();
        let prefix = format!("m{number}-");
        let names = Names::of(&store).only(&prefix);
        let containers =
            store.containers().unwrap().into_iter().filter(|container| container.name.starts_with(&prefix));
        let images = store.images().unwrap();
        let named = |container: &plywood::ContainerRecord| {
            images.iter().find(|image| Some(image.id) == container.image).unwrap().names[0].to_string()
        };
        let on = containers.map(|container| (container.name.clone(), named(&container))).collect();
        let made = usize::try_from(seed % 1_000_000_000).unwrap() * 1000;
        Self { place, store, prefix, random: Random::new(seed), names, on, made, waits: None }
    }

    /// Does one thing. `tell` hears of it before and after.
    pub fn step(&mut self, tell: &mut dyn FnMut(&str)) {
        let change = self.choose();
        tell(&format!("begin {}", change.line()));
        self.perform(&change);
        tell("done");
        self.names.apply(&change);
        if let Change::FewerContainers(name) = &change {
            self.on.remove(name);
        }
    }

    fn choose(&mut self) -> Change {
        match self.random.below(16) {
            0..=3 => {
                Change::MoreImages(format!("localhost/{}{}:latest", self.prefix, self.random.below(IMAGES)))
            }
            4..=6 => {
                let free = self.names.images.iter().filter(|name| !self.on.values().any(|on| on == *name));
                self.random.one_of(free.cloned()).map_or(Change::None, Change::FewerImages)
            }
            7..=9 if !self.names.images.is_empty() && self.on.len() < 4 => {
                self.made += 1;
                Change::MoreContainers(format!("{}w{}", self.prefix, self.made))
            }
            10 | 11 => {
                self.random.one_of(self.on.keys().cloned()).map_or(Change::None, Change::FewerContainers)
            }
            12 if !self.on.is_empty() && self.names.images.len() < 6 => {
                self.made += 1;
                Change::MoreImages(format!("localhost/{}c{}:latest", self.prefix, self.made))
            }
            _ => Change::None,
        }
    }

    fn perform(&mut self, change: &Change) {
        match change {
            Change::MoreImages(name) if name.contains("-c") => {
                let container = self.random.one_of(self.on.keys().cloned()).unwrap();
                let name = Some(name.parse().unwrap());
                plywood::commit(&self.store, &container, name, &CommitOptions::default(), &()).unwrap();
            }
            Change::MoreImages(name) => {
                let short = name.trim_start_matches("localhost/").trim_end_matches(":latest");
                let from: Location = format!("oci:{}:{short}", self.place.layout.display()).parse().unwrap();
                let options = PullOptions { name: Some(name.parse().unwrap()), platform: Platform::host() };
                plywood::pull(&self.store, &from, &options, &()).unwrap();
            }
            Change::FewerImages(name) => drop(self.store.remove_image(name, true).unwrap()),
            Change::MoreContainers(name) => {
                let image = self.random.one_of(self.names.images.iter().cloned()).unwrap();
                self.store.create_container(Some(&image), Some(name)).unwrap();
                self.on.insert(name.clone(), image);
            }
            Change::FewerContainers(name) => self.store.remove_container(name, true).unwrap(),
            Change::None => self.look_around(),
        }
    }

    fn look_around(&mut self) {
        match self.random.below(8) {
            0 => drop(self.store.gc(false).unwrap()),
            1 => self.reopen(),
            2 => {
                if let Some(name) = self.random.one_of(self.on.keys().cloned()) {
                    let request = MountRequest::read_write();
                    let held = self.store.mount_held(MountTarget::Container(&name), &request).unwrap();
                    std::fs::write(held.target().join("written"), self.made.to_string()).unwrap();
                    held.end().unwrap();
                }
            }
            3 => {
                if let Some(name) = self.random.one_of(self.names.images.iter().cloned()) {
                    let mounted =
                        self.store.mount(MountTarget::Image(&name), &MountRequest::inspection(), None);
                    // Somebody else may have mounted the same layer there, and take it down before us.
                    match mounted.and_then(|_| self.store.unmount(&name)) {
                        Ok(()) => {}
                        Err(error) => assert!(is_of_sharing(&error), "{error:?}"),
                    }
                }
            }
            4 => {
                if let Some(name) = self.random.one_of(self.on.keys().cloned()) {
                    let layer = self.store.container(&name).unwrap().layer;
                    self.store.diff(&layer, &mut std::io::sink()).unwrap();
                }
            }
            _ => self.verify(),
        }
    }

    fn reopen(&mut self) {
        self.gather();
        self.store = self.place.open();
    }

    fn gather(&mut self) {
        let new = self.store.waits();
        let sum = self.waits.get_or_insert_with(|| Waits {
            by_millisecond: vec![0; new.by_millisecond.len()],
            longest: std::time::Duration::ZERO,
        });
        for (sum, new) in sum.by_millisecond.iter_mut().zip(&new.by_millisecond) {
            *sum += new;
        }
        sum.longest = sum.longest.max(new.longest);
    }

    /// What was acknowledged is there, and nothing else under these names.
    pub fn verify(&self) {
        assert_eq!(Names::of(&self.store).only(&self.prefix), self.names);
        for image in self.store.images().unwrap() {
            assert!(image.layers.iter().all(|layer| layer.state == LayerState::Committed), "{image:?}");
        }
    }

    /// Ends the load, and answers how long it waited for the store.
    pub fn end(mut self) -> Waits {
        self.verify();
        self.gather();
        self.waits.unwrap()
    }
}

/// Whether an error only says that somebody else uses the same layer's mount right now.
fn is_of_sharing(error: &plywood::GraphError) -> bool {
    use plywood::ErrorKind;
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InUse | ErrorKind::AlreadyExists)
}
