//! What a pull waits for, counted call by call: one syncfs, and at most three calls of that kind for a layer; without durability none.

use std::time::Instant;

use plywood::Durability;

use crate::supervisor::{Verdict, watch};
use crate::world::{DRIVERS, World};

/// The calls that wait for the disk, in their order.
fn syncs(world: &World, arguments: &[&str]) -> Vec<(&'static str, String)> {
    let mut syncs = Vec::new();
    let status = watch(world.command(arguments).stdout(std::process::Stdio::null()), &mut |call| {
        if ["fsync", "fdatasync", "syncfs"].contains(&call.name) {
            syncs.push((call.name, call.path.clone()));
        }
        Verdict::Go
    });
    assert!(status.success(), "{arguments:?}");
    syncs
}

#[test]
fn an_image_takes_one_syncfs_and_few_fsyncs() {
    let _alone = crate::alone();
    for driver in DRIVERS {
        for (name, layers) in [("base", 1), ("app", 3)] {
            let world = World::new(driver);
            world.make_layout();
            drop(world.open());
            let source = world.source(name);
            // Whoever comes first makes the write-ahead log and whoever leaves last ends it, whatever is pulled: here that is somebody else.
            let other = world.open();
            other.create_container(None, Some("other")).unwrap();
            let began = Instant::now();
            let all = syncs(&world, &["pull", "-q", &source, "--name", name]);
            // What takes long is written back meanwhile: see `graph/src/import/write_behind.rs`.
            let behind = usize::try_from(began.elapsed().as_millis() / 300).unwrap();
            let whole = all.iter().filter(|(call, _)| *call == "syncfs").count();
            println!("{driver}: {name} of {layers} layers: {whole} syncfs, {} in all: {all:?}", all.len());
            assert!((1..=1 + behind).contains(&whole), "{all:?}");
            assert!(all.len() - whole <= 3 * layers, "{all:?}");
            // What is synced is synced before the commit is.
            let commit = all.iter().rposition(|(_, path)| path.ends_with("-wal")).unwrap();
            let synced = all.iter().rposition(|(call, _)| *call == "syncfs").unwrap();
            assert!(synced < commit, "{all:?}");
        }
        let world = World::new(driver);
        world.make_layout();
        drop(world.open());
        let source = world.source("app");
        let none = syncs(&world, &["--durability", "none", "pull", "-q", &source, "--name", "app"]);
        assert_eq!(none, [], "{driver}: {:?}", Durability::None);
    }
}
