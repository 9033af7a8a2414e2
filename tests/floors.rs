//! A room imports only from floors below it: ARCHITECTURE.md, "The house".
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Each crate and its floor. `sys` is the step below the first: `archive` takes its inflater from there.
/// `image` stands on the upper landing of the fourth floor: it imports `graph`, which knows
/// nothing of images' formats. `snapshotter` is below the program on the fifth: the program serves it.
const FLOORS: [(&str, u32); 13] = [
    ("plywood-sys", 9),
    ("plywood-archive", 10),
    ("plywood-graphdriver", 10),
    ("plywood-tree", 20),
    ("plywood-overlay2", 30),
    ("plywood-fuse-union", 30),
    ("plywood-vfs", 30),
    (SUITE, 30),
    ("plywood-graph", 40),
    ("plywood-image", 45),
    ("plywood-snapshotter", 48),
    ("plywood-bench", 48),
    ("plywood", 50),
];

/// The suite stands beside the house: it knows no driver, and nothing but tests knows it.
const SUITE: &str = "plywood-conformance";

/// `graph` never sees a driver, and a driver never sees `graph`: they meet in `src/`.
const STRANGERS: [(&str, &str); 13] = [
    ("plywood-bench", "plywood-overlay2"),
    ("plywood-bench", "plywood-vfs"),
    ("plywood-bench", "plywood-fuse-union"),
    ("plywood-graph", "plywood-overlay2"),
    ("plywood-graph", "plywood-vfs"),
    ("plywood-graph", "plywood-fuse-union"),
    ("plywood-image", "plywood-fuse-union"),
    ("plywood-image", "plywood-overlay2"),
    ("plywood-image", "plywood-vfs"),
    ("plywood-snapshotter", "plywood-overlay2"),
    ("plywood-snapshotter", "plywood-vfs"),
    ("plywood-snapshotter", "plywood-fuse-union"),
    ("plywood-snapshotter", "plywood-image"),
];

fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata")
}

/// Every import of one crate of the workspace by another, tests' own aside.
fn imports() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for package in metadata().packages {
        for dependency in &package.dependencies {
            if dependency.kind != DependencyKind::Development && dependency.name.starts_with("plywood") {
                found.push((package.name.to_string(), dependency.name.clone()));
            }
        }
    }
    found
}

#[test]
fn every_crate_has_a_floor() {
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    for package in metadata().packages {
        assert!(
            floors.contains_key(package.name.as_str()),
            "{} has no floor: give it one here",
            package.name
        );
    }
}

#[test]
fn no_crate_imports_one_on_its_own_floor_or_above() {
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    let imports = imports();
    assert!(imports.len() > 10, "the workspace's imports were not read: {imports:?}");
    for (from, to) in imports {
        let (above, below) = (floors[from.as_str()], floors[to.as_str()]);
        assert!(below < above, "{from} (floor {above}) imports {to} (floor {below})");
    }
}

#[test]
fn graph_and_image_know_no_driver() {
    let imports = imports();
    for (from, to) in STRANGERS {
        assert!(!imports.contains(&(from.to_owned(), to.to_owned())), "{from} imports {to}");
    }
}

#[test]
fn only_tests_import_the_suite() {
    let packages = metadata().packages;
    let importers = |kind: fn(DependencyKind) -> bool| {
        let imports =
            |dependency: &cargo_metadata::Dependency| dependency.name == SUITE && kind(dependency.kind);
        packages.iter().filter(|package| package.dependencies.iter().any(imports)).count()
    };
    assert_eq!(
        importers(|kind| kind != DependencyKind::Development),
        0,
        "a crate imports {SUITE} for more than tests"
    );
    assert_eq!(
        importers(|kind| kind == DependencyKind::Development),
        1,
        "the root package's tests run {SUITE}"
    );
}

/// What async runtimes and gRPC are made of stays in the snapshotter, and the library is built without that.
#[test]
fn an_embedding_library_has_no_async() {
    let metadata = MetadataCommand::new()
        .features(cargo_metadata::CargoOpt::NoDefaultFeatures)
        // Crates for other systems need not be there.
        .other_options(["--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned))
        .exec()
        .expect("cargo metadata");
    let resolve = metadata.resolve.clone().expect("a resolved workspace");
    let by_id: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let name = |id: &cargo_metadata::PackageId| metadata[id].name.to_string();
    let root = resolve.nodes.iter().find(|node| name(&node.id) == "plywood").expect("the library");
    let (mut waiting, mut reached) = (vec![&root.id], Vec::new());
    while let Some(id) = waiting.pop() {
        if reached.contains(&id) {
            continue;
        }
        reached.push(id);
        let normal = by_id[id]
            .deps
            .iter()
            .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        waiting.extend(normal.map(|dependency| &dependency.pkg));
    }
    let names: Vec<String> = reached.into_iter().map(name).collect();
    assert!(names.iter().any(|name| name == "plywood-graph"), "the tree was not read: {names:?}");
    for foreign in ["tokio", "tonic", "prost", "plywood-snapshotter"] {
        assert!(!names.iter().any(|name| name == foreign), "the library brings {foreign}");
    }
}
