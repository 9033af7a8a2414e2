//! Snapshots of an engine: what a crash leaves of them, who needs what, and tables of an older version.
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
use std::sync::atomic::Ordering;

use common::Bench;
use common::images::image;
use plywood_graph::{
    CheckOptions, Durability, GraphError, LayerState, NewSnapshot, Problem, Reclaimed, Removal, SnapshotKind,
    SnapshotRecord, Store, StoreOptions,
};
use plywood_graphdriver::{LayerId, Ownership};

/// No process has this lease.
const DEAD: &str = "99999999999999999999999999999999";

fn new<'a>(key: &'a str, parent: Option<&'a str>) -> NewSnapshot<'a> {
    NewSnapshot { key, parent, ..NewSnapshot::default() }
}

fn active(bench: &Bench, store: &Store, key: &str, parent: Option<&str>, content: &str) -> SnapshotRecord {
    let record = store.prepare_snapshot(&new(key, parent)).unwrap();
    let tree = bench.folder.path().join("layers").join(record.layer.as_str()).join("tree");
    fs::write(tree.join("file"), content).unwrap();
    record
}

fn committed(bench: &Bench, store: &Store, name: &str, parent: Option<&str>) -> SnapshotRecord {
    active(bench, store, "making", parent, name);
    assert!(store.commit_snapshot(&new(name, None), "making").unwrap().is_none());
    store.snapshot(name).unwrap()
}

fn remove(store: &Store, key: &str) {
    let removal = store.remove_snapshot(key).unwrap();
    assert!(Removal::finish(removal.into_iter().collect()).unwrap().is_empty());
}

fn state(store: &Store, layer: &LayerId) -> LayerState {
    store.layer(layer.as_str()).unwrap().state
}

#[test]
fn the_course_of_a_snapshot_leaves_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    let base = committed(&bench, &store, "base", None);
    let top = active(&bench, &store, "top", Some("base"), "more");
    assert_eq!(
        (state(&store, &base.layer), state(&store, &top.layer)),
        (LayerState::Sealed, LayerState::Writable)
    );
    assert_eq!(store.chain(&top.layer).unwrap(), std::slice::from_ref(&base.layer));
    let view = store.view_snapshot(&new("view", Some("base"))).unwrap();
    assert_eq!(view.layer, base.layer);
    // Everything is needed.
    assert_eq!(store.gc(false).unwrap(), Reclaimed::default());
    for key in ["top", "view", "base"] {
        remove(&store, key);
    }
    drop(store);
    bench.assert_empty();
    assert_eq!(bench.count("snapshots"), 0);
}

#[test]
fn a_removal_that_nobody_finished_is_finished_by_the_next_recovery() {
    let bench = Bench::new();
    let store = bench.open();
    active(&bench, &store, "a", None, "1");
    drop(store.remove_snapshot("a").unwrap().unwrap());
    assert_eq!(bench.folders().len(), 1);
    assert!(matches!(store.snapshot("a"), Err(GraphError::NotFound { .. })));
    // The key is free at once.
    store.prepare_snapshot(&new("a", None)).unwrap();
    drop(store);
    let store = bench.open();
    assert_eq!(bench.folders().len(), 1);
    remove(&store, "a");
    drop(store);
    bench.assert_empty();
}

#[test]
fn what_cannot_be_removed_is_tried_again() {
    let bench = Bench::new();
    let store = bench.open();
    active(&bench, &store, "a", None, "1");
    let removal = store.remove_snapshot("a").unwrap().unwrap();
    bench.hooks.keeps.store(true, Ordering::Relaxed);
    let mut left = Removal::finish(vec![removal]).unwrap();
    let (removal, error) = left.pop().unwrap();
    assert!(matches!(error, GraphError::Driver(_)));
    bench.hooks.keeps.store(false, Ordering::Relaxed);
    assert!(Removal::finish(vec![removal]).unwrap().is_empty());
    drop(store);
    bench.assert_empty();
}

#[test]
fn a_commit_that_died_before_its_transaction_left_an_active_snapshot() {
    let bench = Bench::new();
    let store = bench.open();
    let record = active(&bench, &store, "a", None, "1");
    bench.records().execute("UPDATE layers SET lease = ?1", [DEAD]).unwrap();
    drop(store);
    let store = bench.open();
    assert_eq!(store.snapshot("a").unwrap(), record);
    assert!(bench.hooks.sealed.lock().unwrap().is_empty());
    store.commit_snapshot(&new("c", None), "a").unwrap();
    assert_eq!(state(&store, &record.layer), LayerState::Sealed);
}

