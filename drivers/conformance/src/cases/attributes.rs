//! Extended attributes: those that a layer carries, whole, and those that it must not.

use std::collections::BTreeSet;
use std::path::Path;

use plywood_archive::tar::{Entry, Kind, Limits};
use plywood_graphdriver::ErrorKind;
use rustix::fs::XattrFlags;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::{Item, below};
use crate::tarball::{Tarball, blank, entries};

cases! {
    "attributes";
    names_and_values_of_any_bytes_come_back: [Mounts, UserXattrs],
    a_container_sets_changes_and_removes_them: [Mounts, UserXattrs],
    a_layer_that_describes_a_folder_replaces_them: [Mounts, UserXattrs],
    what_cannot_have_them_is_made_without_and_said: [Mounts, Root, UserXattrs],
    the_machines_own_are_refused_by_name_and_path: [Mounts],
    the_machines_own_stay_out_of_diffs: [Mounts, Root],
    what_overlayfs_would_obey_is_data_wherever_it_is: [Mounts, Root, UserXattrs],
    the_largest_values_are_kept_where_the_file_system_has_room: [Mounts, Xfs],
    a_value_without_room_is_kept_whole_or_refused: [Mounts, UserXattrs],
    a_value_past_the_limit_is_refused: [Mounts],
}

type Pair = (Vec<u8>, Vec<u8>);

fn with(path: &[u8], kind: Kind, xattrs: &[Pair]) -> Entry {
    Entry { xattrs: xattrs.to_vec(), ..blank(path, kind, 0o755) }
}

fn pair(name: &[u8], value: &[u8]) -> Pair {
    (name.to_vec(), value.to_vec())
}

fn set(path: &Path, name: &[u8], value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// Names and values that some program has taken for something else, or cut.
fn odd() -> Vec<Pair> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let longest = [&b"user."[..], &[b'n'; 250]].concat();
    let mut odd = vec![
        pair(b"user.binary", &every_byte),
        pair(b"user.empty", b""),
        pair(b"user.nul", b"\0"),
        pair(b"user.newline\nin=name", b"\n\n17 path=/etc/passwd\n"),
        pair(b"user.a=b=c", b"=d"),
        pair(b"user.caf\xe9", b"\xff\xfe"),
        pair(b"user. blank and % ", b" "),
        pair(b"user.x.y.z", b"0sAAAA"),
        pair(&longest, b"longest name"),
    ];
    odd.extend((0..40).map(|number| pair(format!("user.many.{number}").as_bytes(), &[number; 3])));
    odd.sort();
    odd
}

fn at<'a>(items: &'a [Item], path: &str) -> &'a Item {
    items.iter().find(|item| item.path == path.as_bytes()).unwrap()
}

fn names_and_values_of_any_bytes_come_back(bench: &mut Bench) {
    let tar = Tarball::new()
        .entry(&with(b"./", Kind::Directory, &odd()), b"")
        .entry(&with(b"d/", Kind::Directory, &odd()), b"")
        .entry(&with(b"d/f", Kind::Regular, &odd()), b"")
        .done();
    assert!(bench.layer(&tar).skipped.is_empty());
    let check = |bench: &Bench| {
        let listing = bench.listing();
        for path in ["", "d", "d/f"] {
            assert_eq!(at(&listing.0, path).xattrs, odd(), "/{path}");
        }
    };
    check(bench);
    bench.round_trip();
    check(bench);
    // Implied by a layer, and copied up by a container, they are still all there.
    bench.layer(&Tarball::new().file("d/beside", "").done());
    check(bench);
    bench.change(|root| std::fs::write(root.join("d/f"), "written").unwrap());
    check(bench);
    bench.round_trip();
    check(bench);
}

fn a_container_sets_changes_and_removes_them(bench: &mut Bench) {
    let base = [pair(b"user.changed", b"before"), pair(b"user.kept", b"1"), pair(b"user.removed", b"x")];
    let tar = Tarball::new()
        .entry(&with(b"d/", Kind::Directory, &base), b"")
        .entry(&with(b"d/f", Kind::Regular, &base), b"")
        .entry(&with(b"d/idle", Kind::Regular, &base), b"")
        .done();
    bench.layer(&tar);
    bench.change(|root| {
        for path in ["d", "d/f"] {
            set(&root.join(path), b"user.changed", b"after\0");
            set(&root.join(path), b"user.new", b"");
            rustix::fs::lremovexattr(root.join(path), "user.removed").unwrap();
        }
        // Set to what it was.
        set(&root.join("d/idle"), b"user.kept", b"1");
    });
    assert_eq!(bench.changes(), ["C /d", "C /d/f"]);
    let shown = "user.changed=after\\x00 user.kept=1 user.new=";
    let tree = bench.tree();
    assert_eq!(below(&tree, "/d "), [format!("/d folder 755 0:0 {shown}")]);
    assert_eq!(below(&tree, "/d/f"), [format!("/d/f file '' 755 0:0 {shown}")]);
    bench.round_trip();
}

