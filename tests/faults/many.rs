//! A store with very many layers is opened, listed and recovered quickly.

use std::fs;
use std::time::{Duration, Instant};

use crate::number;
use crate::world::World;

/// Orphans that recovery finds, of so many layers.
const ORPHANS: usize = 1000;

fn id(index: usize) -> String {
    format!("{:032x}", (index as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}

/// Fills a store with committed layers, ten to a chain, as imports would have.
fn fill(world: &World, layers: usize) {
    drop(world.open());
    let mut connection = rusqlite::Connection::open(world.root().join("plywood.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    {
        let text = "INSERT INTO layers (id, parent, diff_id, chain_id, size_bytes, inodes, state, created)
            VALUES (?1, ?2, 'sha256:' || ?3, 'sha256:' || ?3, 1000, 10, 'committed', ?4)";
        let mut statement = transaction.prepare(text).unwrap();
        for index in 0..layers {
            let digest = format!("{}{}", id(index), id(index));
            let parent = (index % 10 > 0).then(|| id(index - 1));
            statement
                .execute(rusqlite::params![id(index), parent, digest, i64::try_from(index).unwrap()])
                .unwrap();
        }
    }
    transaction.commit().unwrap();
    let (home, recipes) = (world.root().join(world.driver), world.root().join("recipes"));
    for index in 0..layers {
        fs::create_dir(home.join(id(index))).unwrap();
        fs::write(recipes.join(id(index)), "").unwrap();
    }
}

/// Layers that a killed process left in staging, with their folders.
fn leave_orphans(world: &World, first: usize, count: usize) {
    let mut connection = rusqlite::Connection::open(world.root().join("plywood.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    for index in first..first + count {
        let text = "INSERT INTO layers (id, state, lease, created) VALUES (?1, 'staging', ?2, 0)";
        transaction.execute(text, rusqlite::params![id(index), id(0)]).unwrap();
        let folder = world.root().join(world.driver).join(id(index));
        fs::create_dir_all(folder.join("diff/some")).unwrap();
        fs::write(folder.join("diff/some/file"), "content").unwrap();
    }
    transaction.commit().unwrap();
}

fn timed<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let answer = what();
    (began.elapsed(), answer)
}

#[test]
fn very_many_layers_are_opened_listed_and_recovered_quickly() {
    let _alone = crate::alone();
    let layers = number("PLYWOOD_FAULTS_LAYERS", 5000);
    let orphans = ORPHANS.min(layers / 10);
    let world = World::new("overlay2");
    fill(&world, layers);
    let (opening, store) = timed(|| world.open());
    let (listing, listed) = timed(|| store.layers().unwrap().len());
    let (images, _) = timed(|| store.images().unwrap().len());
    drop(store);
    assert_eq!(listed, layers);
    let (program, _) = timed(|| world.ok(&["images", "-q"]));
    leave_orphans(&world, layers, orphans);
    let (recovering, store) = timed(|| world.open());
    assert_eq!(store.layers().unwrap().len(), layers, "the orphans are gone");
    println!(
        "{layers} layers: open {opening:?}, list {listing:?}, images {images:?}, 'plywood images' {program:?}, \
         recovery of {orphans} orphans {recovering:?}"
    );
    // The bounds are those of the program as it is released.
    if cfg!(debug_assertions) {
        return;
    }
    assert!(opening < Duration::from_secs(1), "{opening:?}");
    assert!(listing < Duration::from_millis(150), "{listing:?}");
    assert!(recovering < Duration::from_secs(5), "{recovering:?}");
}
