//! Power cuts: a store works on a disk that records, and is opened again as it was on that disk at one moment after another.
//!
//! What was flushed is there, and of what was written since some is and some is not, as of a real disk's cache.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use plywood::Durability;

use crate::load::{self, Change, Load, Names, Place};
use crate::number;
use crate::random::Random;
use crate::recorder::{Event, Recorder};
use crate::world::{World, run};

/// A file system, how it is made, and the smallest disk that it takes.
const FILE_SYSTEMS: [(&str, &[&str], u64); 3] = [
    ("ext4", &["mkfs.ext4", "-q", "-F"], 96 << 20),
    ("xfs", &["mkfs.xfs", "-q", "-f"], 320 << 20),
    ("btrfs", &["mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single"], 128 << 20),
];

/// Things that the load does for each cut that is looked at; several flushes come of each.
const STEPS: usize = 60;

/// A moment at which the power goes.
struct Cut {
    /// Events that happened before.
    events: usize,
    /// Of what was written since the last flush, only some is there.
    torn: bool,
}

fn make(kind: &str, command: &[&str], bytes: u64, folder: &Path) -> Vec<u8> {
    let image = folder.join(format!("{kind}.image"));
    File::create(&image).unwrap().set_len(bytes).unwrap();
    run(Command::new(command[0]).args(&command[1..]).arg(&image));
    let content = fs::read(&image).unwrap();
    fs::remove_file(&image).unwrap();
    content
}

fn mount(image: &Path, at: &Path) {
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at));
}

fn unmount(at: &Path) {
    run(Command::new("umount").arg(at));
}

/// Where the power goes: at flushes, and between them.
fn cuts(events: &[Event], count: usize, random: &mut Random) -> Vec<Cut> {
    let flushes: Vec<usize> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| matches!(event, Event::Flush))
        .map(|(at, _)| at + 1)
        .collect();
    let step = flushes.len().div_ceil(count.div_ceil(2)).max(1);
    let mut cuts: Vec<Cut> =
        flushes.iter().step_by(step).map(|at| Cut { events: *at, torn: false }).collect();
    for _ in 0..count / 2 {
        cuts.push(Cut { events: random.below(events.len()), torn: true });
    }
    cuts.sort_by_key(|cut| cut.events);
    cuts
}

/// What is there under names once the events so far have happened, and what was begun and not acknowledged.
fn acknowledged(events: &[Event]) -> (Names, Option<Change>) {
    let (mut names, mut begun) = (Names::default(), None);
    for event in events {
        let Event::Mark(mark) = event else { continue };
        match mark.strip_prefix("begin ") {
            Some(change) => begun = Some(Change::parse(change)),
            None => {
                if let Some(change) = begun.take() {
                    names.apply(&change);
                }
            }
        }
    }
    (names, begun)
}

/// Lets a load run on the recording disk; answers the disk before, and the events.
fn record(recorder: &Recorder, at: &Path, driver: &'static str, seed: u64) -> (World, Vec<u8>, Vec<Event>) {
    mount(&recorder.path(), at);
    let world = World::below(at, driver);
    let elsewhere = World::new(driver);
    load::layout(&elsewhere.path("layout"), 1);
    drop(world.open());
    let mut place = Place::of(&world, Durability::Full);
    place.layout = elsewhere.path("layout");
    rustix::fs::syncfs(File::open(at).unwrap()).unwrap();
    let before = recorder.begin();
    let mut load = Load::new(place, 0, seed);
    for _ in 0..STEPS {
        load.step(&mut |line| recorder.mark(line));
    }
    drop(load.end());
    let events = recorder.events();
    unmount(at);
    (world, before, events)
}

/// Makes the disk as it was at the cut, from `base`, on which everything is that was flushed before.
fn torn(base: &Path, cut: &Path, since: &[Event], random: &mut Random) {
    run(Command::new("cp").arg("--sparse=always").arg(base).arg(cut));
    let image = File::options().write(true).open(cut).unwrap();
    for event in since {
        if let Event::Write { offset, bytes } = event
            && random.below(2) == 0
        {
            image.write_all_at(bytes, *offset).unwrap();
        }
    }
}

fn play(kind: &str, made: &[&str], bytes: u64, driver: &'static str, count: usize) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let [disk, at] = ["disk", "at"].map(|name| folder.path().join(name));
    fs::create_dir(&disk).unwrap();
    fs::create_dir(&at).unwrap();
    let mut random = Random::told("power");
    let recorder = Recorder::new(&disk, make(kind, made, bytes, folder.path()));
    let (world, before, events) = record(&recorder, &at, driver, random.below(1 << 30) as u64);
    drop(recorder);
    let began = Instant::now();
    let base = folder.path().join("base");
    fs::write(&base, &before).unwrap();
    let image = File::options().write(true).open(&base).unwrap();
    let cuts = cuts(&events, count, &mut random);
    let (mut done, cut_image) = (0, folder.path().join("cut"));
    for cut in &cuts {
        // Up to the last flush before the cut everything is there.
        let flushed = events[..cut.events]
            .iter()
            .rposition(|event| matches!(event, Event::Flush))
            .map_or(done, |at| at + 1);
        for event in &events[done.min(flushed)..flushed] {
            if let Event::Write { offset, bytes } = event {
                image.write_all_at(bytes, *offset).unwrap();
            }
        }
        done = done.max(flushed);
        let since: &[Event] = if cut.torn { &events[flushed.min(cut.events)..cut.events] } else { &[] };
        torn(&base, &cut_image, since, &mut random);
        let what = format!("{kind}, {driver}, cut after {} of {} events", cut.events, events.len());
        look(&world, &cut_image, &at, acknowledged(&events[..cut.events]), &what);
    }
    let flushes = events.iter().filter(|event| matches!(event, Event::Flush)).count();
    println!(
        "{kind}, {driver}: {} cuts of {} events with {flushes} flushes in {:.1} s, 0 lost",
        cuts.len(),
        events.len(),
        began.elapsed().as_secs_f64()
    );
}

/// Opens the store that is on the disk after the cut.
fn look(world: &World, image: &Path, at: &Path, (mut expected, begun): (Names, Option<Change>), what: &str) {
    mount(image, at);
    let store = world.open();
    let found = Names::of(&store);
    drop(store);
    if let Some(change) = begun
        && found != expected
    {
        expected.apply(&change);
    }
    assert_eq!(found, expected, "{what}");
    println!("{what}: {} images, {} containers", found.images.len(), found.containers.len());
    let state = world.recovered();
    assert_eq!(state.containers.len(), found.containers.len());
    unmount(at);
}

#[test]
fn what_was_acknowledged_outlives_a_power_cut() {
    let _alone = crate::alone();
    let count = number("PLYWOOD_FAULTS_CUTS", 16);
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    for (index, (kind, made, bytes)) in FILE_SYSTEMS.into_iter().enumerate() {
        assert!(known.contains(kind), "the kernel knows no {kind}");
        play(kind, made, bytes, crate::world::DRIVERS[index % 2], count);
    }
}