fn a_layer_that_describes_a_folder_replaces_them(bench: &mut Bench) {
    let base = [pair(b"user.base", b"1"), pair(b"user.both", b"1")];
    let tar = Tarball::new()
        .entry(&with(b"./", Kind::Directory, &base), b"")
        .entry(&with(b"described/", Kind::Directory, &base), b"")
        .entry(&with(b"bare/", Kind::Directory, &base), b"")
        .entry(&with(b"implied/", Kind::Directory, &base), b"");
    bench.layer(&tar.done());
    let top = [pair(b"user.both", b"2"), pair(b"user.top", b"2")];
    let tar = Tarball::new()
        .entry(&with(b"described/", Kind::Directory, &top), b"")
        .folder("bare/", 0o755)
        .file("implied/f", "");
    bench.layer(&tar.done());
    assert_eq!(
        below(&bench.tree(), "/"),
        [
            "/ folder 755 0:0 user.base=1 user.both=1",
            "/bare folder 755 0:0",
            "/described folder 755 0:0 user.both=2 user.top=2",
            "/implied folder 755 0:0 user.base=1 user.both=1",
            "/implied/f file '' 644 0:0",
        ]
    );
    bench.round_trip();
}

/// The kernel has `user.*` on files and folders only (xattr(7)).
fn what_cannot_have_them_is_made_without_and_said(bench: &mut Bench) {
    let one = [pair(b"user.one", b"1")];
    let tar = Tarball::new()
        .entry(&with(b"fifo", Kind::Fifo, &one), b"")
        .entry(&with(b"null", Kind::CharDevice { major: 1, minor: 3 }, &one), b"")
        .entry(&with(b"symlink", Kind::Symlink { target: b"x".to_vec() }, &one), b"")
        .entry(
            &with(b"foreign", Kind::Regular, &[pair(b"security.other", b"1"), pair(b"made.up", b"1")]),
            b"",
        )
        .done();
    let applied = bench.layer(&tar);
    assert_eq!(applied.skipped.xattrs, 5);
    let tree = bench.tree();
    assert_eq!(
        below(&tree, "/"),
        [
            "/ folder 755 0:0".to_owned(),
            "/fifo fifo 755 0:0".to_owned(),
            "/foreign file '' 755 0:0".to_owned(),
            format!("/null character device {} 755 0:0", rustix::fs::makedev(1, 3)),
            "/symlink -> x 777 0:0".to_owned(),
        ]
    );
}

fn the_machines_own_are_refused_by_name_and_path(bench: &mut Bench) {
    for name in
        [&b"trusted.other"[..], b"trusted.", b"trusted.overlay", b"trusted.overlayed.x", b"trusted.\xff"]
    {
        for (path, kind) in [(&b"d/f"[..], Kind::Regular), (b"d/s", Kind::Symlink { target: b"x".to_vec() })]
        {
            let tar = Tarball::new().entry(&with(path, kind, &[pair(name, b"x")]), b"").done();
            let error = bench.try_layer(&tar).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}: {}", error.source);
            let said = error.source.to_string();
            assert!(said.contains("trusted."), "{said}");
            let shown = error.path.unwrap();
            assert!(shown.starts_with("/d"), "{}", shown.display());
        }
    }
}

/// Root in a container sets what no layer may bring: a diff that had it could be applied nowhere.
fn the_machines_own_stay_out_of_diffs(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").folder("d/", 0o755).done());
    bench.change(|root| {
        for path in ["f", "d"] {
            set(&root.join(path), b"trusted.secret", b"x");
        }
    });
    assert_eq!(bench.changes(), [""; 0]);
    bench.write(|root| std::fs::write(root.join("f"), "y").unwrap());
    let diff = bench.diff();
    let carried: Vec<Pair> = entries(&diff).into_iter().flat_map(|(entry, _)| entry.xattrs).collect();
    assert_eq!(carried, []);
    bench.chain.pop();
    bench.layer(&diff);
    assert_eq!(below(&bench.tree(), "/f"), ["/f file 'y' 644 0:0"]);
}

