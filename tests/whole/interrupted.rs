//! A program that is killed leaves nothing behind that the next one does not clean up.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::world::World;

/// What is mounted below a folder.
fn mounts_below(world: &World) -> usize {
    let folder = world.path("").display().to_string();
    let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    list.lines().filter(|line| line.contains(&folder)).count()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what} does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_copy_that_is_killed_leaves_no_mount() {
    for driver in ["overlay2", "fuse-union", "vfs"] {
        let world = World::new();
        world.run("store", driver, ["create", "scratch", "--name", "work"]);
        // It waits for a tar that never comes.
        let mut copy = world.plywood("store", driver);
        let mut copy = copy.args(["cp", "-", "work:/"]).stdin(Stdio::piped()).spawn().unwrap();
        wait_until("the mount", || mounts_below(&world) == 1);
        // Whoever comes meanwhile is told that it is in use, and changes nothing.
        let removal = world.plywood("store", driver).args(["rm", "work"]).output().unwrap();
        assert_eq!(removal.status.code(), Some(75), "{}", String::from_utf8_lossy(&removal.stderr));
        copy.kill().unwrap();
        copy.wait().unwrap();
        assert_eq!(mounts_below(&world), 1, "{driver}");
        assert_eq!(world.run("store", driver, ["mounts", "-q"]), "");
        assert_eq!(mounts_below(&world), 0, "{driver}");
        world.run("store", driver, ["rm", "work"]);
        world.run("store", driver, ["check"]);
    }
}

#[test]
fn a_pull_that_is_killed_leaves_nothing() {
    let world = World::new();
    let tar = world.path("layer.tar");
    crate::world::succeed(
        std::process::Command::new("tar")
            .args(["-C", "/", "-cf"])
            .arg(&tar)
            .args(["usr/lib/gcc", "usr/share/perl"]),
    );
    let layout = world.path("layout");
    let arguments = [layout.clone(), "app".into(), "zstd".into(), tar];
    crate::world::tool("make-layout", arguments);
    let source = format!("oci:{}:app", layout.display());
    for driver in ["overlay2", "vfs"] {
        for wait in [20, 60, 120, 200] {
            let mut pull = world.plywood(driver, driver);
            let mut pull =
                pull.args(["pull", "-q", &source, "--name", "app"]).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(wait));
            pull.kill().unwrap();
            pull.wait().unwrap();
            let images = world.plywood(driver, driver).args(["images", "-q"]).output().unwrap();
            if String::from_utf8_lossy(&images.stderr).contains("there is no store") {
                // It had not come to making one.
                continue;
            }
            let images = String::from_utf8(images.stdout).unwrap();
            let layers = std::fs::read_dir(world.path(driver).join(driver)).unwrap();
            let layers = layers.filter(|layer| layer.as_ref().unwrap().file_name().len() == 32).count();
            let recipes = std::fs::read_dir(world.path(driver).join("recipes")).unwrap().count();
            let expected = usize::from(!images.is_empty());
            assert_eq!((layers, recipes), (expected, expected), "{driver}, killed after {wait} ms");
            world.run(driver, driver, ["check"]);
        }
        world.run(driver, driver, ["pull", "-q", &source, "--name", "app"]);
        world.run(driver, driver, ["check"]);
    }
}
