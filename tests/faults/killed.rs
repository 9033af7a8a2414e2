//! Processes of a mixed load are killed at random moments: what they had acknowledged is there, and nothing of what they had only begun is
//! left by halves.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plywood::Durability;
use plywood::graph::CheckOptions;

use crate::load::{self, Change, Load, Names, Place};
use crate::number;
use crate::random::Random;
use crate::world::{DRIVERS, World};

/// Tells a process of this test what it is to do.
const VICTIM: &str = "PLYWOOD_FAULTS_VICTIM";
const PROCESSES: usize = 3;
/// A process begins, opens the store and does some ten things in this time.
const LONGEST_LIFE: Duration = Duration::from_millis(90);
/// After so many rounds every byte is verified too.
const THOROUGH: usize = 10;

/// Not a test of its own: a process that works until it is killed.
#[test]
fn victim() {
    let Ok(told) = std::env::var(VICTIM) else { return };
    let words: Vec<&str> = told.split(' ').collect();
    let [number, seed] = [0, 1].map(|place| words[place].parse::<usize>().unwrap());
    // Lines are written whole, each with one call, and outlive the process in the pipe.
    let mut out = std::io::stdout();
    let mut load = Load::new(Place::heard(&words[2..]), number, seed as u64);
    loop {
        load.step(&mut |line| {
            out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
            out.flush().unwrap();
        });
    }
}

/// What a victim said before it died: the changes that it acknowledged, and the one that it had begun.
fn last_words(from: impl BufRead) -> (Vec<Change>, Option<Change>) {
    let (mut done, mut begun) = (Vec::new(), None);
    for line in from.lines().map_while(Result::ok) {
        if let Some(change) = line.strip_prefix("begin ") {
            begun = Some(Change::parse(change));
        } else if line == "done" {
            done.extend(begun.take());
        }
        assert!(!line.contains("panicked"), "{line}");
    }
    (done, begun)
}

/// One round: some processes work and die, each at its own moment; answers how many things they acknowledged.
fn round(world: &World, expected: &mut Names, random: &mut Random) -> usize {
    let place = Place::of(world, Durability::Full).told();
    let mut victims: Vec<_> = (0..PROCESSES)
        .map(|number| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "killed::victim", "--nocapture", "--test-threads", "1"]);
            command.env(VICTIM, format!("{number} {} {place}", random.below(1 << 30))).stdout(Stdio::piped());
            let dies = Duration::from_micros(
                random.below(usize::try_from(LONGEST_LIFE.as_micros()).unwrap()) as u64,
            );
            (dies, command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    victims.sort_by_key(|(dies, _)| *dies);
    let began = Instant::now();
    let (mut acknowledged, mut open) = (0, Vec::new());
    for (dies, victim) in &mut victims {
        std::thread::sleep(dies.saturating_sub(began.elapsed()));
        victim.kill().unwrap();
    }
    for (_, mut victim) in victims {
        let status = victim.wait().unwrap();
        let (done, begun) = last_words(BufReader::new(victim.stdout.take().unwrap()));
        let mut said = String::new();
        std::io::Read::read_to_string(&mut victim.stderr.take().unwrap(), &mut said).unwrap();
        assert!(status.code().is_none(), "a victim ended by itself: {status}: {said}");
        acknowledged += done.len();
        for change in &done {
            expected.apply(change);
        }
        open.extend(begun);
    }
    let store = world.open();
    let found = Names::of(&store);
    // What was begun may be there or not.
    for change in &open {
        let mut with = expected.clone();
        with.apply(change);
        let is_seen = match change {
            Change::MoreImages(name) | Change::FewerImages(name) => {
                found.images.contains(name) == with.images.contains(name)
            }
            Change::MoreContainers(name) | Change::FewerContainers(name) => {
                found.containers.contains(name) == with.containers.contains(name)
            }
            Change::None => false,
        };
        if is_seen {
            *expected = with;
        }
    }
    assert_eq!(found, *expected, "what was begun: {open:?}");
    acknowledged
}

#[test]
fn whenever_processes_are_killed_nothing_is_lost() {
    let _alone = crate::alone();
    let rounds = number("PLYWOOD_FAULTS_ROUNDS", 200);
    let mut random = Random::told("killed");
    for driver in DRIVERS {
        let world = World::new(driver);
        load::layout(&world.path("layout"), PROCESSES);
        let mut expected = Names::default();
        let began = Instant::now();
        let mut acknowledged = 0;
        for index in 0..rounds / DRIVERS.len() {
            acknowledged += round(&world, &mut expected, &mut random);
            if index % THOROUGH == 0 {
                world.recovered();
            } else {
                let quick = CheckOptions { quick: true, ..CheckOptions::default() };
                world
                    .open()
                    .check(quick, &mut |problem| panic!("{driver}, round {index}: {problem}"))
                    .unwrap();
            }
        }
        world.recovered();
        let took = began.elapsed().as_secs_f64();
        println!(
            "{driver}: {} rounds in {took:.1} s, {acknowledged} things acknowledged, 0 lost",
            rounds / DRIVERS.len()
        );
    }
}
