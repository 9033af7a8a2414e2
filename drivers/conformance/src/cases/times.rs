//! Times of modification, to the nanosecond, whenever they are.

use std::fs;
use std::path::Path;

use plywood_archive::tar::{Entry, Kind, Timestamp};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};

use crate::bench::Bench;
use crate::case::cases;
use crate::tarball::{TIME, Tarball, blank};

cases! {
    "times";
    times_before_1970_and_after_2106_are_kept_to_the_nanosecond: [Mounts, Root],
    a_time_past_what_the_file_system_keeps_is_the_same_in_every_copy: [Mounts],
    a_folder_keeps_the_time_it_was_given_whatever_comes_into_it: [Mounts],
    a_container_sets_times_of_everything: [Mounts, Root],
    a_rewrite_whose_time_is_put_back_is_seen: [Mounts],
    looking_is_no_change: [Mounts],
    a_time_alone_is_a_change: [Mounts],
}

fn at(seconds: i64, nanoseconds: u32) -> Timestamp {
    Timestamp { seconds, nanoseconds }
}

/// The edges of what ext4 keeps in an inode of 256 bytes (34 bits of seconds), of `i32` and of `u32`.
const TIMES: [Timestamp; 12] = [
    Timestamp { seconds: -2_147_483_648, nanoseconds: 0 },
    Timestamp { seconds: -2_147_483_647, nanoseconds: 1 },
    Timestamp { seconds: -86_401, nanoseconds: 500_000_000 },
    Timestamp { seconds: -1, nanoseconds: 999_999_999 },
    Timestamp { seconds: -1, nanoseconds: 0 },
    Timestamp { seconds: 0, nanoseconds: 0 },
    Timestamp { seconds: 0, nanoseconds: 1 },
    Timestamp { seconds: 2_147_483_647, nanoseconds: 999_999_999 },
    Timestamp { seconds: 2_147_483_648, nanoseconds: 100 },
    Timestamp { seconds: 4_294_967_295, nanoseconds: 999_999_999 },
    Timestamp { seconds: 4_294_967_296, nanoseconds: 7 },
    Timestamp { seconds: 10_000_000_000, nanoseconds: 123_456_789 },
];

fn set(path: &Path, time: Timestamp) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) },
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// The times of what is right in the root and has a name that begins so.
fn times_of(bench: &Bench, prefix: &str) -> Vec<Timestamp> {
    let items = bench.listing().0.into_iter();
    let named = items.filter(|item| item.path.starts_with(prefix.as_bytes()) && !item.path.contains(&b'/'));
    named.map(|item| item.modified).collect()
}

fn times_before_1970_and_after_2106_are_kept_to_the_nanosecond(bench: &mut Bench) {
    let kinds = [
        ("block", Kind::BlockDevice { major: 1, minor: 1 }),
        ("fifo", Kind::Fifo),
        ("file", Kind::Regular),
        ("folder", Kind::Directory),
        ("symlink", Kind::Symlink { target: b"x".to_vec() }),
    ];
    let mut tar = Tarball::new();
    for (name, kind) in &kinds {
        for (number, modified) in TIMES.into_iter().enumerate() {
            let slash = if *kind == Kind::Directory { "/" } else { "" };
            let path = format!("{name}-{number:02}{slash}");
            tar = tar.entry(&Entry { modified, ..blank(path.as_bytes(), kind.clone(), 0o755) }, b"");
        }
    }
    bench.layer(&tar.done());
    let check = |bench: &Bench| {
        for (name, _) in &kinds {
            assert_eq!(times_of(bench, &format!("{name}-")), TIMES, "{name}");
        }
    };
    check(bench);
    bench.round_trip();
    check(bench);
    // Copied up and linked to, they are the same.
    bench.layer(&Tarball::new().link("again", "file-03").file("folder-09/f", "").done());
    assert_eq!(times_of(bench, "again"), [TIMES[3]]);
    check(bench);
}

/// A file system keeps less than a tar can say; what it makes of a time is in trees and diffs the same.
fn a_time_past_what_the_file_system_keeps_is_the_same_in_every_copy(bench: &mut Bench) {
    let mut tar = Tarball::new();
    for (number, seconds) in
        [-100_000_000_000, -62_135_596_800, 100_000_000_000, 253_402_300_800].into_iter().enumerate()
    {
        let path = format!("f{number}");
        tar = tar
            .entry(&Entry { modified: at(seconds, 5), ..blank(path.as_bytes(), Kind::Regular, 0o644) }, b"");
    }
    bench.layer(&tar.done());
    bench.round_trip();
    bench.change(|_| {});
    assert_eq!(bench.changes(), [""; 0]);
}

