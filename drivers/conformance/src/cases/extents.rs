//! Sizes of files, past 32 bits too, and the holes in them.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use plywood_archive::tar::{Kind, Segment};
use rustix::fs::{FallocateFlags, XattrFlags};

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::segments;
use crate::tarball::{TIME, Tarball, entries};

cases! {
    "extents";
    five_tebibytes_with_a_few_bytes_in_them: [Mounts, Holes],
    a_huge_file_that_was_only_touched_is_compared_by_its_data: [Mounts, Holes],
    holes_are_where_they_were_after_diff_and_apply: [Mounts, Holes],
    a_hole_is_kept_beside_attributes_that_take_a_block: [Mounts, Holes, UserXattrs],
    a_container_punches_cuts_and_grows: [Mounts, Holes],
    sizes_about_a_block_and_a_tars_record: [Mounts],
    a_file_is_emptied: [Mounts],
}

/// Bytes of a block of ext4, xfs, btrfs and tmpfs on most machines; holes are as fine as that.
const BLOCK: u64 = 4096;
/// Past what a tar's header holds in octal (8 GiB), and past 32 bits in blocks of any size.
const HUGE: u64 = 5 << 40;

fn huge() -> Vec<u8> {
    let data: &[(u64, &[u8])] = &[(0, b"begin"), (3 << 40, b"middle"), (HUGE - 3, b"end")];
    Tarball::new().sparse("d/huge", HUGE, data).sparse("d/none", HUGE - 1, &[]).done()
}

fn check_huge(root: &Path, more: &[(u64, &[u8])]) {
    let path = root.join("d/huge");
    assert_eq!(path.metadata().unwrap().len(), HUGE);
    assert_eq!(root.join("d/none").metadata().unwrap().len(), HUGE - 1);
    let taken = path.metadata().unwrap().blocks() * 512;
    assert!(taken < 4 << 20, "{taken} bytes are on disk");
    let file = File::open(path).unwrap();
    for (offset, expected) in
        [(0, &b"begin\0"[..]), (3 << 40, b"middle\0"), (HUGE - 5, b"\0\0end")].iter().chain(more)
    {
        let mut read = vec![0xff; expected.len()];
        file.read_exact_at(&mut read, *offset).unwrap();
        assert_eq!(&read, expected, "at {offset}");
    }
}

fn five_tebibytes_with_a_few_bytes_in_them(bench: &mut Bench) {
    bench.layer(&huge());
    bench.look(|root| check_huge(root, &[]));
    bench.change(|root| {
        check_huge(root, &[]);
        let file = File::options().write(true).open(root.join("d/huge")).unwrap();
        file.write_all_at(b"written", 4 << 40).unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "C /d/huge"]);
    let diff = bench.diff();
    // Overlayfs copies up by the mebibyte, the holes in each included (`OVL_COPY_UP_CHUNK_SIZE`).
    assert!(diff.len() < 4 << 20, "the diff has {} bytes", diff.len());
    let found = entries(&diff);
    let (entry, payload) = found.iter().find(|(entry, _)| entry.path == b"d/huge").unwrap();
    assert_eq!(entry.size_bytes, HUGE);
    let map = entry.sparse.as_deref().unwrap();
    assert_eq!(payload.len() as u64, map.iter().map(|segment| segment.length).sum::<u64>());
    let offsets: Vec<u64> = map.iter().map(|segment| segment.offset).collect();
    assert_eq!(offsets, [0, 3 << 40, 4 << 40, HUGE - BLOCK]);
    bench.round_trip();
    bench.look(|root| check_huge(root, &[(4 << 40, b"written\0")]));
    assert_eq!(bench.usage().size_bytes, HUGE);
}

/// What reads its holes takes hours.
fn a_huge_file_that_was_only_touched_is_compared_by_its_data(bench: &mut Bench) {
    bench.layer(&huge());
    bench.change(|root| {
        let path = root.join("d/huge");
        for mode in [0o640, 0o600] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    });
    assert_eq!(bench.changes(), [""; 0]);
    bench.write(|root| {
        let file = File::options().write(true).open(root.join("d/huge")).unwrap();
        file.write_all_at(b"x", HUGE - 1).unwrap();
        file.set_modified(modified()).unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "C /d/huge"]);
}

fn modified() -> std::time::SystemTime {
    let seconds = u64::try_from(TIME.seconds).unwrap();
    std::time::UNIX_EPOCH + std::time::Duration::new(seconds, TIME.nanoseconds)
}

fn segment(offset: u64, length: u64) -> Segment {
    Segment { offset, length }
}

/// Files by name: their size, and where they hold data.
fn shapes() -> Vec<(&'static str, u64, Vec<Segment>)> {
    vec![
        ("all-hole", 10 * BLOCK, vec![]),
        ("begins-with-a-hole", 10 * BLOCK, vec![segment(5 * BLOCK, 5 * BLOCK)]),
        ("ends-in-a-hole", 10 * BLOCK, vec![segment(0, 5 * BLOCK)]),
        ("ends-odd-in-a-hole", 9 * BLOCK + 17, vec![segment(BLOCK, BLOCK)]),
        ("hole-of-a-block", 3 * BLOCK, vec![segment(0, BLOCK), segment(2 * BLOCK, BLOCK)]),
        ("hole-of-less", BLOCK - 1, vec![]),
        ("last-block-short", 8 * BLOCK + 5, vec![segment(8 * BLOCK, 5)]),
        ("many-holes", 128 * BLOCK, (0..64).map(|number| segment(number * 2 * BLOCK, BLOCK)).collect()),
        ("none", 4 * BLOCK, vec![segment(0, 4 * BLOCK)]),
    ]
}

