//! Recovery: from every state that a crash leaves.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::let_underscore_must_use,
    missing_docs
)]

mod common;

use std::fs;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::driver::{Fake, Hooks};
use common::images::{Image, Log, image};
use common::{Bench, names, options};
use plywood_graph::{GraphError, LayerSource, LayerState, Store, chain_ids};
use plywood_graphdriver::LayerId;
use rustix::fs::{FlockOperation, flock};

fn id(byte: u8) -> LayerId {
    LayerId::from_bytes([byte; 16])
}

/// A layer's row as a crash leaves it, with folder and recipe.
fn craft(bench: &Bench, id: &LayerId, state: &str, lease: Option<&str>, image: Option<&Image>) {
    let chain = image.map(|image| chain_ids([&image.plan.layers[0].diff_id])[0].to_string());
    let diff_id = image.map(|image| image.plan.layers[0].diff_id.to_string());
    let text =
        "INSERT INTO layers (id, state, lease, diff_id, chain_id, created) VALUES (?1, ?2, ?3, ?4, ?5, 0)";
    bench.records().execute(text, rusqlite::params![id.as_str(), state, lease, diff_id, chain]).unwrap();
    fs::create_dir_all(bench.folder.path().join("layers").join(id.as_str()).join("tree")).unwrap();
    fs::write(bench.root().join("recipes").join(id.as_str()), "half").unwrap();
}

/// A lease that lives, of another process: its row, and its file locked.
fn living_lease(bench: &Bench, id: &LayerId) -> fs::File {
    let file = fs::File::create(bench.root().join("leases").join(id.as_str())).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let text = "INSERT INTO leases (id, purpose, pid, created) VALUES (?1, 'test', 1, 0)";
    bench.records().execute(text, [id.as_str()]).unwrap();
    file
}

#[test]
fn what_a_dead_process_staged_or_deleted_goes() {
    let bench = Bench::new();
    drop(bench.open());
    let image = image("app", &["one"]);
    craft(&bench, &id(1), "staging", Some(id(9).as_str()), Some(&image));
    craft(&bench, &id(2), "staging", Some("../../lock"), None);
    craft(&bench, &id(3), "deleting", None, None);
    craft(&bench, &id(4), "deleting", Some(id(8).as_str()), None);
    fs::write(bench.root().join("recipes").join(format!("{}.new", id(1))), "").unwrap();
    fs::write(bench.root().join("leases").join(id(9).as_str()), "").unwrap();
    let text = "INSERT INTO leases (id, purpose, pid, created) VALUES (?1, 'import', 1, 0)";
    bench.records().execute(text, [id(9).as_str()]).unwrap();
    drop(bench.open());
    bench.assert_empty();
    let removed = bench.hooks.removed.load(Ordering::Relaxed);
    drop(bench.open());
    bench.assert_empty();
    assert_eq!(bench.hooks.removed.load(Ordering::Relaxed), removed, "a second recovery changes nothing");
}

#[test]
fn what_belongs_to_no_row_goes() {
    let bench = Bench::new();
    drop(bench.open());
    fs::create_dir_all(bench.folder.path().join("layers").join(id(1).as_str())).unwrap();
    for name in [id(2).to_string(), format!("{}.new", id(3)), "nonsense".to_owned()] {
        fs::write(bench.root().join("recipes").join(name), "").unwrap();
    }
    fs::write(bench.root().join("tmp").join("left"), "").unwrap();
    fs::create_dir(bench.root().join("mnt").join(id(4).as_str())).unwrap();
    drop(bench.open());
    let listed = || fs::read_dir(bench.folder.path().join("layers")).unwrap().count();
    assert_eq!(listed(), 1, "opening a store does not delete what its database forgot");
    assert_eq!(bench.open().gc(false).unwrap().layers, [id(1)]);
    bench.assert_empty();
}

#[test]
fn a_lost_database_takes_no_layer_with_it() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one", "two"]);
    store.import_image(&image.plan, &image, &()).unwrap();
    drop(store);
    let records = bench.root().join("plywood.db");
    let away = bench.folder.path().join("away.db");
    fs::rename(&records, &away).unwrap();
    drop(bench.open());
    fs::rename(&away, &records).unwrap();
    let store = bench.open();
    assert!(store.check(plywood_graph::CheckOptions::default(), &mut |problem| panic!("{problem}")).is_ok());
}

#[test]
fn a_mount_of_another_boot_goes() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one"]);
    store.import_image(&image.plan, &image, &()).unwrap();
    let layer = store.layers().unwrap().remove(0).id;
    let text = "INSERT INTO mounts VALUES (CAST('/proc' AS BLOB), ?1, 'another boot', 1, NULL, 0, 0)";
    bench.records().execute(text, [layer.as_str()]).unwrap();
    drop(bench.open());
    assert_eq!(bench.count("mounts"), 0);
}

