//! Mounts: restrictions, use, teardown, and what an engine is told that mounts by itself.

use std::fs;
use std::io::ErrorKind as Io;
use std::path::Path;
use std::process::Command;

use plywood_graphdriver::{ErrorKind, MountRequest, MountSpec};

use crate::bench::Bench;
use crate::case::cases;
use crate::engine;
use crate::listing::list;
use crate::tarball::Tarball;

cases! {
    "mounting";
    a_sealed_layer_takes_no_writes_and_an_inspection_nothing_at_all: [Mounts],
    a_writable_layer_can_be_mounted_read_only: [Mounts],
    what_is_mounted_is_neither_removed_nor_unmounted_under_open_files: [Mounts],
    parents_of_what_is_mounted_stay_or_are_not_missed: [Mounts],
    dropping_a_mount_takes_it_down: [Mounts],
    a_mount_that_is_kept_stays: [Mounts],
    several_layers_are_mounted_at_once: [Mounts],
    a_layer_that_is_not_there_cannot_be_mounted: [Mounts],
    a_target_that_is_not_there_is_said: [Mounts],
    specs_say_the_same_each_time_and_mount_what_the_driver_mounts: [Mounts, Root],
}

fn options_of(target: &Path) -> String {
    let mounts = plywood_sys::mountinfo::read().unwrap();
    mounts.into_iter().rfind(|mount| mount.target == target).expect("it is mounted").options
}

fn a_sealed_layer_takes_no_writes_and_an_inspection_nothing_at_all(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    let error = bench.mount(&bench.top(), &MountRequest::read_write(), "here").unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    bench.look(|root| {
        assert_eq!(fs::write(root.join("g"), "").unwrap_err().kind(), Io::ReadOnlyFilesystem);
        assert_eq!(fs::write(root.join("f"), "").unwrap_err().kind(), Io::ReadOnlyFilesystem);
        let options = options_of(root);
        for option in ["ro", "nosuid", "nodev"] {
            assert!(options.split(',').any(|one| one == option), "{options}");
        }
    });
}

fn a_writable_layer_can_be_mounted_read_only(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    bench.change(|root| fs::write(root.join("g"), "y").unwrap());
    let request = MountRequest { read_only: true, ..MountRequest::default() };
    let mounted = bench.mount(&bench.top(), &request, "here").unwrap();
    assert_eq!(fs::read_to_string(mounted.target().join("g")).unwrap(), "y");
    assert_eq!(fs::write(mounted.target().join("g"), "").unwrap_err().kind(), Io::ReadOnlyFilesystem);
    assert_eq!(fs::remove_file(mounted.target().join("f")).unwrap_err().kind(), Io::ReadOnlyFilesystem);
    mounted.unmount().unwrap();
    bench.write(|root| fs::write(root.join("g"), "z").unwrap());
    assert_eq!(bench.look(|root| fs::read_to_string(root.join("g")).unwrap()), "z");
}

fn what_is_mounted_is_neither_removed_nor_unmounted_under_open_files(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    bench.snapshot();
    let layer = bench.top();
    let mounted = bench.mount(&layer, &MountRequest::read_write(), "here").unwrap();
    let target = mounted.target().to_owned();
    assert_eq!(bench.driver.remove(&layer.id).unwrap_err().kind, ErrorKind::InUse);
    let open = fs::File::open(target.join("f")).unwrap();
    assert_eq!(mounted.unmount().unwrap_err().kind, ErrorKind::InUse);
    drop(open);
    plywood_sys::mount::detach(&target).unwrap();
    bench.driver.remove(&layer.id).unwrap();
}

/// A driver may refuse to remove a parent, or may not need it any more once the layer on it is made.
fn parents_of_what_is_mounted_stay_or_are_not_missed(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").file("d/g", "y").done());
    bench.snapshot();
    let mounted = bench.mount(&bench.top(), &MountRequest::read_write(), "here").unwrap();
    let before = list(mounted.target());
    if let Err(error) = bench.driver.remove(&bench.chain[0]) {
        assert_eq!(error.kind, ErrorKind::InUse);
        assert!(bench.layers().contains(&bench.chain[0]));
    }
    assert_eq!(list(mounted.target()), before);
    fs::write(mounted.target().join("f"), "written").unwrap();
    mounted.unmount().unwrap();
}