fn a_folder_keeps_the_time_it_was_given_whatever_comes_into_it(bench: &mut Bench) {
    let tar = Tarball::new()
        .folder("./", 0o755)
        .folder("d/", 0o755)
        .folder("d/sub/", 0o755)
        .file("d/replaced", "first")
        .file("d/replaced", "second")
        .file("d/sub/f", "x")
        .link("d/link", "d/sub/f")
        .symlink("d/symlink", "sub")
        .file("d/symlink/through", "x")
        .file("d/.wh.nothing", "")
        .folder("d/sub/", 0o755);
    bench.layer(&tar.done());
    let all = |bench: &Bench| {
        for item in bench.listing().0 {
            assert_eq!(item.modified, TIME, "{item}");
        }
    };
    all(bench);
    // Folders that a layer only implies are as they were below, with what it adds, deletes and links.
    let tar = Tarball::new()
        .file("d/new", "x")
        .file("d/sub/.wh.f", "")
        .link("d/sub/again", "d/replaced")
        .symlink("d/sub/symlink", "x")
        .file("d/symlink/later", "x");
    bench.layer(&tar.done());
    all(bench);
    bench.round_trip();
    all(bench);
}

fn a_container_sets_times_of_everything(bench: &mut Bench) {
    let tar = Tarball::new()
        .folder("d/", 0o755)
        .file("d/f", "x")
        .symlink("d/s", "f")
        .entry(&blank(b"d/p", Kind::Fifo, 0o600), b"")
        .folder("d/idle/", 0o755);
    bench.layer(&tar.done());
    for time in TIMES {
        bench.branch(1, |bench| {
            bench.change(|root| ["d/f", "d/s", "d/p", "d", ""].map(|path| set(&root.join(path), time)));
            assert_eq!(bench.changes(), ["C /d", "C /d/f", "C /d/p", "C /d/s"]);
            bench.round_trip();
            let listing = bench.listing();
            for path in ["", "d", "d/f", "d/p", "d/s"] {
                assert_eq!(listing.at(path).unwrap().modified, time, "/{path}");
            }
            assert_eq!(listing.at("d/idle").unwrap().modified, TIME);
        });
    }
}

fn a_rewrite_whose_time_is_put_back_is_seen(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "before").file("g", "same").folder("d/", 0o755).done());
    bench.change(|root| {
        for (name, content) in [("f", "after."), ("g", "same")] {
            fs::write(root.join(name), content).unwrap();
            set(&root.join(name), TIME);
        }
    });
    // Written with what it was, it is what it was.
    assert_eq!(bench.changes(), ["C /f"]);
    bench.round_trip();
    assert_eq!(bench.look(|root| fs::read_to_string(root.join("f")).unwrap()), "after.");
}

fn looking_is_no_change(bench: &mut Bench) {
    let tar = Tarball::new().folder("d/", 0o755).file("d/f", "content").symlink("d/s", "f").done();
    bench.layer(&tar);
    bench.change(|root| {
        assert_eq!(crate::listing::list(root).len(), 4);
        assert_eq!(fs::read_to_string(root.join("d/s")).unwrap(), "content");
        let opened = fs::File::options().read(true).write(true).open(root.join("d/f")).unwrap();
        opened.sync_all().unwrap();
    });
    assert_eq!(bench.changes(), [""; 0]);
    assert_eq!(bench.diff(), Tarball::new().done());
}

fn a_time_alone_is_a_change(bench: &mut Bench) {
    let tar = Tarball::new().folder("d/", 0o755).file("d/f", "x").symlink("d/s", "f").done();
    bench.layer(&tar);
    for (path, changes) in
        [("d/f", &["C /d", "C /d/f"][..]), ("d/s", &["C /d", "C /d/s"]), ("d", &["C /d"]), ("", &[])]
    {
        bench.branch(1, |bench| {
            // One nanosecond, which a driver that compares less would miss.
            bench.change(|root| set(&root.join(path), at(TIME.seconds, TIME.nanoseconds + 1)));
            assert_eq!(bench.changes(), changes, "/{path}");
            bench.round_trip();
        });
    }
}
