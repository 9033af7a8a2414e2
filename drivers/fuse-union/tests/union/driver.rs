//! The driver, with a server in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plywood_fuse_union::{FuseUnion, Server};
use plywood_graphdriver::{Access, ErrorKind, GraphDriver, LayerId, LayerRef, MountRequest};
use plywood_sys::identity::Privilege;

use crate::stage::{Stage, names};

fn open(stage: &Stage) -> FuseUnion {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_fuse-union"));
    FuseUnion::open(&stage.path("driver"), Privilege::Root, Server::Program(program)).unwrap()
}

fn id(number: u8) -> LayerId {
    LayerId::from_bytes([number; 16])
}

/// The process that serves a layer, found by the layer's id on its command line.
fn server(id: &LayerId) -> rustix::process::Pid {
    let own = |path: &Path| fs::read(path.join("cmdline")).unwrap_or_default();
    let found = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).find(|path| {
        let line = String::from_utf8_lossy(&own(path)).into_owned();
        line.contains("fuse-union\0") && line.contains(&format!("fsname=plywood-{id}"))
    });
    let number = found.unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
    rustix::process::Pid::from_raw(number).unwrap()
}

#[test]
fn a_kept_mount_outlives_its_driver() {
    let stage = Stage::new();
    let target = stage.path("merged");
    let layer = id(1);
    {
        let driver = open(&stage);
        let layer = LayerRef::new(&layer, &[]);
        driver.snapshot(layer, Access::ReadWrite).unwrap();
        driver.mount(layer, &MountRequest::read_write(), &target).unwrap().keep();
    }
    fs::write(target.join("file"), "x").unwrap();
    assert_eq!(names(&target), ["file"]);
    let output = std::process::Command::new("umount").arg(&target).status().unwrap();
    assert!(output.success());
    assert_eq!(names(&target), Vec::<String>::new());
}

#[test]
fn a_crashed_server_is_noticed_and_replaced_with_nothing_lost() {
    let stage = Stage::new();
    let target = stage.path("merged");
    let driver = open(&stage);
    let (base, top) = (id(2), id(3));
    driver.snapshot(LayerRef::new(&base, &[]), Access::ReadWrite).unwrap();
    fs::write(stage.path("driver").join(base.as_str()).join("diff/below"), "below").unwrap();
    driver.seal(LayerRef::new(&base, &[]), None).unwrap();
    let parents = [base];
    let layer = LayerRef::new(&top, &parents);
    driver.snapshot(layer, Access::ReadWrite).unwrap();
    let mounted = driver.mount(layer, &MountRequest::read_write(), &target).unwrap();
    fs::write(target.join("below"), "changed").unwrap();
    fs::File::open(target.join("below")).unwrap().sync_all().unwrap();
    rustix::process::kill_process(server(&top), rustix::process::Signal::KILL).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::metadata(&target).is_ok() {
        assert!(Instant::now() < deadline, "the mount answers without a server");
        std::thread::sleep(Duration::from_millis(10));
    }
    let again = driver.mount(layer, &MountRequest::read_write(), &target).unwrap();
    assert_eq!(stage.read("merged/below"), "changed");
    mounted.keep();
    again.unmount().unwrap();
    let mut seen = Vec::new();
    driver
        .changes(layer, &mut |change| {
            seen.push((change.path, change.kind.letter()));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [(b"below".to_vec(), 'C')]);
    driver.remove(&top).unwrap();
}

#[test]
fn the_dead_mount_of_a_removed_layer_goes_with_it() {
    let stage = Stage::new();
    let target = stage.path("merged");
    let driver = open(&stage);
    let top = id(4);
    let layer = LayerRef::new(&top, &[]);
    driver.snapshot(layer, Access::ReadWrite).unwrap();
    driver.mount(layer, &MountRequest::read_write(), &target).unwrap().keep();
    rustix::process::kill_process(server(&top), rustix::process::Signal::KILL).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::metadata(&target).is_ok() {
        assert!(Instant::now() < deadline, "the mount answers without a server");
        std::thread::sleep(Duration::from_millis(10));
    }
    driver.remove(&top).unwrap();
    assert_eq!(names(&target), Vec::<String>::new());
    assert_eq!(driver.layers().unwrap(), []);
}

#[test]
fn what_the_server_says_is_passed_on() {
    let stage = Stage::new();
    let driver = open(&stage);
    let top = id(5);
    let layer = LayerRef::new(&top, &[]);
    driver.snapshot(layer, Access::ReadWrite).unwrap();
    let refused = driver.mount(layer, &MountRequest::read_write(), &stage.path("missing")).unwrap_err();
    assert!(refused.source.to_string().contains("missing"), "{}", refused.source);
    driver.seal(layer, None).unwrap();
    let refused = driver.mount(layer, &MountRequest::read_write(), &stage.path("merged")).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::InvalidInput);
}