#[test]
fn what_a_living_process_works_on_stays() {
    let bench = Bench::new();
    let store = bench.open();
    let lease = living_lease(&bench, &id(9));
    craft(&bench, &id(1), "staging", Some(id(9).as_str()), None);
    craft(&bench, &id(2), "deleting", Some(id(9).as_str()), None);
    fs::write(bench.root().join("recipes").join(format!("{}.new", id(1))), "half").unwrap();
    let temporary = fs::File::create(bench.root().join("tmp").join("mine")).unwrap();
    flock(&temporary, FlockOperation::LockExclusive).unwrap();
    drop(bench.open());
    assert_eq!(store.gc(false).unwrap().layers, []);
    assert_eq!((bench.count("layers"), bench.folders().len(), bench.recipes().len()), (2, 2, 3));
    assert_eq!(names(&bench.root().join("tmp")), ["mine"]);
    drop((lease, temporary));
    drop(bench.open());
    bench.assert_empty();
}

#[test]
fn a_layer_that_cannot_be_removed_waits_for_the_next_recovery() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one"]);
    store.import_image(&image.plan, &image, &()).unwrap();
    bench.hooks.keeps.store(true, Ordering::Relaxed);
    store.remove_image("app", false).unwrap_err();
    assert_eq!(store.layers().unwrap()[0].state, LayerState::Deleting);
    drop(bench.open());
    assert_eq!(bench.count("layers"), 1);
    bench.hooks.keeps.store(false, Ordering::Relaxed);
    drop(bench.open());
    bench.assert_empty();
}

#[test]
fn an_import_does_not_wait_for_the_dead() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one"]);
    craft(&bench, &id(1), "staging", Some(id(9).as_str()), Some(&image));
    let imported = store.import_image(&image.plan, &image, &()).unwrap();
    assert_eq!(imported.layers_unpacked, 1);
    assert_eq!((bench.count("layers"), bench.folders().len()), (1, 1));
    bench.assert_no_leftovers();
}

/// The one waited for fails, and a lease that began later is quicker: to wait for that one could be a circle.
#[test]
fn an_import_begins_anew_rather_than_wait_for_a_later_one() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one", "two"]);
    let earlier = living_lease(&bench, &id(8));
    craft(&bench, &id(1), "staging", Some(id(8).as_str()), Some(&image));
    let log = Log::default();
    std::thread::scope(|scope| {
        let importing = scope.spawn(|| store.import_image(&image.plan, &image, &log).unwrap());
        while !log.has("done 1") {
            std::thread::yield_now();
        }
        let later = living_lease(&bench, &id(9));
        let mut records = bench.records();
        let transaction = records.transaction().unwrap();
        transaction.execute("DELETE FROM layers WHERE id = ?1", [id(1).as_str()]).unwrap();
        let text = "INSERT INTO layers (id, state, lease, diff_id, chain_id, created) VALUES (?1, 'staging', ?2, ?3, ?3, 0)";
        let chain = image.plan.layers[0].diff_id.to_string();
        transaction.execute(text, [id(2).as_str(), id(9).as_str(), &chain]).unwrap();
        transaction.commit().unwrap();
        let started = || log.0.lock().unwrap().iter().filter(|line| *line == "done 1").count();
        while started() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop((earlier, later));
        assert_eq!(importing.join().unwrap().layers_unpacked, 2);
    });
    assert_eq!(bench.hooks.applied.load(Ordering::Relaxed), 3, "the second layer twice");
    drop(bench.open());
    assert_eq!((bench.count("layers"), bench.count("leases")), (2, 0));
}

#[test]
fn a_layer_that_the_driver_lost_is_damaged_and_made_anew() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one", "two", "three"]);
    store.import_image(&image.plan, &image, &()).unwrap();
    let other = common::images::image("other", &["one", "two", "four"]);
    store.import_image(&other.plan, &other, &()).unwrap();
    let before = store.image("app").unwrap();
    fs::remove_dir_all(bench.folder.path().join("layers").join(before.layers[1].id.as_str())).unwrap();
    drop(bench.open());
    assert_eq!(store.layer(before.layers[1].id.as_str()).unwrap().state, LayerState::Damaged);

    let imported = store.import_image(&image.plan, &image, &()).unwrap();
    assert_eq!((imported.layers_unpacked, imported.layers_reused), (1, 2));
    let after = store.image("app").unwrap();
    assert_ne!(after.layers[1].id, before.layers[1].id, "ids are never used again");
    let chain = store.chain(&after.layers[2].id).unwrap();
    assert_eq!(chain, [after.layers[1].id.clone(), after.layers[0].id.clone()]);
    let other = store.image("other").unwrap();
    assert_eq!(other.layers[1].id, after.layers[1].id, "the other image is healed with it");
    assert_eq!(store.chain(&other.layers[2].id).unwrap(), chain);
    assert_eq!(store.gc(false).unwrap().layers, [before.layers[1].id.clone()]);
    assert_eq!(
        store
            .check(plywood_graph::CheckOptions::default(), &mut |problem| panic!("{problem}"))
            .unwrap()
            .layers,
        4
    );
}

