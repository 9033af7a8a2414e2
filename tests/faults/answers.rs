//! What the program says and leaves when it is asked for what is not there, or told to stop.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::images::{self, Piece};
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
        let pull =
            world.command(["pull", &source, "--name", "large"]).stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        while names(&world.root().join("recipes")).len() < 2 {
            assert!(began.elapsed() < Duration::from_mins(1), "the pull does not begin");
            std::thread::sleep(Duration::from_millis(2));
        }
        kill_process(Pid::from_child(&pull), signal).unwrap();
        let output = pull.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("cancelled"), "{said}");
        // By itself: nobody has opened the store since.
        for folder in ["recipes", "leases", "tmp"] {
            assert_eq!(names(&world.root().join(folder)), [""; 0], "{driver}: {folder}");
        }
        assert!(world.recovered().layers.is_empty());
    }
}
