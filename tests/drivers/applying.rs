//! One layer: what it holds comes out as it went in.

use plywood_archive::tar::{Entry, Kind, Timestamp};
use plywood_graphdriver::ErrorKind;

use crate::bench::on_every_driver;
use crate::listing::below;
use crate::tarball::{Tarball, blank};

#[test]
fn every_kind_of_entry_keeps_all_it_has() {
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    let tar = Tarball::new()
        .folder("./", 0o711)
        .folder("d/", 0o2755)
        .entry(
            &Entry { uid: 1234, gid: 70_000, size_bytes: 3, ..blank(b"d/owned", Kind::Regular, 0o4755) },
            b"abc",
        )
        .entry(
            &Entry {
                xattrs: vec![(b"security.capability".to_vec(), capability.to_vec())],
                ..blank(b"d/cap", Kind::Regular, 0o755)
            },
            b"",
        )
        .entry(
            &Entry {
                xattrs: vec![
                    (b"user.one".to_vec(), b"\0\xff=x".to_vec()),
                    (b"user.overlay.opaque".to_vec(), b"y".to_vec()),
                ],
                ..blank(b"d/sub/", Kind::Directory, 0o1777)
            },
            b"",
        )
        .entry(
            &Entry {
                xattrs: vec![(b"system.posix_acl_default".to_vec(), acl.to_vec())],
                ..blank(b"acl/", Kind::Directory, 0o755)
            },
            b"",
        )
        .file("acl/inside", "x")
        .entry(
            &Entry {
                modified: Timestamp { seconds: -5, nanoseconds: 999_999_999 },
                ..blank(b"old", Kind::Regular, 0o600)
            },
            b"",
        )
        .entry(&blank(b"pipe", Kind::Fifo, 0o622), b"")
        .entry(&blank(b"null", Kind::CharDevice { major: 1, minor: 3 }, 0o666), b"")
        .entry(&blank(b"loop", Kind::BlockDevice { major: 7, minor: 300 }, 0o660), b"")
        .entry(&blank(b"caf\xe9\n,:\\ ", Kind::Regular, 0), b"")
        .symlink("link", "../../anywhere")
        .link("d/again", "./d/owned")
        .sparse("holes", 1 << 30, &[(1 << 20, b"data"), (1 << 29, b"more")])
        .done();
    on_every_driver(|bench| {
        let applied = bench.layer(&tar);
        assert!(applied.skipped.is_empty(), "{applied:?}");
        let time = "@1600000000.123456789";
        let tree = bench.tree();
        // Overlayfs unescapes its own namespace, `trusted.overlay.`, and shows the other as it is stored.
        let escape = if bench.driver.name() == "overlay2" { "overlay." } else { "" };
        let expected = [
            format!("/ folder 711 0:0 {time}"),
            format!("/acl folder 755 0:0 system.posix_acl_default={} {time}", acl.escape_ascii()),
            format!("/acl/inside file 'x' 644 0:0 {time}"),
            format!("/caf\\xe9\\n,:\\\\  file '' 0 0:0 {time}"),
            format!("/d folder 2755 0:0 {time}"),
            format!("/d/again file 'abc' 4755 1234:70000 {time}"),
            format!("/d/cap file '' 755 0:0 security.capability={} {time}", capability.escape_ascii()),
            format!("/d/owned same as /d/again 4755 1234:70000 {time}"),
            format!("/d/sub folder 1777 0:0 user.one=\\x00\\xff=x user.overlay.{escape}opaque=y {time}"),
            format!("/holes file of 1073741824 in 16 blocks 600 0:0 {time}"),
            format!("/link -> ../../anywhere 777 0:0 {time}"),
            format!("/loop block device {} 660 0:0 {time}", rustix::fs::makedev(7, 300)),
            format!("/null character device {} 666 0:0 {time}", rustix::fs::makedev(1, 3)),
            "/old file '' 600 0:0 @-5.999999999".to_owned(),
            format!("/pipe fifo 622 0:0 {time}"),
        ];
        assert_eq!(tree, expected);
    });
}