#[test]
fn a_driver_without_any_layer_is_taken_for_not_mounted() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one", "two"]);
    store.import_image(&image.plan, &image, &()).unwrap();
    let (layers, away) = (bench.folder.path().join("layers"), bench.folder.path().join("away"));
    fs::rename(&layers, &away).unwrap();
    fs::create_dir(&layers).unwrap();
    drop(bench.open());
    let states = |store: &Store| store.layers().unwrap().iter().map(|layer| layer.state).collect::<Vec<_>>();
    assert_eq!(states(&store), [LayerState::Committed; 2], "nothing is given up");
    fs::remove_dir(&layers).unwrap();
    fs::rename(&away, &layers).unwrap();
    assert!(store.layer_tar(&store.layers().unwrap()[0].id, &mut std::io::sink()).is_ok());
}

#[test]
fn another_driver_or_a_newer_schema_is_refused() {
    let bench = Bench::new();
    assert_eq!(Store::recorded_driver(&bench.root()).unwrap(), None);
    assert!(!bench.root().exists(), "looking makes nothing");
    let store = bench.open();
    assert_eq!(Store::recorded_driver(&bench.root()).unwrap().as_deref(), Some("fake"));
    drop(store);
    bench.records().execute("UPDATE settings SET value = 'overlay2'", []).unwrap();
    let fake = || Box::new(Fake::open(&bench.folder.path().join("layers"), Arc::new(Hooks::default())));
    let error = Store::open(&bench.root(), fake(), options()).unwrap_err();
    assert!(error.to_string().contains("made with the driver 'overlay2'"), "{error}");
    bench.records().execute("UPDATE settings SET value = 'fake'", []).unwrap();
    bench.records().pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&bench.root(), fake(), options()).unwrap_err();
    assert!(matches!(error, GraphError::Unsupported { .. }), "{error:?}");
}

#[test]
fn the_root_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    fs::create_dir(bench.root()).unwrap();
    fs::set_permissions(bench.root(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(bench.open());
    assert_eq!(fs::metadata(bench.root()).unwrap().permissions().mode() & 0o7777, 0o700);
}

const CHILD: &str = "PLYWOOD_TEST_IMPORT";

/// Not a test of its own: what the next test runs and kills.
#[test]
fn killed_child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let folder = std::path::PathBuf::from(folder);
    let store = common::open(&folder, &Arc::new(Hooks::default()));
    let image = image("app", &["one", "two"]);
    let source = Stuck { image: &image, mark: folder.join("stuck") };
    store.import_image(&image.plan, &source, &()).unwrap();
}

/// The first layer comes, the second never ends.
struct Stuck<'a> {
    image: &'a Image,
    mark: std::path::PathBuf,
}

impl LayerSource for Stuck<'_> {
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send>> {
        if index == 0 {
            return self.image.open(0);
        }
        Ok(Box::new(Forever(self.image.packed[1][..20].to_vec(), self.mark.clone())))
    }
}

struct Forever(Vec<u8>, std::path::PathBuf);

impl Read for Forever {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.0.is_empty() {
            let count = self.0.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            return Ok(count);
        }
        fs::write(&self.1, "").unwrap();
        std::thread::sleep(Duration::from_mins(1));
        Err(io::Error::other("nobody killed the import"))
    }
}

#[test]
fn an_import_that_is_killed_leaves_nothing() {
    let bench = Bench::new();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_child"])
        .env(CHILD, bench.folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !bench.folder.path().join("stuck").exists() || bench.folders().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let store = bench.open();
    assert_eq!(store.layers().unwrap().len(), 2, "its owner lives");
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(bench.folder.path().join("stuck")).unwrap();
    drop(bench.open());
    bench.assert_empty();
    let image = image("app", &["one", "two"]);
    assert_eq!(store.import_image(&image.plan, &image, &()).unwrap().layers_unpacked, 2);
}
