//! What the writer writes the reader reads back equal; GNU tar and Python read it too.

use std::io::Write;
use std::process::{Command, Stdio};

use plywood_archive::tar::{Entry, Kind, Limits, Segment, TarReader, TarWriter, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixtures::{expanded, read};
use crate::layer::check_lossless;

fn write(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, payload) in entries {
        writer.append(entry).unwrap();
        for piece in payload.chunks(300) {
            writer.write_payload(piece).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn name(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let component = vec(prop_oneof![1_u8..=255, Just(b'a')], 1..100)
        .prop_map(|bytes| bytes.into_iter().filter(|byte| *byte != b'/').chain([b'x']).collect::<Vec<u8>>());
    (any::<bool>(), vec(component, 1..6), any::<bool>()).prop_map(move |(absolute, components, slash)| {
        let mut path = components.join(&b'/');
        path.truncate(longest);
        if absolute {
            path.insert(0, b'/');
        }
        if slash {
            path.push(b'/');
        }
        path
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Regular),
        1 => Just(Kind::Directory),
        1 => Just(Kind::Fifo),
        1 => name(300).prop_map(|target| Kind::HardLink { target }),
        1 => name(300).prop_map(|target| Kind::Symlink { target }),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
    ]
}

fn segments() -> impl Strategy<Value = Option<(Vec<Segment>, u64)>> {
    proptest::option::of((vec((0_u64..2000, 1_u64..700), 0..40), 0_u64..2000)).prop_map(|sparse| {
        let (pairs, tail) = sparse?;
        let mut end = 0;
        let mut segments = Vec::new();
        for (gap, length) in pairs {
            segments.push(Segment { offset: end + gap, length });
            end += gap + length;
        }
        Some((segments, end + tail))
    })
}

fn xattr() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (vec(1_u8..=255, 1..30), vec(any::<u8>(), 0..200))
}

fn seconds() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(0o777_7777_7777), any::<i64>(), 0_i64..2_000_000_000, -100_i64..100]
}

fn owner() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..2000, Just(2_097_151), Just(2_097_152), 0_u32..u32::MAX]
}