#[test]
fn of_entries_with_one_path_the_last_wins_and_the_tar_comes_back() {
    let tar = Tarball::new()
        .file("a", "first")
        .folder("d/", 0o755)
        .file("d/inner", "inner")
        .link("other", "a")
        .file("a", "second")
        .symlink("d", "elsewhere")
        .folder("a/", 0o700)
        .file("a/x", "x")
        .file("a/x", "")
        .file("a/x", "third x")
        .done();
    on_every_driver(|bench| {
        bench.layer(&tar);
        let tree = bench.tree();
        assert_eq!(below(&tree, "/a"), ["/a folder 700 0:0", "/a/x file 'third x' 644 0:0"]);
        assert_eq!(below(&tree, "/d"), ["/d -> elsewhere 777 0:0"]);
        assert_eq!(below(&tree, "/other"), ["/other file 'first' 644 0:0"]);
    });
}

#[test]
fn a_folder_described_twice_has_what_was_said_last() {
    let described = |xattr: &str, mode| Entry {
        xattrs: vec![(format!("user.{xattr}").into_bytes(), b"1".to_vec())],
        ..blank(b"d/", Kind::Directory, mode)
    };
    let tar = Tarball::new()
        .entry(&described("first", 0o700), b"")
        .file("d/f", "")
        .entry(&described("second", 0o750), b"")
        .done();
    on_every_driver(|bench| {
        bench.layer(&tar);
        assert_eq!(below(&bench.tree(), "/d "), ["/d folder 750 0:0 user.second=1"]);
    });
}

#[test]
fn an_empty_tar_is_an_empty_layer() {
    on_every_driver(|bench| {
        bench.layer(&[]);
        assert_eq!(bench.tree(), ["/ folder 755 0:0 @0.000000000"]);
    });
}

#[test]
fn a_layer_is_applied_once_and_removed_as_often_as_one_likes() {
    on_every_driver(|bench| {
        let id = bench.new_id();
        bench.apply(&id, &mut &Tarball::new().file("f", "x").done()[..]).unwrap();
        let error = bench.apply(&id, &mut &[][..]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
        assert_eq!(bench.driver.layers().unwrap(), std::slice::from_ref(&id));
        bench.driver.remove(&id).unwrap();
        bench.driver.remove(&id).unwrap();
        assert!(bench.driver.layers().unwrap().is_empty());
    });
}

#[test]
fn an_attribute_of_the_machine_is_refused_and_a_label_left_out() {
    let with = |name: &str| {
        let entry = Entry {
            xattrs: vec![(name.as_bytes().to_vec(), b"x".to_vec())],
            ..blank(b"f", Kind::Regular, 0o644)
        };
        Tarball::new().entry(&entry, b"").done()
    };
    on_every_driver(|bench| {
        let error = bench.try_layer(&with("trusted.secret")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(error.source.to_string().contains("trusted.secret"), "{}", error.source);
        assert_eq!(bench.layer(&with("security.selinux")).skipped.xattrs, 1);
    });
}

#[test]
fn of_a_folder_that_comes_twice_the_last_mode_counts() {
    let tar = Tarball::new().folder("s/", 0o2755).file("s/f", "x").folder("s/", 0o755).done();
    on_every_driver(|bench| {
        bench.layer(&tar);
        assert_eq!(below(&bench.tree(), "/s "), ["/s folder 755 0:0"]);
    });
}

#[test]
fn default_acls_go_to_no_file_that_does_not_have_them() {
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    let root = Entry {
        xattrs: vec![(b"system.posix_acl_default".to_vec(), acl.to_vec())],
        ..blank(b"./", Kind::Directory, 0o755)
    };
    on_every_driver(|bench| {
        // Neither of the store's own folder, nor of the layer's root.
        let home = plywood_tree::resolve::open_root(&bench.folder.path().join(bench.driver.name())).unwrap();
        let node = plywood_tree::resolve::Node::new(&home, b".");
        plywood_tree::xattr::set(node, b"system.posix_acl_default", acl).unwrap();
        bench.layer(&Tarball::new().entry(&root, b"").file("k", "x").folder("kd/", 0o755).done());
        bench.layer(&Tarball::new().file("q", "y").done());
        assert_eq!(bench.changes(), ["A /q"]);
        let tree = bench.tree();
        assert_eq!(below(&tree, "/k"), ["/k file 'x' 644 0:0", "/kd folder 755 0:0"]);
    });
}
