//! Where the driver's own folder is, and where layers are mounted: in folders of any name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use plywood_graphdriver::{ErrorKind, MountRequest};

use super::names::ODD;
use crate::bench::Bench;
use crate::case::cases;
use crate::listing::{below, list};
use crate::tarball::Tarball;

cases! {
    "places";
    the_drivers_own_folder_has_any_name: [Mounts, Root],
    a_mounts_target_has_any_name: [Mounts, Root],
    what_is_mounted_in_a_folder_of_any_name_is_in_use: [Mounts, Root],
}

/// Names for folders that mount options, `/proc/self/mountinfo` or a shell would read as something else.
fn places() -> Vec<Vec<u8>> {
    ODD.iter().map(|name| name.to_vec()).chain([b"a,lowerdir=/etc".to_vec(), vec![b'l'; 200]]).collect()
}

/// Runs a case's bench with the driver on a folder of that name in the case's.
fn at_home<T>(bench: &mut Bench, name: &[u8], with: impl FnOnce(&mut Bench) -> T) -> T {
    let home = bench.folder().join("homes").join(OsStr::from_bytes(name));
    fs::create_dir_all(home.parent().unwrap()).unwrap();
    let driver = bench.open_at(&home).unwrap_or_else(|error| panic!("{error}: {}", error.source));
    let first = std::mem::replace(&mut bench.driver, driver);
    bench.chain.clear();
    let answer = with(bench);
    bench.driver = first;
    answer
}

fn the_drivers_own_folder_has_any_name(bench: &mut Bench) {
    for name in places() {
        at_home(bench, &name, |bench| {
            bench.layer(&Tarball::new().file("d/below", "x").file("gone", "x").done());
            bench.layer(&Tarball::new().file("d/above", "y").file(".wh.gone", "").done());
            bench.change(|root| fs::write(root.join("d/below"), "written").unwrap());
            assert_eq!(bench.changes(), ["C /d", "C /d/below"], "{}", name.escape_ascii());
            assert_eq!(
                below(&bench.tree(), "/"),
                [
                    "/ folder 755 0:0",
                    "/d folder 755 0:0",
                    "/d/above file 'y' 644 0:0",
                    "/d/below file 'written' 644 0:0"
                ]
            );
            bench.round_trip();
            bench.driver.remove(&bench.top().id).unwrap();
        });
    }
    // All the way down, too: more than the kernel takes as one string.
    let deep = places().into_iter().filter(|name| name.len() < 100).collect::<Vec<_>>().join(&b'/');
    fs::create_dir_all(bench.folder().join("homes").join(OsStr::from_bytes(&deep))).unwrap();
    at_home(bench, &[&deep[..], b"home"].join(&b'/'), |bench| {
        bench.layer(&Tarball::new().file("d/below", "x").done());
        bench.change(|root| fs::write(root.join("d/below"), "written").unwrap());
        assert_eq!(below(&bench.tree(), "/d/"), ["/d/below file 'written' 644 0:0"]);
    });
}

fn a_mounts_target_has_any_name(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    let expected = bench.tree();
    for name in places() {
        let target = bench.folder().join("targets").join(OsStr::from_bytes(&name));
        fs::create_dir_all(&target).unwrap();
        let mounted = bench.driver.mount(bench.top().as_ref(), &MountRequest::inspection(), &target).unwrap();
        assert_eq!(mounted.target(), target);
        assert!(plywood_sys::mountinfo::is_mounted(&target).unwrap(), "{}", name.escape_ascii());
        assert_eq!(list(&target), expected);
        mounted.unmount().unwrap();
        assert!(!plywood_sys::mountinfo::is_mounted(&target).unwrap());
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }
}

fn what_is_mounted_in_a_folder_of_any_name_is_in_use(bench: &mut Bench) {
    for name in places() {
        at_home(bench, &name, |bench| {
            bench.layer(&Tarball::new().file("f", "x").done());
            bench.snapshot();
            let mounted = bench.mount(&bench.top(), &MountRequest::read_write(), "in-use").unwrap();
            let error = bench.driver.remove(&bench.top().id).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InUse, "{}: {error}", name.escape_ascii());
            mounted.unmount().unwrap();
            bench.driver.remove(&bench.top().id).unwrap();
        });
    }
}
