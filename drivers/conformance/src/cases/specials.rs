//! What is neither file, folder nor symlink: devices, pipes, sockets.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use plywood_archive::tar::{Entry, Kind};
use plywood_graphdriver::ErrorKind;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::{Tarball, blank, entries, paths};

cases! {
    "specials";
    device_numbers_of_all_their_bits_are_kept: [Mounts, Root],
    a_device_number_that_the_kernel_would_cut_is_refused: [Mounts, Root],
    a_character_device_0_0_is_left_out_and_deletes_nothing: [Mounts, Root],
    a_container_makes_devices_and_pipes: [Mounts, Root],
    a_container_changes_devices_and_pipes_of_below: [Mounts, Root],
    a_container_cannot_forge_a_whiteout: [Mounts, Root],
    a_socket_of_two_names_is_left_out_with_both: [Mounts],
    a_socket_in_the_place_of_a_file_deletes_it: [Mounts],
    kinds_take_each_others_place: [Mounts, Root],
}

fn device(path: &str, kind: Kind) -> Entry {
    blank(path.as_bytes(), kind, 0o640)
}

fn character(major: u32, minor: u32) -> Kind {
    Kind::CharDevice { major, minor }
}

fn block(major: u32, minor: u32) -> Kind {
    Kind::BlockDevice { major, minor }
}

fn make(path: &Path, kind: FileType, major: u32, minor: u32) -> rustix::io::Result<()> {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), rustix::fs::makedev(major, minor))
}

/// The kernel has 12 bits for the major and 20 for the minor number (`include/linux/kdev_t.h`).
const NUMBERS: [(u32, u32); 8] =
    [(0, 1), (1, 0), (1, 3), (8, 255), (8, 256), (255, 65_536), (256, 0), (4095, 0xf_ffff)];

fn device_numbers_of_all_their_bits_are_kept(bench: &mut Bench) {
    let mut tar = Tarball::new().entry(&device("b-0-0", block(0, 0)), b"");
    let mut expected = vec!["/b-0-0 block device 0 640 0:0".to_owned()];
    for (major, minor) in NUMBERS {
        tar = tar
            .entry(&device(&format!("b-{major}-{minor}"), block(major, minor)), b"")
            .entry(&device(&format!("c-{major}-{minor}"), character(major, minor)), b"");
        let number = rustix::fs::makedev(major, minor);
        expected.push(format!("/b-{major}-{minor} block device {number} 640 0:0"));
        expected.push(format!("/c-{major}-{minor} character device {number} 640 0:0"));
    }
    expected.sort();
    assert!(bench.layer(&tar.done()).skipped.is_empty());
    let check = |bench: &Bench| assert_eq!(below(&bench.tree(), "/")[1..], expected);
    check(bench);
    bench.round_trip();
    check(bench);
}

/// Puts a text into a header's field, and the sum right (POSIX pax, "ustar Interchange Format").
fn patch(tar: &mut [u8], offset: usize, field: &[u8]) {
    tar[offset..offset + field.len()].copy_from_slice(field);
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// `mknod(2)` takes 32 bits: major 4104 would become 8, somebody's disk.
fn a_device_number_that_the_kernel_would_cut_is_refused(bench: &mut Bench) {
    const MAJOR: usize = 329;
    const MINOR: usize = 337;
    for (field, text) in [(MAJOR, b"0010010\0"), (MAJOR, b"7777777\0"), (MINOR, b"4000000\0")] {
        for kind in [character(4, 1), block(4, 1)] {
            let mut tar = Tarball::new().entry(&device("x", kind), b"").done();
            let header = tar.len() - 3 * 512;
            patch(&mut tar[header..], field, text);
            let error = bench.try_layer(&tar).map(|_| bench.tree()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}: {}", error.source);
            assert!(error.source.to_string().contains("number"), "{}", error.source);
        }
    }
}

fn a_character_device_0_0_is_left_out_and_deletes_nothing(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "below").file("d/g", "below").done());
    let tar = Tarball::new()
        .entry(&device("f", character(0, 0)), b"")
        .entry(&device("d/new", character(0, 0)), b"")
        .file("h", "x")
        .done();
    assert_eq!(bench.layer(&tar).skipped.devices, 2);
    assert_eq!(
        below(&bench.tree(), "/"),
        [
            "/ folder 755 0:0",
            "/d folder 755 0:0",
            "/d/g file 'below' 644 0:0",
            "/f file 'below' 644 0:0",
            "/h file 'x' 644 0:0",
        ]
    );
    assert_eq!(bench.changes(), ["A /h"]);
    bench.round_trip();
}

fn a_container_makes_devices_and_pipes(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("d/", 0o755).done());
    bench.change(|root| {
        make(&root.join("d/null"), FileType::CharacterDevice, 1, 3).unwrap();
        make(&root.join("d/high"), FileType::BlockDevice, 4095, 0xf_ffff).unwrap();
        make(&root.join("d/pipe"), FileType::Fifo, 0, 0).unwrap();
        assert_eq!(fs::write(root.join("d/null"), "nothing is kept").ok(), Some(()));
    });
    assert_eq!(bench.changes(), ["C /d", "A /d/high", "A /d/null", "A /d/pipe"]);
    let kinds: Vec<Kind> = entries(&bench.diff()).into_iter().map(|(entry, _)| entry.kind).collect();
    assert_eq!(kinds, [Kind::Directory, block(4095, 0xf_ffff), character(1, 3), Kind::Fifo]);
    bench.round_trip();
}

