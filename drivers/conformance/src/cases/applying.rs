//! One layer: what it holds comes out as it went in.

use std::os::unix::fs::{FileExt, MetadataExt};

use plywood_archive::tar::{Entry, Kind, Timestamp};
use plywood_graphdriver::ErrorKind;
use rustix::fs::XattrFlags;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::{assert_same, below, segments};
use crate::tarball::{ACL, CAPABILITY, SHOWN_TIME, Tarball, blank, entries};

cases! {
    "applying";
    every_kind_of_entry_keeps_all_it_has: [Mounts, Root, UserXattrs, Acls],
    holes_stay_holes_and_hold_what_they_held: [Mounts, Holes],
    what_a_layer_says_to_overlayfs_is_kept_as_data: [Mounts, UserXattrs],
    what_a_layer_says_to_overlayfs_is_shown_as_data: [Mounts, UserXattrs, EscapedXattrs],
    of_entries_with_one_path_the_last_wins_and_the_tar_comes_back: [Mounts],
    a_folder_described_twice_has_what_was_said_last: [Mounts, UserXattrs],
    an_empty_tar_is_an_empty_layer: [Mounts],
    a_layer_is_applied_once_and_removed_as_often_as_one_likes: [Mounts],
    an_attribute_of_the_machine_is_refused_and_a_label_left_out: [Mounts],
    of_a_folder_that_comes_twice_the_last_mode_counts: [Mounts],
    default_acls_go_to_no_file_that_does_not_have_them: [Mounts, Acls],
}

