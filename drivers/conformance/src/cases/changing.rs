//! Changed containers: what they list and what their diff says, applied again.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use plywood_archive::tar::{Entry, Kind, Timestamp};
use plywood_graphdriver::{ErrorKind, MountRequest};
use rustix::fs::FallocateFlags;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::segments;
use crate::tarball::{Tarball, blank, paths};

cases! {
    "changing";
    changes_and_diff_of_a_container_say_what_was_done: [Mounts],
    a_diff_is_written_the_same_by_every_driver: [Mounts],
    a_rewrite_within_a_second_to_the_same_size_is_seen: [Mounts],
    metadata_alone_is_a_change_and_the_root_is_not_forgotten: [Mounts],
    an_untouched_container_has_no_changes: [Mounts],
    a_file_that_would_read_as_a_deletion_is_refused: [Mounts],
    a_sealed_container_is_a_layer_like_any_other: [Mounts],
    holes_made_in_a_container_are_kept: [Mounts, Holes],
}

fn base() -> Vec<u8> {
    Tarball::new()
        .folder("./", 0o755)
        .folder("etc/", 0o755)
        .file("etc/edited", "before")
        .file("etc/deleted", "x")
        .file("etc/touched", "same")
        .file("etc/linked", "link me")
        .folder("gone/deep/", 0o755)
        .file("gone/deep/file", "x")
        .folder("remade/", 0o755)
        .file("remade/old", "x")
        .symlink("link", "etc")
        .folder("still/", 0o755)
        .done()
}

fn edit(root: &Path) {
    fs::write(root.join("etc/edited"), "after.").unwrap();
    fs::remove_file(root.join("etc/deleted")).unwrap();
    fs::hard_link(root.join("etc/linked"), root.join("second name")).unwrap();
    fs::remove_dir_all(root.join("gone")).unwrap();
    fs::remove_dir_all(root.join("remade")).unwrap();
    fs::create_dir(root.join("remade")).unwrap();
    fs::write(root.join("remade/new"), "n").unwrap();
    fs::remove_file(root.join("link")).unwrap();
    symlink("elsewhere", root.join("link")).unwrap();
    fs::create_dir_all(root.join("added/deep")).unwrap();
    fs::write(root.join("added/deep/file"), vec![7; 100_000]).unwrap();
    let holes = fs::File::create(root.join("added/holes")).unwrap();
    holes.set_len(1 << 24).unwrap();
    // Opened for writing and left as it was: no change.
    let time = root.join("etc/touched").metadata().unwrap().modified().unwrap();
    let same = fs::File::options().write(true).open(root.join("etc/touched")).unwrap();
    same.set_modified(time).unwrap();
}

fn changes_and_diff_of_a_container_say_what_was_done(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(edit);
    assert_eq!(
        bench.changes(),
        [
            "A /added",
            "A /added/deep",
            "A /added/deep/file",
            "A /added/holes",
            "C /etc",
            "D /etc/deleted",
            "C /etc/edited",
            "C /etc/linked",
            "D /gone",
            "C /link",
            "C /remade",
            "A /remade/new",
            "D /remade/old",
            "A /second name",
        ]
    );
    bench.round_trip();
}

fn a_diff_is_written_the_same_by_every_driver(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        fs::write(root.join("etc/edited"), "after.").unwrap();
        fs::remove_dir_all(root.join("gone")).unwrap();
        for path in ["etc/edited", "etc", ""] {
            let file = fs::File::open(root.join(path)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    });
    let at = |path: &[u8], kind, mode| Entry { modified: Timestamp::default(), ..blank(path, kind, mode) };
    let expected = Tarball::new()
        .entry(&at(b"./", Kind::Directory, 0o755), b"")
        .entry(&at(b"etc/", Kind::Directory, 0o755), b"")
        .entry(&Entry { size_bytes: 6, ..at(b"etc/edited", Kind::Regular, 0o644) }, b"after.")
        .entry(&at(b".wh.gone", Kind::Regular, 0), b"")
        .done();
    assert_eq!(paths(&bench.diff()), paths(&expected));
    assert!(bench.diff() == expected, "another driver's diff has other bytes");
}

fn a_rewrite_within_a_second_to_the_same_size_is_seen(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "0").done());
    for number in 1..=5 {
        bench.change(|root| fs::write(root.join("f"), number.to_string()).unwrap());
        assert_eq!(bench.changes(), ["C /f"]);
        let diff = bench.diff();
        bench.chain.pop();
        bench.layer(&diff);
        assert_eq!(bench.look(|root| fs::read_to_string(root.join("f")).unwrap()), number.to_string());
    }
}

fn metadata_alone_is_a_change_and_the_root_is_not_forgotten(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(root.join("etc/touched"), Some(5), Some(6)).unwrap();
    });
    assert_eq!(bench.changes(), ["C /etc", "C /etc/touched"]);
    bench.round_trip();
    assert_eq!(bench.look(|root| root.metadata().unwrap().mode() & 0o777), 0o700);
}

fn an_untouched_container_has_no_changes(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|_| {});
    assert!(bench.changes().is_empty(), "{:?}", bench.changes());
    assert_eq!(bench.diff(), Tarball::new().done());
}

fn a_file_that_would_read_as_a_deletion_is_refused(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| fs::write(root.join(".wh.etc"), "").unwrap());
    let error = bench.diff_of(&bench.top()).unwrap_err();
    assert_eq!(error.path.as_deref(), Some(Path::new("/.wh.etc")), "{error}: {}", error.source);
}

fn a_sealed_container_is_a_layer_like_any_other(bench: &mut Bench) {
    bench.layer(&base());
    bench.commit(edit);
    let (tree, changes, diff) = (bench.tree(), bench.changes(), bench.diff());
    let error = bench.mount(&bench.top(), &MountRequest::read_write(), "here").unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    bench.seal();
    bench.reopen();
    bench.change(|root| fs::write(root.join("above"), "x").unwrap());
    assert_eq!(bench.changes(), ["A /above"]);
    bench.chain.pop();
    assert_eq!((bench.tree(), bench.changes()), (tree, changes));
    assert!(bench.diff() == diff);
}

fn holes_made_in_a_container_are_kept(bench: &mut Bench) {
    bench.layer(&Tarball::new().bytes(b"full", &vec![b'x'; 1 << 20]).done());
    bench.change(|root| {
        let new = fs::File::create(root.join("new")).unwrap();
        new.set_len(1 << 24).unwrap();
        new.write_all_at(b"data", 1 << 22).unwrap();
        let full = fs::File::options().write(true).open(root.join("full")).unwrap();
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&full, punch, 64 << 10, 512 << 10).unwrap();
    });
    let shown = |root: &Path| ["new", "full"].map(|name| segments(&root.join(name)));
    let before = bench.look(shown);
    assert_eq!(before[0].iter().map(|segment| segment.offset).collect::<Vec<_>>(), [1 << 22]);
    assert_eq!(before[1].iter().map(|segment| segment.offset).collect::<Vec<_>>(), [0, 576 << 10]);
    bench.round_trip();
    assert_eq!(bench.look(shown), before);
}
