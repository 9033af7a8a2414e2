//! What the program says and leaves when it is asked for what is not there, or told to stop.

use std::fs::File;
use std::process::Stdio;

use rustix::process::Signal;

use crate::images::{self, Piece};
use crate::supervisor::{Sort, Verdict, watch};
use crate::world::{DRIVERS, World, names};

#[test]
fn a_mistyped_root_makes_no_store() {
    let _alone = crate::alone();
    let world = World::new("vfs");
    for command in [
        &["images"][..],
        &["ps"],
        &["gc"],
        &["check"],
        &["df"],
        &["rm", "x"],
        &["layer", "list"],
        &["mounts"],
    ] {
        let output = world.command(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("there is no store at"), "{command:?}: {said}");
        assert!(!world.root().exists(), "{command:?}");
    }
    world.ok(&["create", "scratch"]);
    world.ok(&["images"]);
}

#[test]
fn a_pull_that_is_told_to_stop_cleans_up() {
    let _alone = crate::alone();
    for (driver, signal, code) in [(DRIVERS[0], Signal::TERM, 143), (DRIVERS[1], Signal::INT, 130)] {
        let world = World::new(driver);
        let name = |index: u64| &*Box::leak(format!("file-{index}").into_boxed_str());
        let files: Vec<Piece> =
            (0..400).map(|index| Piece::File(name(index), images::noise(index, 200_000))).collect();
        images::layout(&world.path("layout"), &[("large", &[images::base(), images::layer(&files)])]);
        drop(world.open());
        let source = world.source("large");
        // The signal comes while a file is written that many others come after.
        let mut verdict = Some(Verdict::Signal(signal));
        let mut pull = world.command(["pull", &source, "--name", "large"]);
        let log = File::create(world.path("said")).unwrap();
        let status = watch(pull.stdout(Stdio::null()).stderr(log), &mut |call| {
            let is_there = call.sort == Sort::Changes && call.path.ends_with("/file-20");
            if is_there { verdict.take().unwrap_or(Verdict::Go) } else { Verdict::Go }
        });
        let said = std::fs::read_to_string(world.path("said")).unwrap();
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(said.contains("cancelled"), "{said}");
        // By itself: nobody has opened the store since.
        for folder in ["recipes", "leases", "tmp"] {
            assert_eq!(names(&world.root().join(folder)), [""; 0], "{driver}: {folder}");
        }
        assert!(world.recovered().layers.is_empty());
    }
}