fn every_kind_of_entry_keeps_all_it_has(bench: &mut Bench) {
    let tar = Tarball::new()
        .folder("./", 0o711)
        .folder("d/", 0o2755)
        .entry(
            &Entry { uid: 1234, gid: 70_000, size_bytes: 3, ..blank(b"d/owned", Kind::Regular, 0o4755) },
            b"abc",
        )
        .entry(
            &Entry {
                xattrs: vec![(b"security.capability".to_vec(), CAPABILITY.to_vec())],
                ..blank(b"d/cap", Kind::Regular, 0o755)
            },
            b"",
        )
        .entry(
            &Entry {
                xattrs: vec![(b"user.one".to_vec(), b"\0\xff=x".to_vec())],
                ..blank(b"d/sub/", Kind::Directory, 0o1777)
            },
            b"",
        )
        .entry(
            &Entry {
                xattrs: vec![(b"system.posix_acl_default".to_vec(), ACL.to_vec())],
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
        .done();
    let applied = bench.layer(&tar);
    assert!(applied.skipped.is_empty(), "{applied:?}");
    let time = SHOWN_TIME;
    let tree = bench.tree();
    let expected = [
        format!("/ folder 711 0:0 {time}"),
        format!("/acl folder 755 0:0 system.posix_acl_default={} {time}", ACL.escape_ascii()),
        format!("/acl/inside file 'x' 644 0:0 {time}"),
        format!("/caf\\xe9\\n,:\\\\  file '' 0 0:0 {time}"),
        format!("/d folder 2755 0:0 {time}"),
        format!("/d/again file 'abc' 4755 1234:70000 {time}"),
        format!("/d/cap file '' 755 0:0 security.capability={} {time}", CAPABILITY.escape_ascii()),
        format!("/d/owned same as /d/again 4755 1234:70000 {time}"),
        format!("/d/sub folder 1777 0:0 user.one=\\x00\\xff=x {time}"),
        format!("/link -> ../../anywhere 777 0:0 {time}"),
        format!("/loop block device {} 660 0:0 {time}", rustix::fs::makedev(7, 300)),
        format!("/null character device {} 666 0:0 {time}", rustix::fs::makedev(1, 3)),
        "/old file '' 600 0:0 @-5.999999999".to_owned(),
        format!("/pipe fifo 622 0:0 {time}"),
    ];
    assert_same(&tree, &expected, "the tree is not what the tar says");
}

fn holes_stay_holes_and_hold_what_they_held(bench: &mut Bench) {
    let data: &[(u64, &[u8])] = &[(1 << 20, &[b'd'; 4096]), (1 << 29, b"more")];
    bench.layer(&Tarball::new().sparse("holes", 1 << 30, data).sparse("nothing", 1 << 24, &[]).done());
    bench.look(|root| {
        let (holes, nothing) = (root.join("holes"), root.join("nothing"));
        assert_eq!(holes.metadata().unwrap().len(), 1 << 30);
        assert_eq!(nothing.metadata().unwrap().len(), 1 << 24);
        let starts: Vec<u64> = segments(&holes).iter().map(|segment| segment.offset).collect();
        assert_eq!(starts, [1 << 20, 1 << 29]);
        assert_eq!(segments(&nothing), []);
        let file = std::fs::File::open(&holes).unwrap();
        let mut read = [0; 8];
        file.read_exact_at(&mut read, (1 << 29) - 4).unwrap();
        assert_eq!(&read, b"\0\0\0\0more");
        assert!(
            file.metadata().unwrap().blocks() * 512 < 1 << 20,
            "{} blocks",
            file.metadata().unwrap().blocks()
        );
    });
}

/// A layer that tells overlayfs that a folder is opaque, and that a file's content is elsewhere.
fn orders_for_overlayfs() -> Vec<u8> {
    Tarball::new().xattr("d/", "user.overlay.opaque", b"y").xattr("e", "trusted.overlay.metacopy", b"").done()
}

fn what_a_layer_says_to_overlayfs_is_kept_as_data(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/below", "x").done());
    bench.layer(&orders_for_overlayfs());
    let tree = bench.tree();
    assert_eq!(below(&tree, "/d/"), ["/d/below file 'x' 644 0:0"]);
    let carried: Vec<_> = entries(&bench.diff()).into_iter().flat_map(|(entry, _)| entry.xattrs).collect();
    let expected = [(&b"user.overlay.opaque"[..], &b"y"[..]), (b"trusted.overlay.metacopy", b"")];
    assert_eq!(carried, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
}

/// Overlayfs unescapes its own namespace, `trusted.overlay.`, and shows the other as it is stored: either will do in a mount.
fn what_a_layer_says_to_overlayfs_is_shown_as_data(bench: &mut Bench) {
    bench.layer(&orders_for_overlayfs());
    let tree = bench.tree();
    let shown =
        ["/d folder 755 0:0 user.overlay.opaque=y", "/d folder 755 0:0 user.overlay.overlay.opaque=y"];
    assert!(shown.contains(&below(&tree, "/d")[0]), "{tree:?}");
    assert_eq!(below(&tree, "/e"), ["/e file '' 755 0:0 trusted.overlay.metacopy="]);
}

fn of_entries_with_one_path_the_last_wins_and_the_tar_comes_back(bench: &mut Bench) {
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
    bench.layer(&tar);
    let tree = bench.tree();
    assert_eq!(below(&tree, "/a"), ["/a folder 700 0:0", "/a/x file 'third x' 644 0:0"]);
    assert_eq!(below(&tree, "/d"), ["/d -> elsewhere 777 0:0"]);
    assert_eq!(below(&tree, "/other"), ["/other file 'first' 644 0:0"]);
}

fn a_folder_described_twice_has_what_was_said_last(bench: &mut Bench) {
    let described = |xattr: &str, mode| Entry {
        xattrs: vec![(format!("user.{xattr}").into_bytes(), b"1".to_vec())],
        ..blank(b"d/", Kind::Directory, mode)
    };
    let tar = Tarball::new()
        .entry(&described("first", 0o700), b"")
        .file("d/f", "")
        .entry(&described("second", 0o750), b"")
        .done();
    bench.layer(&tar);
    assert_eq!(below(&bench.tree(), "/d "), ["/d folder 750 0:0 user.second=1"]);
}

fn an_empty_tar_is_an_empty_layer(bench: &mut Bench) {
    bench.layer(&[]);
    assert_eq!(bench.tree(), ["/ folder 755 0:0 @0.000000000"]);
}

fn a_layer_is_applied_once_and_removed_as_often_as_one_likes(bench: &mut Bench) {
    let id = bench.new_id();
    bench.apply(&id, &mut &Tarball::new().file("f", "x").done()[..]).unwrap();
    let error = bench.apply(&id, &mut &[][..]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
    assert_eq!(bench.driver.layers().unwrap(), std::slice::from_ref(&id));
    bench.driver.remove(&id).unwrap();
    bench.driver.remove(&id).unwrap();
    assert!(bench.driver.layers().unwrap().is_empty());
}

fn an_attribute_of_the_machine_is_refused_and_a_label_left_out(bench: &mut Bench) {
    let with = |name: &str| {
        let entry = Entry {
            xattrs: vec![(name.as_bytes().to_vec(), b"x".to_vec())],
            ..blank(b"f", Kind::Regular, 0o644)
        };
        Tarball::new().entry(&entry, b"").done()
    };
    let error = bench.try_layer(&with("trusted.secret")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.source.to_string().contains("trusted.secret"), "{}", error.source);
    assert_eq!(bench.layer(&with("security.selinux")).skipped.xattrs, 1);
}

fn of_a_folder_that_comes_twice_the_last_mode_counts(bench: &mut Bench) {
    let tar = Tarball::new().folder("s/", 0o2755).file("s/f", "x").folder("s/", 0o755).done();
    bench.layer(&tar);
    assert_eq!(below(&bench.tree(), "/s "), ["/s folder 755 0:0"]);
}

fn default_acls_go_to_no_file_that_does_not_have_them(bench: &mut Bench) {
    let root = Entry {
        xattrs: vec![(b"system.posix_acl_default".to_vec(), ACL.to_vec())],
        ..blank(b"./", Kind::Directory, 0o755)
    };
    // Neither of the store's own folder, nor of the layer's root.
    rustix::fs::lsetxattr(bench.home(), "system.posix_acl_default", ACL, XattrFlags::empty()).unwrap();
    bench.layer(&Tarball::new().entry(&root, b"").file("k", "x").folder("kd/", 0o755).done());
    bench.layer(&Tarball::new().file("q", "y").done());
    assert_eq!(bench.changes(), ["A /q"]);
    let tree = bench.tree();
    assert_eq!(below(&tree, "/k"), ["/k file 'x' 644 0:0", "/kd folder 755 0:0"]);
}