#[test]
fn a_commit_that_died_after_its_transaction_is_sealed_by_recovery() {
    let bench = Bench::new();
    let store = bench.open();
    let record = committed(&bench, &store, "c", None);
    drop(store);
    bench.hooks.sealed.lock().unwrap().clear();
    drop(bench.open());
    assert!(bench.hooks.sealed.lock().unwrap().is_empty(), "what is sealed is left alone");
    bench.records().execute("UPDATE layers SET lease = ?1", [DEAD]).unwrap();
    let store = bench.open();
    assert_eq!(*bench.hooks.sealed.lock().unwrap(), std::slice::from_ref(&record.layer));
    let leases: i64 = bench
        .records()
        .query_row("SELECT count(*) FROM layers WHERE lease IS NOT NULL", [], |row| row.get(0))
        .unwrap();
    assert_eq!(leases, 0);
    drop(store);
    bench.assert_no_leftovers();
}

#[test]
fn one_of_several_commits_wins() {
    let bench = Bench::new();
    let store = bench.open();
    active(&bench, &store, "a", None, "1");
    let names: Vec<String> = (0..8).map(|number| format!("c{number}")).collect();
    let done: Vec<Result<_, GraphError>> = std::thread::scope(|scope| {
        let store = &store;
        let commit = |name| scope.spawn(move || store.commit_snapshot(&new(name, None), "a").map(drop));
        let running: Vec<_> = names.iter().map(String::as_str).map(commit).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|result| result.is_ok()).count(), 1);
    for refused in done.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, GraphError::Busy { .. } | GraphError::NotFound { .. }), "{refused}");
    }
    assert_eq!(store.snapshots().unwrap().len(), 1);
    drop(store);
    bench.assert_no_leftovers();
}

#[test]
fn a_parent_that_is_worked_on_is_not_removed() {
    let bench = Bench::new();
    let store = bench.open();
    let base = committed(&bench, &store, "base", None);
    // As a prepare of somebody else holds it.
    let lease = "0123456789abcdef0123456789abcdef";
    let file = fs::File::create(bench.root().join("leases").join(lease)).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let text = "INSERT INTO leases (id, purpose, pid, created) VALUES (?1, 'prepare', 1, 0)";
    bench.records().execute(text, [lease]).unwrap();
    let text = "INSERT INTO lease_layers (lease, layer) VALUES (?1, ?2)";
    bench.records().execute(text, [lease, base.layer.as_str()]).unwrap();
    assert!(matches!(store.remove_snapshot("base"), Err(GraphError::InUse { .. })));
    drop(file);
    remove(&store, "base");
}

#[test]
fn equal_layers_of_two_namespaces_become_one() {
    let bench = Bench::new();
    let store = bench.open();
    let first = committed(&bench, &store, "one/1/sha256:a", None);
    active(&bench, &store, "two/2/making", None, "one/1/sha256:a");
    // The fake's files get the time of their writing; layers of a tar have its times.
    for folder in bench.folders() {
        let file = bench.folder.path().join("layers").join(folder).join("tree/file");
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
        fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
    }
    let removal = store.commit_snapshot(&new("two/3/sha256:a", None), "two/2/making").unwrap().unwrap();
    let second = store.snapshot("two/3/sha256:a").unwrap();
    assert_eq!((&second.layer, second.kind), (&first.layer, SnapshotKind::Committed));
    // What waits to be removed keeps nobody from the rest.
    remove(&store, "one/1/sha256:a");
    assert_eq!(bench.folders().len(), 2);
    Removal::finish(vec![removal]).unwrap();
    assert_eq!(bench.folders().len(), 1);
    remove(&store, "two/3/sha256:a");
    drop(store);
    bench.assert_empty();
}