fn what_overlayfs_would_obey_is_data_wherever_it_is(bench: &mut Bench) {
    let base =
        Tarball::new().folder("d/", 0o755).file("d/below", "x").file("victim", "secret").folder("r/", 0o755);
    bench.layer(&base.done());
    let (redirect, opaque) =
        (pair(b"trusted.overlay.redirect", b"/d"), pair(b"trusted.overlay.opaque", b"y"));
    let (whiteout, meta) = (pair(b"trusted.overlay.whiteout", b""), pair(b"trusted.overlay.metacopy", b""));
    let nested = pair(b"trusted.overlay.overlay.opaque", b"y");
    let tar = Tarball::new()
        .entry(&with(b"./", Kind::Directory, std::slice::from_ref(&opaque)), b"")
        .entry(&with(b"d/", Kind::Directory, &[opaque.clone(), nested.clone()]), b"")
        .entry(&with(b"r/", Kind::Directory, std::slice::from_ref(&redirect)), b"")
        .entry(
            &with(b"victim2", Kind::Regular, &[meta.clone(), pair(b"trusted.overlay.redirect", b"/victim")]),
            b"",
        )
        .entry(&with(b"white", Kind::Regular, std::slice::from_ref(&whiteout)), b"")
        .done();
    bench.layer(&tar);
    let names: Vec<String> =
        below(&bench.tree(), "/").iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["/", "/d", "/d/below", "/r", "/victim", "/victim2", "/white"]);
    assert!(below(&bench.tree(), "/victim2")[0].starts_with("/victim2 file ''"), "{:?}", bench.tree());
    let carried = |tar: &[u8]| -> BTreeSet<(Vec<u8>, Vec<Pair>)> {
        entries(tar).into_iter().map(|(entry, _)| (entry.path, entry.xattrs)).collect()
    };
    let mut expected = carried(&tar);
    expected = expected
        .into_iter()
        .map(|(path, mut xattrs)| {
            xattrs.sort();
            (path, xattrs)
        })
        .collect();
    assert_eq!(carried(&bench.diff()), expected);
    bench.round_trip();
}

/// Bytes that the limits allow, which is what Linux does (`XATTR_SIZE_MAX`).
const LARGEST: usize = 64 << 10;

fn the_largest_values_are_kept_where_the_file_system_has_room(bench: &mut Bench) {
    let attached = super::backing::file_system(bench, &["mkfs.xfs", "-q"]);
    let slot = bench.open_at(&attached.path().join("home")).unwrap();
    let first = std::mem::replace(&mut bench.driver, slot);
    let large: Vec<u8> = (0..LARGEST).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let pairs = [pair(b"user.large", &large), pair(b"user.small", b"x")];
    let tar = Tarball::new()
        .entry(&with(b"d/", Kind::Directory, &pairs), b"")
        .entry(&with(b"d/f", Kind::Regular, &pairs), b"")
        .done();
    assert!(bench.layer(&tar).skipped.is_empty());
    bench.change(|root| std::fs::write(root.join("d/f"), "copied up").unwrap());
    bench.round_trip();
    assert_eq!(bench.listing().at("d/f").unwrap().xattrs, pairs);
    assert_eq!(bench.listing().at("d").unwrap().xattrs, pairs);
    // It lets go of the file system before that goes.
    bench.driver = first;
}

/// ext4 keeps attributes in one block; no driver cuts what does not fit.
fn a_value_without_room_is_kept_whole_or_refused(bench: &mut Bench) {
    let value = vec![b'v'; 32 << 10];
    let tar = Tarball::new().entry(&with(b"d/f", Kind::Regular, &[pair(b"user.large", &value)]), b"").done();
    match bench.try_layer(&tar) {
        Ok(applied) => {
            let xattrs = bench.listing().at("d/f").unwrap().xattrs.clone();
            let expected =
                if applied.skipped.xattrs == 0 { vec![pair(b"user.large", &value)] } else { Vec::new() };
            assert_eq!(xattrs, expected);
        }
        Err(error) => {
            assert!(
                matches!(error.kind, ErrorKind::NoSpace | ErrorKind::LimitExceeded),
                "{error}: {}",
                error.source
            );
            assert_eq!(error.path.as_deref(), Some(Path::new("/d/f")));
            assert_eq!(error.operation, "set extended attribute");
        }
    }
}

fn a_value_past_the_limit_is_refused(bench: &mut Bench) {
    assert_eq!(Limits::default().xattr_value_bytes, LARGEST);
    let value = vec![b'v'; LARGEST + 1];
    let tar = Tarball::new().entry(&with(b"f", Kind::Regular, &[pair(b"user.large", &value)]), b"").done();
    let error = bench.try_layer(&tar).unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{error}: {}", error.source);
}