prop_compose! {
    fn entry()(
        path in name(400),
        kind in kind(),
        mode in 0_u32..=0o7777,
        (uid, gid) in (owner(), owner()),
        seconds in seconds(),
        nanoseconds in prop_oneof![Just(0_u32), 0_u32..1_000_000_000],
        mut xattrs in vec(xattr(), 0..4),
        sparse in segments(),
        size in 0_usize..2000,
    ) -> (Entry, Vec<u8>) {
        xattrs.sort();
        xattrs.dedup_by(|left, right| left.0 == right.0);
        let mut entry = Entry::new(path, kind);
        (entry.mode, entry.uid, entry.gid, entry.xattrs) = (mode, uid, gid, xattrs);
        entry.modified = Timestamp { seconds, nanoseconds };
        if entry.kind == Kind::Regular {
            match sparse {
                Some((segments, size)) => (entry.sparse, entry.size_bytes) = (Some(segments), size),
                None => entry.size_bytes = size as u64,
            }
        }
        let payload = (0..entry.payload_bytes()).map(|index| (index % 251) as u8 + 1).collect();
        (entry, payload)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn reads_back_equal(entries in vec(entry(), 0..6)) {
        let bytes = write(&entries);
        prop_assert_eq!(&bytes, &write(&entries));
        let mut read = read(&bytes).unwrap();
        for (ordinal, (entry, _)) in read.iter_mut().enumerate() {
            prop_assert_eq!(entry.ordinal, ordinal as u64);
            entry.ordinal = 0;
            entry.position = 0;
        }
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn rebuilds_from_its_recipe(mut entries in vec(entry(), 0..6), tail in vec(any::<u8>(), 0..2000)) {
        // The same path twice: the earlier content is displaced.
        entries.extend_from_within(..);
        let bytes = [write(&entries), tail].concat();
        check_lossless(&bytes);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..3000)) {
        drop(read(&bytes));
    }
}

/// Two small entries of the writer's, one sparse.
pub fn small_archive() -> Vec<u8> {
    let mut sparse = Entry::new("sparse", Kind::Regular);
    sparse.size_bytes = 5000;
    sparse.sparse = Some(vec![Segment { offset: 100, length: 5 }, Segment { offset: 4000, length: 3 }]);
    sparse.xattrs = vec![(b"user.a".to_vec(), b"b".to_vec())];
    let link = Entry::new("link", Kind::Symlink { target: b"sparse".to_vec() });
    write(&[(sparse, b"abcdefgh".to_vec()), (link, Vec::new())])
}

#[test]
fn large_sizes_and_owners_are_declared_in_pax() {
    let mut entry = Entry::new("large", Kind::Regular);
    entry.size_bytes = 1 << 40;
    entry.uid = 3_000_000;
    let mut writer = TarWriter::new(Vec::new());
    writer.append(&entry).unwrap();
    assert!(writer.append(&entry).is_err(), "payload is missing");
    let mut bytes = Vec::new();
    TarWriter::new(&mut bytes).append(&entry).unwrap();
    let read = TarReader::new(&bytes[..], Limits::default(), ()).next_entry().unwrap().unwrap();
    assert_eq!((read.size_bytes, read.uid), (1 << 40, 3_000_000));
}

#[test]
fn payload_must_be_as_long_as_declared() {
    let mut entry = Entry::new("f", Kind::Regular);
    entry.size_bytes = 5;
    let mut writer = TarWriter::new(Vec::new());
    writer.append(&entry).unwrap();
    writer.write_payload(b"abc").unwrap();
    assert!(writer.write_payload(b"def").is_err());
    assert!(writer.finish().is_err());
}

#[test]
fn what_does_not_read_back_is_not_written() {
    let device = |major, minor| Entry::new("d", Kind::CharDevice { major, minor });
    let overlapping = Entry {
        sparse: Some(vec![Segment { offset: 0, length: 5 }, Segment { offset: 4, length: 5 }]),
        size_bytes: 20,
        ..Entry::new("s", Kind::Regular)
    };
    for entry in [
        Entry::new("", Kind::Regular),
        Entry::new("a\0b", Kind::Regular),
        Entry::new("l", Kind::Symlink { target: Vec::new() }),
        Entry { size_bytes: 1, ..Entry::new("d", Kind::Directory) },
        Entry { uid: u32::MAX, ..Entry::new("f", Kind::Regular) },
        device(4096, 0),
        device(0, 1 << 20),
        overlapping,
    ] {
        assert!(TarWriter::new(Vec::new()).append(&entry).is_err(), "{entry:?}");
    }
}

/// Runs a program with `input` and gives what it prints.
fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    drop(feeder.join().unwrap());
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

#[test]
fn gnu_tar_and_python_read_it() {
    let long = format!("{}/name", "component".repeat(25));
    let mut file = Entry::new(long.clone(), Kind::Regular);
    file.size_bytes = 3;
    file.modified = Timestamp { seconds: -2, nanoseconds: 750_000_000 };
    let mut sparse = Entry::new("sparse", Kind::Regular);
    sparse.size_bytes = 100_000;
    sparse.sparse = Some(vec![Segment { offset: 5000, length: 4 }]);
    let entries = [(file, b"abc".to_vec()), (sparse, b"data".to_vec())];
    let bytes = write(&entries);

    assert_eq!(piped("tar", &["-xOf", "-", &long], &bytes), b"abc");
    assert_eq!(piped("tar", &["-xOf", "-", "sparse"], &bytes), expanded(&entries[1].0, &entries[1].1));
    let script = "import sys, tarfile
for member in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'): print(member.name, member.size, member.mtime)";
    let listed = String::from_utf8(piped("python3", &["-c", script], &bytes)).unwrap();
    assert_eq!(listed, format!("{long} 3 -1.25\nsparse 100000 0\n"));
}