fn dropping_a_mount_takes_it_down(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    drop(bench.mount(&bench.top(), &MountRequest::inspection(), "here").unwrap());
    assert!(!plywood_sys::mountinfo::is_mounted(&bench.place("here")).unwrap());
}

fn a_mount_that_is_kept_stays(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    bench.mount(&bench.top(), &MountRequest::inspection(), "here").unwrap().keep();
    bench.reopen();
    let target = bench.place("here");
    assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "x");
    assert_eq!(bench.driver.remove(&bench.chain[0]).unwrap_err().kind, ErrorKind::InUse);
    plywood_sys::mount::detach(&target).unwrap();
}

fn several_layers_are_mounted_at_once(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "base").done());
    let mut held = Vec::new();
    for number in 0..5 {
        let layer = bench.branch(1, |bench| {
            bench.snapshot();
            bench.top()
        });
        let mounted = bench.mount(&layer, &MountRequest::read_write(), &format!("at-{number}")).unwrap();
        fs::write(mounted.target().join("f"), number.to_string()).unwrap();
        held.push(mounted);
    }
    let base = bench.mount(&bench.top(), &MountRequest::inspection(), "base").unwrap();
    for (number, mounted) in held.iter().enumerate() {
        assert_eq!(fs::read_to_string(mounted.target().join("f")).unwrap(), number.to_string());
    }
    assert_eq!(fs::read_to_string(base.target().join("f")).unwrap(), "base");
    // Not in the order in which they were made.
    for mounted in held {
        mounted.unmount().unwrap();
    }
    base.unmount().unwrap();
}

fn a_layer_that_is_not_there_cannot_be_mounted(bench: &mut Bench) {
    let layer = bench.new_layer();
    let error = bench.mount(&layer, &MountRequest::inspection(), "here").unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}: {}", error.source);
    assert_eq!(error.layer.as_ref(), Some(&layer.id));
}

fn a_target_that_is_not_there_is_said(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    let target = bench.folder().join("not-there");
    let error = bench.driver.mount(bench.top().as_ref(), &MountRequest::inspection(), &target).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}: {}", error.source);
    assert!(!target.exists());
}

/// By mount(8), which a file system in user space leaves to whoever knows its program.
fn mount_by_program(spec: &MountSpec, target: &Path) -> Result<(), String> {
    if spec.kind.starts_with("fuse3.") {
        return engine::mount(std::slice::from_ref(spec), target);
    }
    let mut command = Command::new("mount");
    // As containerd has it: what is bound has no type, and says so in its options.
    if spec.kind != "bind" {
        command.args(["-t", &spec.kind]);
    }
    let output =
        command.args(["-o", &spec.options.join(",")]).arg(&spec.source).arg(target).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn specs_say_the_same_each_time_and_mount_what_the_driver_mounts(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").file("d/g", "y").done());
    bench.layer(&Tarball::new().file("d/.wh.g", "").file("h", "z").done());
    bench.change(|root| fs::write(root.join("f"), "written").unwrap());
    for request in [MountRequest::inspection(), MountRequest::read_write()] {
        let specs = bench.driver.mount_specs(bench.top().as_ref(), &request).unwrap();
        assert_eq!(bench.driver.mount_specs(bench.top().as_ref(), &request).unwrap(), specs);
        let [spec] = &specs[..] else { panic!("one mount is a layer: {specs:?}") };
        let target = bench.place("engine");
        mount_by_program(spec, &target).unwrap_or_else(|error| panic!("{spec:?}: {error}"));
        let seen = list(&target);
        let writable = fs::write(target.join("new"), "").is_ok();
        engine::unmount(&target);
        assert_eq!(seen, bench.branch(3, |bench| if writable { seen.clone() } else { bench.tree() }));
        assert_eq!(writable, !request.read_only);
    }
    assert!(bench.look(|root| root.join("new").exists()));
}