#[test]
fn a_check_finds_a_snapshot_without_its_layer() {
    let bench = Bench::new();
    let store = bench.open();
    let gone = committed(&bench, &store, "a", None);
    committed(&bench, &store, "b", None);
    fs::remove_dir_all(bench.folder.path().join("layers").join(gone.layer.as_str())).unwrap();
    let mut found = Vec::new();
    let options = CheckOptions { quick: true, mark: true };
    store.check(options, &mut |problem| found.push(problem)).unwrap();
    assert!(
        found.contains(&Problem::SnapshotIncomplete { key: "a".into(), layer: gone.layer.clone() }),
        "{found:?}"
    );
    assert!(
        !found.iter().any(|problem| matches!(problem, Problem::SnapshotIncomplete { key, .. } if key == "b"))
    );
    assert_eq!(state(&store, &gone.layer), LayerState::Damaged);
    assert!(matches!(store.prepare_snapshot(&new("x", Some("a"))), Err(GraphError::Invalid { .. })));
    remove(&store, "a");
}

#[test]
fn images_are_not_unpacked_onto_what_an_engine_sealed() {
    let bench = Bench::new();
    let store = bench.open();
    let base = committed(&bench, &store, "base", None);
    let tar = std::io::Cursor::new(common::images::tar(&[("a", "b")]));
    let refused = store.apply_layer(Some(&base.layer), Box::new(tar), &());
    assert!(matches!(refused, Err(GraphError::Invalid { .. })), "its chain has no id");
    // A writable one by hand is no matter.
    store.create_layer(Some(&base.layer), plywood_graphdriver::Access::ReadWrite).unwrap();
    assert!(store.remove_snapshot("base").unwrap().is_none(), "the layer is needed by the other");
}

#[test]
fn the_course_is_the_same_where_everything_is_synced() {
    let bench = Bench::new();
    let driver = common::driver::Fake::open(&bench.folder.path().join("layers"), bench.hooks.clone());
    let options = StoreOptions { durability: Durability::Full, ..StoreOptions::new(Ownership::Caller) };
    let store = Store::open(&bench.root(), Box::new(driver), options).unwrap();
    committed(&bench, &store, "a", None);
    remove(&store, "a");
    drop(store);
    bench.assert_empty();
}

/// The tables as version 1 had them, with rows that refer to each other.
#[test]
fn a_store_of_the_first_version_is_brought_to_this_one() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one", "two"]);
    let imported = store.import_image(&image.plan, &image, &()).unwrap();
    let container = store.create_container(Some("app"), Some("work")).unwrap();
    let (images, layers) = (store.images().unwrap(), store.layers().unwrap());
    drop(store);
    let records = bench.records();
    records
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON; DROP TABLE snapshots; ALTER TABLE layers RENAME TO newer;")
        .unwrap();
    // Only the table whose form changed is put back; the others are as they were.
    let first = include_str!("../src/database/schema_1.sql");
    let start = first.find("CREATE TABLE layers").unwrap();
    let end = start + first[start..].find(";\n").unwrap() + 1;
    records.execute_batch(&first[start..end]).unwrap();
    let columns = "id, parent, diff_id, chain_id, size_bytes, inodes, packed_digest, packed_size, state, lease, created";
    records
        .execute_batch(&format!(
            "INSERT INTO layers ({columns}) SELECT {columns} FROM newer; DROP TABLE newer; PRAGMA user_version = 1;"
        ))
        .unwrap();
    let refused = records.execute("UPDATE layers SET state = 'sealed'", []);
    assert!(refused.is_err(), "the first version knows no sealed layers");
    drop(records);

    let store = bench.open();
    assert_eq!(store.images().unwrap(), images);
    assert_eq!(store.layers().unwrap(), layers);
    assert_eq!(store.image("app").unwrap().id, imported.image);
    assert_eq!(store.container("work").unwrap(), container);
    committed(&bench, &store, "a", None);
    store.check(CheckOptions::default(), &mut |problem| panic!("{problem}")).unwrap();
    // Foreign keys hold again.
    let own = bench.records();
    own.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    assert!(own.execute("DELETE FROM layers", []).is_err());
}

#[test]
fn files_of_leases_are_used_again_and_go_with_the_store() {
    let bench = Bench::new();
    let store = bench.open();
    let files = || fs::read_dir(bench.root().join("leases")).unwrap().count();
    for round in 0..5 {
        store.prepare_snapshot(&new("one", None)).unwrap();
        assert_eq!(files(), 1, "round {round}");
        // The removal has a lease of its own until it is finished, and the next prepare takes that one.
        remove(&store, "one");
        assert_eq!(files(), 1, "round {round}");
    }
    // The recovery of another process does not take it for one left behind.
    drop(bench.open());
    assert_eq!(files(), 1);
    drop(store);
    assert_eq!(files(), 0);
}
