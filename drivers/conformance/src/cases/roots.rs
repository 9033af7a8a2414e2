//! The root folder of a layer, and layers that hold little else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use plywood_archive::tar::{Entry, Kind, Timestamp};
use plywood_graphdriver::{ErrorKind, Usage};
use rustix::fs::XattrFlags;

use crate::bench::Bench;
use crate::case::cases;
use crate::tarball::{ACL, Tarball, blank, paths};

cases! {
    "roots";
    the_root_has_all_that_its_entry_says: [Mounts, Root, UserXattrs, Acls],
    a_layer_that_says_nothing_of_the_root_leaves_it: [Mounts, Root, UserXattrs],
    a_layer_that_describes_the_root_replaces_what_it_was: [Mounts, Root, UserXattrs],
    a_container_changes_the_root: [Mounts, Root, UserXattrs],
    the_root_goes_by_several_names: [Mounts],
    only_a_folder_is_a_root: [Mounts],
    an_empty_layer_between_others_changes_nothing: [Mounts],
    a_layer_of_nothing_but_its_root: [Mounts],
    layers_of_nothing_alone: [Mounts],
}

const OLD: Timestamp = Timestamp { seconds: -7, nanoseconds: 1 };

fn root() -> Entry {
    Entry {
        uid: 70_000,
        gid: 5,
        modified: OLD,
        xattrs: vec![(b"user.root".to_vec(), b"1".to_vec())],
        ..blank(b"./", Kind::Directory, 0o1710)
    }
}

const SHOWN: &str = "/ folder 1710 70000:5 user.root=1 @-7.000000001";

fn the_root_has_all_that_its_entry_says(bench: &mut Bench) {
    let mut entry = root();
    entry.mode = 0o7744;
    entry.xattrs.insert(0, (b"system.posix_acl_access".to_vec(), ACL.to_vec()));
    // The list's own permissions: the owner writes and others read.
    entry.mode = 0o7644;
    bench.layer(&Tarball::new().entry(&entry, b"").file("f", "x").folder("d/", 0o755).done());
    let expected = format!(
        "/ folder 7644 70000:5 system.posix_acl_access={} user.root=1 @-7.000000001",
        ACL.escape_ascii()
    );
    assert_eq!(bench.tree()[0], expected);
    bench.round_trip();
    assert_eq!(bench.tree()[0], expected);
}

fn a_layer_that_says_nothing_of_the_root_leaves_it(bench: &mut Bench) {
    bench.layer(&Tarball::new().entry(&root(), b"").file("f", "x").done());
    bench.layer(&Tarball::new().file("g", "x").file(".wh.f", "").done());
    assert_eq!(bench.tree()[0], SHOWN);
    bench.layer(&Tarball::new().file(".wh..wh..opq", "").file("h", "x").done());
    assert_eq!(bench.tree()[0], SHOWN);
    bench.snapshot();
    assert_eq!(bench.tree()[0], SHOWN);
    bench.view();
    assert_eq!(bench.tree()[0], SHOWN);
}

fn a_layer_that_describes_the_root_replaces_what_it_was(bench: &mut Bench) {
    bench.layer(&Tarball::new().entry(&root(), b"").done());
    bench.layer(&Tarball::new().folder("./", 0o755).done());
    assert_eq!(bench.tree(), ["/ folder 755 0:0 @1600000000.123456789"]);
    assert_eq!(bench.changes(), [""; 0]);
    assert_eq!(paths(&bench.diff()), ["./"]);
    bench.round_trip();
}

fn a_container_changes_the_root(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("./", 0o755).file("f", "x").done());
    bench.change(|root| {
        std::os::unix::fs::chown(root, Some(70_000), Some(5)).unwrap();
        fs::set_permissions(root, fs::Permissions::from_mode(0o1710)).unwrap();
        rustix::fs::lsetxattr(root, "user.root", b"1", XattrFlags::empty()).unwrap();
    });
    assert_eq!(bench.changes(), [""; 0]);
    assert_eq!(paths(&bench.diff()), ["./"]);
    let expected = "/ folder 1710 70000:5 user.root=1 @1600000000.123456789";
    assert_eq!(bench.tree()[0], expected);
    bench.round_trip();
    assert_eq!(bench.tree()[0], expected);
    bench.seal();
    bench.change(|root| rustix::fs::lremovexattr(root, "user.root").unwrap());
    assert_eq!(paths(&bench.diff()), ["./"]);
    bench.round_trip();
    assert_eq!(bench.tree()[0], "/ folder 1710 70000:5 @1600000000.123456789");
}

fn the_root_goes_by_several_names(bench: &mut Bench) {
    for name in ["./", ".", "/", "././", "//"] {
        bench.chain.clear();
        let entry = blank(name.as_bytes(), Kind::Directory, 0o700);
        bench.layer(&Tarball::new().entry(&entry, b"").file("./f", "x").file("/g", "y").done());
        assert_eq!(
            bench.tree(),
            [
                "/ folder 700 0:0 @1600000000.123456789",
                "/f file 'x' 644 0:0 @1600000000.123456789",
                "/g file 'y' 644 0:0 @1600000000.123456789",
            ],
            "{name}"
        );
    }
}

fn only_a_folder_is_a_root(bench: &mut Bench) {
    for kind in [
        Kind::Regular,
        Kind::Symlink { target: b"x".to_vec() },
        Kind::Fifo,
        Kind::HardLink { target: b"x".to_vec() },
    ] {
        let tar = Tarball::new().file("x", "").entry(&blank(b"./.", kind.clone(), 0o644), b"").done();
        let error = bench.try_layer(&tar).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{kind:?}: {error}: {}", error.source);
    }
}

fn an_empty_layer_between_others_changes_nothing(bench: &mut Bench) {
    bench.layer(&Tarball::new().entry(&root(), b"").file("d/f", "x").link("d/g", "d/f").done());
    let expected = bench.tree();
    for empty in [Tarball::new().done(), Vec::new()] {
        bench.layer(&empty);
        assert_eq!(bench.tree(), expected);
        assert_eq!(bench.changes(), [""; 0]);
        assert_eq!(bench.diff(), Tarball::new().done());
        assert_eq!(bench.usage(), Usage::default());
    }
    bench.commit(|_| {});
    bench.layer(&Tarball::new().file("d/.wh.f", "").done());
    assert_eq!(bench.changes()[..2], ["C /d", "D /d/f"]);
    assert_eq!(bench.tree().len(), 3);
    bench.round_trip();
}

fn a_layer_of_nothing_but_its_root(bench: &mut Bench) {
    bench.layer(&Tarball::new().entry(&root(), b"").done());
    assert_eq!(bench.tree(), [SHOWN]);
    assert_eq!(bench.usage(), Usage::default());
    bench.round_trip();
    bench.layer(&Tarball::new().file("f", "x").done());
    // What is above says what below did: nothing new.
    bench.layer(&Tarball::new().entry(&root(), b"").done());
    assert_eq!(bench.tree()[0], SHOWN);
    assert_eq!(bench.diff(), Tarball::new().done());
}

fn layers_of_nothing_alone(bench: &mut Bench) {
    for _ in 0..20 {
        bench.layer(&[]);
    }
    assert_eq!(bench.tree(), ["/ folder 755 0:0 @0.000000000"]);
    bench.change(|root| fs::write(root.join("f"), "x").unwrap());
    assert_eq!(bench.changes(), ["A /f"]);
    bench.round_trip();
}
