//! What is asked of a mount: restrictions that hold, labels, several at once, and mounts that an engine makes.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind as Io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plywood_archive::tar::{Entry, Kind};
use plywood_graphdriver::{ErrorKind, MountRequest, MountSpec};

use crate::bench::Bench;
use crate::case::cases;
use crate::engine;
use crate::listing::list;
use crate::tarball::{CAPABILITY, Tarball, blank};

cases! {
    "requests";
    an_inspection_lets_no_device_open_and_no_program_change_who_it_is: [Mounts, Root],
    one_layer_is_mounted_twice_for_reading: [Mounts],
    a_base_is_mounted_for_reading_beside_its_children: [Mounts],
    a_label_is_shown_or_refused_and_never_forgotten: [Mounts, Root],
    an_engine_mounts_by_specs_what_the_driver_mounts: [Mounts, Root],
    specs_hold_in_folders_of_any_name_or_are_refused: [Mounts, Root],
    specs_of_what_cannot_be_mounted_are_refused_as_the_mount_is: [Mounts],
}

const READ_ONLY: MountRequest<'static> =
    MountRequest { read_only: true, inspection: false, label: None, id_mapped: false, stacked: false };

/// A program that says who it runs as.
fn program() -> Vec<u8> {
    let place = ["/usr/bin/id", "/bin/id"].into_iter().find(|place| Path::new(place).exists()).unwrap();
    fs::read(place).unwrap()
}

fn runs_as(program: &Path) -> String {
    let output = Command::new(program).arg("-u").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Root becomes user 65534 by a program of theirs with the set-user-id bit, wherever that bit has an effect.
fn an_inspection_lets_no_device_open_and_no_program_change_who_it_is(bench: &mut Bench) {
    let program = program();
    let id = Entry { uid: 65_534, size_bytes: program.len() as u64, ..blank(b"id", Kind::Regular, 0o4755) };
    let capable = vec![(b"security.capability".to_vec(), CAPABILITY.to_vec())];
    let tar = Tarball::new()
        .entry(&id, &program)
        .entry(&blank(b"null", Kind::CharDevice { major: 1, minor: 3 }, 0o666), b"")
        .entry(&Entry { xattrs: capable, ..blank(b"capable", Kind::Regular, 0o755) }, b"");
    bench.layer(&tar.done());
    let layer = bench.top();
    for (request, as_whom) in [(READ_ONLY, "65534"), (MountRequest::inspection(), "0")] {
        let mounted = bench.mount(&layer, &request, "here").unwrap();
        assert_eq!(runs_as(&mounted.target().join("id")), as_whom, "{request:?}");
        let opened = fs::File::open(mounted.target().join("null"));
        let refused = opened.err().map(|error| error.kind());
        assert_eq!(refused, request.inspection.then_some(Io::PermissionDenied), "{request:?}");
        mounted.unmount().unwrap();
    }
    // By specs it is the same.
    let specs = bench.driver.mount_specs(layer.as_ref(), &MountRequest::inspection()).unwrap();
    let target = bench.place("engine");
    engine::mount(&specs, &target).unwrap();
    assert_eq!(runs_as(&target.join("id")), "0");
    assert!(fs::File::open(target.join("null")).is_err());
    engine::unmount(&target);
}

fn one_layer_is_mounted_twice_for_reading(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "below").done());
    bench.layer(&Tarball::new().file("g", "x").done());
    for layer in [bench.at(0), bench.at(1)] {
        let one = bench.mount(&layer, &READ_ONLY, "one").unwrap();
        let two = bench.mount(&layer, &MountRequest::inspection(), "two").unwrap();
        let three = bench.mount(&layer, &READ_ONLY, "three").unwrap();
        let tree = list(one.target());
        assert_eq!(list(two.target()), tree);
        one.unmount().unwrap();
        assert_eq!(list(two.target()), tree);
        assert_eq!(bench.driver.remove(&layer.id).unwrap_err().kind, ErrorKind::InUse);
        three.unmount().unwrap();
        assert_eq!(list(two.target()), tree);
        two.unmount().unwrap();
    }
    bench.driver.remove(&bench.top().id).unwrap();
}

fn a_base_is_mounted_for_reading_beside_its_children(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "below").file("d/g", "x").done());
    let base = bench.mount(&bench.at(0), &READ_ONLY, "base").unwrap();
    let before = list(base.target());
    bench.snapshot();
    let child = bench.mount(&bench.top(), &MountRequest::read_write(), "child").unwrap();
    fs::write(child.target().join("f"), "written").unwrap();
    fs::remove_dir_all(child.target().join("d")).unwrap();
    assert_eq!(list(base.target()), before);
    child.unmount().unwrap();
    bench.driver.remove(&bench.top().id).unwrap();
    assert_eq!(list(base.target()), before);
    base.unmount().unwrap();
}

const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";

