//! Many processes on one store: nobody loses anything, nobody waits long, and one image is unpacked once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plywood::Durability;
use plywood::graph::Waits;

use crate::images::{self, Piece};
use crate::load::{self, Load, Place};
use crate::number;
use crate::random::Random;
use crate::supervisor::{Sort, Verdict, watch};
use crate::world::{DRIVERS, World};

/// Tells a process of this test what it is to do.
const MEMBER: &str = "PLYWOOD_FAULTS_MEMBER";
const PROCESSES: usize = 64;

/// Not a test of its own: a process of the crowd.
#[test]
fn member() {
    let Ok(told) = std::env::var(MEMBER) else { return };
    let words: Vec<&str> = told.split(' ').collect();
    let [number, operations, seed] = [0, 1, 2].map(|place| words[place].parse::<usize>().unwrap());
    let mut load = Load::new(Place::heard(&words[3..]), number, seed as u64);
    tell("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    for _ in 0..operations {
        load.step(&mut |_| {});
    }
    let waits = load.end();
    let counts: Vec<String> = waits.by_millisecond.iter().map(ToString::to_string).collect();
    tell(&format!("waits {} {}", waits.longest.as_micros(), counts.join(" ")));
}

fn tell(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Starts this test's program as a process of the crowd.
fn start(told: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crowd::member", "--nocapture", "--test-threads", "1"]).env(MEMBER, told);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn await_line(from: &mut impl BufRead, beginning: &str) -> String {
    for line in from.lines() {
        let line = line.unwrap();
        if line.starts_with(beginning) {
            return line;
        }
    }
    panic!("a process of the crowd ended without '{beginning}'");
}

/// Lets the crowd loose on a store below `folder`, and answers how long its members waited.
fn crowd(driver: &'static str, folder: &str, durability: Durability, operations: usize) -> Waits {
    let world = World::below(std::path::Path::new(folder), driver);
    load::layout(&world.path("layout"), PROCESSES);
    drop(world.open());
    let place = Place::of(&world, durability).told();
    let mut random = Random::told("crowd");
    let mut members: Vec<_> = (0..PROCESSES)
        .map(|number| {
            let mut child = start(&format!("{number} {operations} {} {place}", random.below(1 << 30)));
            let stdout = BufReader::new(child.stdout.take().unwrap());
            (child, stdout)
        })
        .collect();
    for (_, stdout) in &mut members {
        await_line(stdout, "ready");
    }
    let began = Instant::now();
    for (child, _) in &mut members {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let mut sum: Option<Waits> = None;
    for (mut child, mut stdout) in members {
        let waits = heard(&await_line(&mut stdout, "waits "));
        assert!(child.wait().unwrap().success());
        let sum = sum.get_or_insert_with(|| Waits {
            longest: Duration::ZERO,
            by_millisecond: vec![0; waits.by_millisecond.len()],
        });
        sum.longest = sum.longest.max(waits.longest);
        sum.by_millisecond.iter_mut().zip(&waits.by_millisecond).for_each(|(sum, more)| *sum += more);
    }
    let waits = sum.unwrap();
    println!(
        "{driver} in {folder}, {durability:?}: {PROCESSES} processes, {operations} operations each in {:.1} s: \
         {} waits, 99% within {:?}, the longest {:?}",
        began.elapsed().as_secs_f64(),
        waits.by_millisecond.iter().sum::<u64>(),
        waits.percentile(99),
        waits.longest
    );
    world.recovered();
    waits
}

fn heard(line: &str) -> Waits {
    let mut numbers = line.split(' ').skip(1).map(|word| word.parse::<u64>().unwrap());
    let longest = Duration::from_micros(numbers.next().unwrap());
    Waits { longest, by_millisecond: numbers.collect() }
}

#[test]
fn nobody_loses_anything_or_waits_long() {
    let _alone = crate::alone();
    let operations = number("PLYWOOD_FAULTS_OPERATIONS", 15);
    let folder = std::env::var("PLYWOOD_FAULTS_FOLDER").unwrap_or_else(|_| "/dev/shm".to_owned());
    for driver in DRIVERS {
        let waits = crowd(driver, &folder, Durability::Full, operations);
        // Without optimisation it is the processors that 64 processes wait for.
        if cfg!(debug_assertions) {
            continue;
        }
        assert!(waits.percentile(99) < Duration::from_millis(250), "{:?}", waits.percentile(99));
        assert!(waits.longest < Duration::from_secs(2), "{:?}", waits.longest);
    }
}

/// One unpacks, and nine wait for it, told so; readers go on meanwhile.
#[test]
fn ten_pulls_at_once_unpack_an_image_once() {
    let _alone = crate::alone();
    for driver in DRIVERS {
        let world = World::new(driver);
        let files: Vec<Piece> = (0..300)
            .map(|index| {
                Piece::File(
                    Box::leak(format!("file-{index}").into_boxed_str()),
                    images::noise(index, 400_000),
                )
            })
            .collect();
        let layers = [images::base(), images::layer(&files), images::top(1)];
        images::layout(&world.path("layout"), &[("large", &layers)]);
        let source = world.source("large");
        let arguments = ["pull", source.as_str(), "--name", "large"];
        let alone = (0..2).map(|_| {
            let began = Instant::now();
            world.ok(&arguments);
            let took = began.elapsed();
            world.ok(&["rmi", "large"]);
            took
        });
        let alone = alone.min().unwrap();
        let began = Instant::now();
        let pulls: Vec<Child> = (0..10)
            .map(|_| world.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
            .collect();
        let mut said = String::new();
        for pull in pulls {
            let output = pull.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{stderr}");
            said.push_str(&stderr);
        }
        let together = began.elapsed();
        let count = |what: &str| said.lines().filter(|line| line.contains(what)).count();
        let (unpacked, waited, reused) =
            (count("unpacking"), count("waiting for another process"), count("there already"));
        println!(
            "{driver}: one pull {alone:?}, ten at once {together:?} ({:.2}); {unpacked} layers unpacked, {waited} waited for, \
             {reused} there",
            together.as_secs_f64() / alone.as_secs_f64()
        );
        assert_eq!((unpacked, reused), (3, 27), "{said}");
        world.recovered();
    }
}

#[test]
fn while_an_image_is_pulled_others_look_and_wait_their_turn() {
    let _alone = crate::alone();
    for driver in DRIVERS {
        let world = World::new(driver);
        world.make_layout();
        drop(world.open());
        let source = world.source("app");
        let arguments = ["pull", source.as_str(), "--name", "app"];
        let mut other = None;
        let mut pull = world.command(arguments);
        pull.stdout(Stdio::null()).stderr(Stdio::null());
        // Held where it writes its first recipe, until the others have been heard.
        let status = watch(&mut pull, &mut |call| {
            if other.is_none() && call.sort == Sort::Changes && call.path.contains("/recipes/") {
                let looked =
                    Command::new("timeout").arg("60").args(words(&world.command(["images", "-q"]))).output();
                let looked = looked.unwrap();
                assert!(looked.status.success(), "a look waits for a pull: {looked:?}");
                assert_eq!(looked.stdout, b"", "nothing is there before it is whole");
                let mut second = world.command(arguments).stderr(Stdio::piped()).spawn().unwrap();
                let mut lines = BufReader::new(second.stderr.take().unwrap()).lines().map(Result::unwrap);
                let waits = lines.find(|line| line.contains("waiting for another process"));
                assert!(waits.is_some(), "{driver}: the second pull does not wait");
                other = Some((second, lines));
            }
            Verdict::Go
        });
        assert!(status.success());
        let (mut second, lines) = other.unwrap();
        let said: Vec<String> = lines.collect();
        assert!(second.wait().unwrap().success(), "{said:?}");
        assert!(said.iter().any(|line| line.contains("there already")), "{said:?}");
        assert!(!said.iter().any(|line| line.contains("unpacking")), "{said:?}");
        world.recovered();
    }
}

/// The program and the arguments of a command.
fn words(command: &Command) -> impl Iterator<Item = &std::ffi::OsStr> {
    std::iter::once(command.get_program()).chain(command.get_args())
}
