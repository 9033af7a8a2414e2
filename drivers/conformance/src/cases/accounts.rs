//! What layers take, counted: holes, links, and all that has no content.

use std::fs;
use std::os::unix::net::UnixListener;

use plywood_archive::tar::Kind;
use plywood_graphdriver::Usage;

use crate::bench::Bench;
use crate::case::cases;
use crate::tarball::{Tarball, blank};

cases! {
    "accounts";
    every_kind_counts_one_inode_and_only_files_have_bytes: [Mounts, Root],
    a_file_counts_its_size_whatever_its_holes: [Mounts, Holes],
    what_comes_twice_counts_once: [Mounts],
    deletions_count_nothing_and_take_nothing_off: [Mounts],
    names_of_one_file_count_once_whatever_the_folder: [Mounts],
    usage_is_the_same_before_and_after_the_seal: [Mounts],
}

fn used(size_bytes: u64, inodes: u64) -> Usage {
    Usage { size_bytes, inodes }
}

fn every_kind_counts_one_inode_and_only_files_have_bytes(bench: &mut Bench) {
    let tar = Tarball::new()
        .folder("./", 0o755)
        .folder("d/", 0o755)
        .file("d/f", "12345")
        .symlink("d/s", &"long".repeat(100))
        .entry(&blank(b"d/p", Kind::Fifo, 0o600), b"")
        .entry(&blank(b"d/c", Kind::CharDevice { major: 1, minor: 3 }, 0o600), b"")
        .xattr("d/x", "user.x", &[b'x'; 100]);
    bench.layer(&tar.done());
    assert_eq!(bench.usage(), used(5, 6));
    bench.change(|root| {
        fs::create_dir(root.join("e")).unwrap();
        std::os::unix::fs::symlink("x", root.join("e/s")).unwrap();
        drop(UnixListener::bind(root.join("e/socket")).unwrap());
    });
    assert_eq!(bench.usage(), used(0, 3));
}

fn a_file_counts_its_size_whatever_its_holes(bench: &mut Bench) {
    let tar = Tarball::new().sparse("holes", 1 << 40, &[(1 << 30, b"x")]).sparse("none", 1 << 20, &[]);
    let applied = bench.layer(&tar.done());
    let expected = used((1 << 40) + (1 << 20), 2);
    assert_eq!((applied.usage, bench.usage()), (expected, expected));
    assert_eq!(bench.diff_of(&bench.top()).unwrap().1.size_bytes, expected.size_bytes);
    bench.change(|root| fs::File::create(root.join("grown")).unwrap().set_len(1 << 41).unwrap());
    assert_eq!(bench.usage(), used(1 << 41, 1));
}

fn what_comes_twice_counts_once(bench: &mut Bench) {
    let tar = Tarball::new()
        .folder("d/", 0o755)
        .file("d/f", &"x".repeat(1000))
        .file("d/f", &"y".repeat(10))
        .folder("d/", 0o700)
        .file("d/g", "gone")
        .file("d/.wh.g", "");
    bench.layer(&tar.done());
    assert_eq!(bench.usage(), used(10, 2));
}

fn deletions_count_nothing_and_take_nothing_off(bench: &mut Bench) {
    let large = "x".repeat(100_000);
    bench.layer(&Tarball::new().file("large", &large).file("d/f", &large).file("d/g", &large).done());
    bench.layer(&Tarball::new().file(".wh.large", "").file(".wh.d", "").file("small", "123").done());
    assert_eq!(bench.usage(), used(3, 1));
    bench.chain.truncate(1);
    bench.change(|root| {
        fs::remove_file(root.join("large")).unwrap();
        fs::remove_dir_all(root.join("d")).unwrap();
        fs::write(root.join("small"), "1234").unwrap();
    });
    assert_eq!(bench.usage(), used(4, 1));
    assert_eq!(bench.diff_of(&bench.top()).unwrap().1.size_bytes, 4);
}

fn names_of_one_file_count_once_whatever_the_folder(bench: &mut Bench) {
    let tar = Tarball::new()
        .folder("d/", 0o755)
        .file("d/f", "12345")
        .folder("e/", 0o755)
        .link("e/f", "d/f")
        .link("f", "d/f");
    bench.layer(&tar.done());
    assert_eq!(bench.usage(), used(5, 3));
    // One more name of a file below makes the layer hold the file.
    bench.layer(&Tarball::new().file("own", "1").link("again", "own").done());
    assert_eq!(bench.usage(), used(1, 1));
}

fn usage_is_the_same_before_and_after_the_seal(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("below", "12345").done());
    bench.change(|root| fs::write(root.join("f"), "123").unwrap());
    let before = bench.usage();
    bench.seal();
    assert_eq!(bench.usage(), before);
    assert_eq!(before, used(3, 1));
    bench.reopen();
    assert_eq!(bench.usage(), before);
}