fn a_container_changes_devices_and_pipes_of_below(bench: &mut Bench) {
    let tar = Tarball::new()
        .folder("d/", 0o755)
        .entry(&device("d/block", block(7, 1)), b"")
        .entry(&device("d/gone", character(1, 5)), b"")
        .entry(&device("d/pipe", Kind::Fifo), b"")
        .entry(&device("d/renamed", character(1, 3)), b"")
        .entry(&device("d/same", character(1, 3)), b"");
    bench.layer(&tar.done());
    bench.change(|root| {
        fs::set_permissions(root.join("d/block"), fs::Permissions::from_mode(0o660)).unwrap();
        fs::remove_file(root.join("d/gone")).unwrap();
        std::os::unix::fs::chown(root.join("d/pipe"), Some(1), None).unwrap();
        fs::rename(root.join("d/renamed"), root.join("d/null")).unwrap();
    });
    assert_eq!(
        bench.changes(),
        ["C /d", "C /d/block", "D /d/gone", "A /d/null", "C /d/pipe", "D /d/renamed"]
    );
    bench.round_trip();
}

/// To overlayfs a character device 0:0 is a deletion. A driver makes none for a container, or knows it from its own.
fn a_container_cannot_forge_a_whiteout(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "below").folder("d/", 0o755).done());
    let made = bench.change(|root| make(&root.join("d/forged"), FileType::CharacterDevice, 0, 0));
    match made {
        Err(error) => assert_eq!(error, Errno::PERM),
        Ok(()) => assert!(bench.tree().iter().any(|line| line.starts_with("/d/forged character device 0 "))),
    }
    // No layer holds one (docs/limits.md), so no diff does.
    let kinds = entries(&bench.diff()).into_iter().map(|(entry, _)| entry.kind);
    assert_eq!(kinds.filter(|kind| *kind == character(0, 0)).count(), 0);
    let diff = bench.diff();
    bench.chain.pop();
    assert_eq!(bench.layer(&diff).skipped.devices, 0);
    assert_eq!(below(&bench.tree(), "/d"), ["/d folder 755 0:0"]);
    assert_eq!(below(&bench.tree(), "/f"), ["/f file 'below' 644 0:0"]);
}

fn a_socket_of_two_names_is_left_out_with_both(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("d/", 0o755).done());
    bench.change(|root| {
        drop(UnixListener::bind(root.join("d/one")).unwrap());
        fs::hard_link(root.join("d/one"), root.join("d/other")).unwrap();
        fs::write(root.join("d/z"), "x").unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "A /d/one", "A /d/other", "A /d/z"]);
    let diff = bench.diff();
    assert_eq!(paths(&diff), ["d/", "d/z"]);
    bench.chain.pop();
    bench.layer(&diff);
    assert_eq!(below(&bench.tree(), "/d/"), ["/d/z file 'x' 644 0:0"]);
}

fn a_socket_in_the_place_of_a_file_deletes_it(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("d/", 0o755).file("d/f", "below").file("d/g/h", "below").done());
    bench.change(|root| {
        fs::remove_file(root.join("d/f")).unwrap();
        drop(UnixListener::bind(root.join("d/f")).unwrap());
        fs::remove_dir_all(root.join("d/g")).unwrap();
        drop(UnixListener::bind(root.join("d/g")).unwrap());
    });
    assert_eq!(bench.changes(), ["C /d", "C /d/f", "C /d/g"]);
    let diff = bench.diff();
    assert_eq!(paths(&diff), ["d/", "d/.wh.f", "d/.wh.g"]);
    bench.chain.pop();
    bench.layer(&diff);
    assert_eq!(below(&bench.tree(), "/d"), ["/d folder 755 0:0"]);
}

/// Makes something of one kind at a path.
type Maker = fn(&Path);

fn kinds_take_each_others_place(bench: &mut Bench) {
    let kinds: [(&str, Maker); 5] = [
        ("block", |path| make(path, FileType::BlockDevice, 7, 2).unwrap()),
        ("character", |path| make(path, FileType::CharacterDevice, 1, 3).unwrap()),
        ("fifo", |path| make(path, FileType::Fifo, 0, 0).unwrap()),
        ("file", |path| fs::write(path, "x").unwrap()),
        ("symlink", |path| std::os::unix::fs::symlink("x", path).unwrap()),
    ];
    bench.commit(|root| {
        for (one, make_one) in kinds {
            for (other, _) in kinds.iter().filter(|(other, _)| *other != one) {
                make_one(&root.join(format!("{one}-to-{other}")));
            }
        }
    });
    bench.change(|root| {
        for (one, _) in kinds {
            for (other, make_other) in kinds.iter().filter(|(other, _)| *other != one) {
                let path = root.join(format!("{one}-to-{other}"));
                fs::remove_file(&path).unwrap();
                make_other(&path);
            }
        }
    });
    let changes = bench.changes();
    assert_eq!(changes.len(), 20);
    assert!(changes.iter().all(|change| change.starts_with("C ")), "{changes:?}");
    bench.round_trip();
    // One number for another is a change, too.
    bench.seal();
    bench.change(|root| {
        let path = root.join("file-to-block");
        let time = path.metadata().unwrap();
        fs::remove_file(&path).unwrap();
        make(&path, FileType::BlockDevice, 7, 3).unwrap();
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: time.mtime(), tv_nsec: time.mtime_nsec() },
        };
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    });
    assert_eq!(bench.changes(), ["C /file-to-block"]);
}