fn holes_are_where_they_were_after_diff_and_apply(bench: &mut Bench) {
    let mut tar = Tarball::new();
    for (name, size_bytes, map) in shapes() {
        let data: Vec<Vec<u8>> =
            map.iter().map(|segment| vec![b'd'; usize::try_from(segment.length).unwrap()]).collect();
        let filled: Vec<(u64, &[u8])> =
            map.iter().zip(&data).map(|(segment, data)| (segment.offset, &data[..])).collect();
        tar = tar.sparse(name, size_bytes, &filled);
    }
    bench.layer(&tar.done());
    let check = |root: &Path| {
        for (name, size_bytes, map) in shapes() {
            assert_eq!(root.join(name).metadata().unwrap().len(), size_bytes, "{name}");
            assert_eq!(segments(&root.join(name)), map, "{name}");
        }
    };
    bench.look(check);
    bench.round_trip();
    bench.look(check);
    bench.change(|root| {
        check(root);
        for (name, ..) in shapes() {
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    });
    // Overlayfs fills holes within a mebibyte when it copies up (`OVL_COPY_UP_CHUNK_SIZE`): the sizes are what they were.
    bench.round_trip();
    bench.look(|root| {
        for (name, size_bytes, _) in shapes() {
            assert_eq!(root.join(name).metadata().unwrap().len(), size_bytes, "{name}");
        }
    });
}

/// The block counts in `st_blocks` as much as one of data does.
fn a_hole_is_kept_beside_attributes_that_take_a_block(bench: &mut Bench) {
    let value = vec![b'v'; 3000];
    bench.change(|root| {
        let path = root.join("f");
        let file = File::create(&path).unwrap();
        file.write_all_at(&[b'd'; 4096], BLOCK).unwrap();
        file.sync_all().unwrap();
        rustix::fs::lsetxattr(&path, "user.large", &value, XattrFlags::empty()).unwrap();
    });
    let check = |root: &Path| assert_eq!(segments(&root.join("f")), [segment(BLOCK, BLOCK)]);
    bench.look(check);
    bench.round_trip();
    bench.look(check);
    bench.snapshot();
    bench.look(check);
}

fn a_container_punches_cuts_and_grows(bench: &mut Bench) {
    let blocks = "0123456789abcdef".repeat(4096);
    bench.layer(&Tarball::new().file("punched", &blocks).file("cut", &blocks).file("grown", "x").done());
    bench.change(|root| {
        let open = |name: &str| File::options().read(true).write(true).open(root.join(name)).unwrap();
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(open("punched"), hole, 2 * BLOCK, 3 * BLOCK).unwrap();
        open("cut").set_len(BLOCK + 1).unwrap();
        open("cut").set_len(1 << 33).unwrap();
        open("grown").set_len((1 << 33) + 1).unwrap();
    });
    assert_eq!(bench.changes(), ["C /cut", "C /grown", "C /punched"]);
    let check = |root: &Path| {
        let size = |name: &str| root.join(name).metadata().unwrap().len();
        assert_eq!([size("punched"), size("cut"), size("grown")], [1 << 16, 1 << 33, (1 << 33) + 1]);
        let kept = [segment(0, 2 * BLOCK), segment(5 * BLOCK, (1 << 16) - 5 * BLOCK)];
        assert_eq!(segments(&root.join("punched")), kept);
        assert_eq!(segments(&root.join("cut")), [segment(0, 2 * BLOCK)]);
        let mut read = [0xff; 3];
        File::open(root.join("cut")).unwrap().read_exact_at(&mut read, BLOCK).unwrap();
        assert_eq!(&read, b"0\0\0", "what was cut off is not there again");
    };
    bench.look(check);
    bench.round_trip();
    bench.look(check);
}

fn sizes_about_a_block_and_a_tars_record(bench: &mut Bench) {
    let sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 10_239, 10_240, 10_241, 262_143, 262_144, 262_145];
    let content = |size: usize| (0..size).map(|at| u8::try_from(at % 253).unwrap()).collect::<Vec<u8>>();
    let mut tar = Tarball::new();
    for size in sizes {
        tar = tar.bytes(format!("f{size}").as_bytes(), &content(size));
    }
    bench.layer(&tar.done());
    let check = |root: &Path| {
        for size in sizes {
            assert!(fs::read(root.join(format!("f{size}"))).unwrap() == content(size), "{size}");
        }
    };
    bench.look(check);
    bench.round_trip();
    bench.look(check);
    bench.change(|root| {
        for size in sizes {
            fs::write(root.join(format!("g{size}")), content(size)).unwrap();
        }
    });
    let total: usize = sizes.iter().sum();
    assert_eq!(bench.usage().size_bytes, total as u64);
    bench.round_trip();
}

fn a_file_is_emptied(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("full", "content").file("empty", "").done());
    bench.change(|root| {
        File::create(root.join("full")).unwrap();
        fs::write(root.join("empty"), "x").unwrap();
    });
    assert_eq!(bench.changes(), ["C /empty", "C /full"]);
    let sizes: Vec<u64> = entries(&bench.diff())
        .into_iter()
        .filter(|(entry, _)| entry.kind == Kind::Regular)
        .map(|(entry, _)| entry.size_bytes)
        .collect();
    assert_eq!(sizes, [1, 0]);
    bench.round_trip();
    bench.layer(&Tarball::new().file("empty", "").done());
    assert_eq!(bench.look(|root| root.join("empty").metadata().unwrap().len()), 0);
}
