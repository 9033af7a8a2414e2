//! Row 23: maps of sparse files whose ranges overlap, overflow or pass the size, in all four ways of writing them.

use std::fmt::Write;

use crate::crafted::{BLOCK, Crafted, Header, SIZE};
use crate::stage::{Refusal, on_each_driver};

/// A file of this size and these ranges, each with an offset and a length.
struct Map {
    size: u64,
    ranges: &'static [(u64, u64)],
    reason: &'static str,
}

const OVERLAP: &str = "overlap or are not in order";
const PAST: &str = "past the size";

/// Numbers that fit all formats.
const BAD: [Map; 5] = [
    Map { size: 4096, ranges: &[(0, 1024), (512, 512)], reason: OVERLAP },
    Map { size: 4096, ranges: &[(2048, 512), (0, 512)], reason: OVERLAP },
    Map { size: 4096, ranges: &[(0, 512), (4000, 512)], reason: PAST },
    Map { size: 4096, ranges: &[(8192, 512)], reason: PAST },
    Map { size: 0, ranges: &[(0, 512)], reason: PAST },
];

/// Numbers that only decimal digits hold.
const OVERFLOWING: [Map; 3] = [
    Map { size: 4096, ranges: &[(u64::MAX, 512)], reason: "overflows" },
    Map { size: 4096, ranges: &[(512, u64::MAX)], reason: "overflows" },
    Map { size: 1 << 63, ranges: &[(0, 512)], reason: "2^63 or more" },
];

const PAYLOAD: [u8; 2 * BLOCK] = [b'x'; 2 * BLOCK];

fn old_gnu(map: &Map) -> Vec<u8> {
    let mut header = Header::new(b'S', "sparse");
    header.gnu().octal(SIZE, PAYLOAD.len() as u64).octal(483..495, map.size);
    for (index, (offset, length)) in map.ranges.iter().enumerate() {
        let start = 386 + 24 * index;
        header.octal(start..start + 12, *offset).octal(start + 12..start + 24, *length);
    }
    Crafted::new().entry(&header, &PAYLOAD).end()
}

fn pax_0_0(map: &Map) -> Vec<u8> {
    let (size, count) = (map.size.to_string(), map.ranges.len().to_string());
    let numbers: Vec<_> =
        map.ranges.iter().map(|(offset, length)| (offset.to_string(), length.to_string())).collect();
    let mut records: Vec<(&str, &[u8])> =
        vec![("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.numblocks", count.as_bytes())];
    for (offset, length) in &numbers {
        records.push(("GNU.sparse.offset", offset.as_bytes()));
        records.push(("GNU.sparse.numbytes", length.as_bytes()));
    }
    Crafted::new().pax(&records).file("sparse", &PAYLOAD).end()
}

fn pax_0_1(map: &Map) -> Vec<u8> {
    let numbers: Vec<_> = map.ranges.iter().map(|(offset, length)| format!("{offset},{length}")).collect();
    let (size, count) = (map.size.to_string(), map.ranges.len().to_string());
    let records: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.numblocks", count.as_bytes()),
        ("GNU.sparse.map", &numbers.join(",").into_bytes()),
    ];
    Crafted::new().pax(&records).file("sparse", &PAYLOAD).end()
}

fn pax_1_0(map: &Map) -> Vec<u8> {
    let mut text = format!("{}\n", map.ranges.len());
    for (offset, length) in map.ranges {
        writeln!(text, "{offset}\n{length}").unwrap();
    }
    let mut payload = text.into_bytes();
    payload.resize(payload.len().next_multiple_of(BLOCK), 0);
    payload.extend_from_slice(&PAYLOAD);
    let size = map.size.to_string();
    let records: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", size.as_bytes())];
    Crafted::new().pax(&records).file("sparse", &payload).end()
}

#[test]
fn row_23_a_map_that_does_not_fit_its_file_is_refused() {
    on_each_driver(|stage| {
        for map in &BAD {
            for tar in [old_gnu(map), pax_0_0(map), pax_0_1(map), pax_1_0(map)] {
                stage.refuse(None, &tar, Refusal::invalid("sparse", map.reason));
            }
        }
        for map in &OVERFLOWING {
            for tar in [pax_0_0(map), pax_0_1(map), pax_1_0(map)] {
                stage.refuse(None, &tar, Refusal::invalid("sparse", map.reason));
            }
        }
    });
}

#[test]
fn row_23_a_map_that_is_not_what_is_stored_is_refused() {
    on_each_driver(|stage| {
        let short = Map { size: 4096, ranges: &[(0, 512)], reason: "" };
        let long = Map { size: 4096, ranges: &[(0, 2048)], reason: "" };
        for map in [short, long] {
            for tar in [old_gnu(&map), pax_0_0(&map), pax_0_1(&map), pax_1_0(&map)] {
                stage.refuse(None, &tar, Refusal::invalid("sparse", "do not sum up to what is stored"));
            }
        }
        let count = Crafted::new()
            .pax(&[
                ("GNU.sparse.size", b"4096"),
                ("GNU.sparse.numblocks", b"9"),
                ("GNU.sparse.map", b"0,1024"),
            ])
            .file("sparse", &PAYLOAD)
            .end();
        stage.refuse(None, &count, Refusal::invalid("sparse", "count of its ranges is wrong"));
    });
}

#[test]
fn a_map_that_fits_becomes_a_file_with_holes() {
    on_each_driver(|stage| {
        let map = Map { size: 8192, ranges: &[(1024, 512), (4096, 512)], reason: "" };
        for tar in [old_gnu(&map), pax_0_0(&map), pax_0_1(&map), pax_1_0(&map)] {
            let tree = stage.seen(&stage.accept(None, &tar));
            let content = tree.content("sparse");
            assert_eq!(content.len(), 8192);
            let data = |at: usize| (1024..1536).contains(&at) || (4096..4608).contains(&at);
            assert!(content.iter().enumerate().all(|(at, byte)| (*byte == b'x') == data(at)));
        }
    });
}