/// A kernel without SELinux has no labels, and a bind mount cannot have another than its files: both say so.
fn a_label_is_shown_or_refused_and_never_forgotten(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    let request = MountRequest { label: Some(LABEL), ..READ_ONLY };
    match bench.mount(&bench.top(), &request, "here") {
        Ok(mounted) => {
            let mut shown = [0; 256];
            let path = mounted.target().join("f");
            let length = rustix::fs::lgetxattr(&path, "security.selinux", &mut shown[..]).unwrap();
            assert_eq!(shown[..length].strip_suffix(b"\0").unwrap_or(&shown[..length]), LABEL.as_bytes());
            mounted.unmount().unwrap();
            let specs = bench.driver.mount_specs(bench.top().as_ref(), &request).unwrap();
            assert!(specs.iter().any(|spec| spec.options.iter().any(|option| option.contains(LABEL))));
        }
        Err(error) => {
            let said = format!("{error}: {}", error.source);
            assert!(["label", "context"].iter().any(|word| said.contains(word)), "{said}");
            assert_eq!(error.kind, ErrorKind::Unsupported, "{said}");
            assert!(!plywood_sys::mountinfo::is_mounted(&bench.place("here")).unwrap());
            // An engine that is told the mounts is told of the label as well, or refused.
            if let Ok(specs) = bench.driver.mount_specs(bench.top().as_ref(), &request) {
                let named = |spec: &MountSpec| spec.options.iter().any(|option| option.contains(LABEL));
                assert!(specs.iter().any(named), "{specs:?}");
            }
        }
    }
    bench.look(|_| {});
}

/// What tells one mount from another: whether it is read-only, and what may not be done on it.
fn restrictions(target: &Path) -> Vec<String> {
    let mounts = plywood_sys::mountinfo::read().unwrap();
    let options = mounts.into_iter().rfind(|mount| mount.target == target).unwrap().options;
    let words = ["ro", "rw", "nosuid", "nodev"];
    let mut found: Vec<String> =
        options.split(',').filter(|word| words.contains(word)).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    // A read-only mount of a file system that is not read-only shows both.
    if found.contains(&"ro".to_owned()) {
        found.retain(|word| word != "rw");
    }
    found
}

fn an_engine_mounts_by_specs_what_the_driver_mounts(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").file("d/g", "y").symlink("s", "f").done());
    bench.layer(&Tarball::new().file("d/.wh.g", "").file("h", "z").link("i", "f").done());
    bench.change(|root| fs::write(root.join("h"), "written").unwrap());
    for (at, request) in [
        (0, READ_ONLY),
        (0, MountRequest::inspection()),
        (1, READ_ONLY),
        (1, MountRequest::inspection()),
        (2, READ_ONLY),
        (2, MountRequest::inspection()),
        (2, MountRequest::read_write()),
    ] {
        let layer = bench.at(at);
        let mounted = bench.mount(&layer, &request, "driver").unwrap();
        let expected = (list(mounted.target()), restrictions(mounted.target()));
        mounted.unmount().unwrap();
        let specs = bench.driver.mount_specs(layer.as_ref(), &request).unwrap();
        let target = bench.place("engine");
        engine::mount(&specs, &target).unwrap_or_else(|error| panic!("{error}: {specs:?}"));
        assert_eq!((list(&target), restrictions(&target)), expected, "{request:?}");
        let kept = fs::write(target.join("by-engine"), "x");
        assert_eq!(kept.is_ok(), !request.read_only, "{request:?}");
        assert_eq!(bench.driver.remove(&layer.id).unwrap_err().kind, ErrorKind::InUse);
        engine::unmount(&target);
    }
    assert_eq!(bench.changes(), ["A /by-engine", "C /h"]);
}

/// Specs are text: a folder whose name is none is refused, and never named as something else.
fn specs_hold_in_folders_of_any_name_or_are_refused(bench: &mut Bench) {
    let names: [&[u8]; 14] = [
        b",",
        b":",
        b"\\",
        b"\\,",
        b"\\\\:",
        b"a,b:c\\d",
        b"\n",
        b" ",
        b"\t\"'",
        b"%",
        b"a,lowerdir=",
        b"=",
        b"caf\xc3\xa9",
        b"caf\xe9",
    ];
    for name in names {
        let home: PathBuf = bench.folder().join(OsStr::from_bytes(name)).join("home");
        fs::create_dir_all(home.parent().unwrap()).unwrap();
        let driver = bench.open_at(&home).unwrap();
        let first = std::mem::replace(&mut bench.driver, driver);
        bench.chain.clear();
        bench.layer(&Tarball::new().file("f", "x").file("gone", "y").done());
        bench.layer(&Tarball::new().file("g", "x").file(".wh.gone", "").done());
        bench.change(|root| fs::write(root.join("h"), "x").unwrap());
        let expected = bench.tree();
        for request in [READ_ONLY, MountRequest::read_write()] {
            match bench.driver.mount_specs(bench.top().as_ref(), &request) {
                Ok(specs) => {
                    let target = bench.place("engine");
                    engine::mount(&specs, &target)
                        .unwrap_or_else(|error| panic!("{}: {error}: {specs:?}", name.escape_ascii()));
                    assert_eq!(list(&target), expected, "{}", name.escape_ascii());
                    engine::unmount(&target);
                }
                Err(error) => {
                    assert!(std::str::from_utf8(name).is_err(), "{error}: {}", error.source);
                    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}: {}", error.source);
                }
            }
        }
        bench.driver = first;
    }
}

fn specs_of_what_cannot_be_mounted_are_refused_as_the_mount_is(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    let absent = bench.new_layer();
    for (layer, request) in [
        (bench.top(), MountRequest::read_write()),
        (absent.clone(), READ_ONLY),
        (absent, MountRequest::read_write()),
    ] {
        let mounting = bench.mount(&layer, &request, "here").unwrap_err();
        let telling = bench.driver.mount_specs(layer.as_ref(), &request).unwrap_err();
        assert_eq!(telling.kind, mounting.kind, "{telling}");
        assert_eq!(telling.layer, mounting.layer);
    }
}
