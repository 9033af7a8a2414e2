//! Archives that are right by construction, with what a reader must make of them; and the same with one fault.

use plywood_archive::tar::{Entry, Kind, Segment, Timestamp};

use crate::blocks::{
    self, BLOCK, GID, Header, LINK_TARGET, MAGIC, MAJOR, MINOR, MODE, MODIFIED, PREFIX, SIZE, UID, extension,
    padded, record,
};
use crate::bytes::Bytes;

/// Entries of an archive.
const MOST_ENTRIES: usize = 12;

/// What an archive must read as: the entries with their payloads, or nothing where it has to be refused.
pub struct Expected {
    pub tar: Vec<u8>,
    pub entries: Option<Vec<(Entry, Vec<u8>)>>,
}

/// Which program wrote an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// No magic: only short names and what the oldest fields hold.
    V7,
    Ustar,
    Gnu,
    Pax,
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Checksum,
    CutHeader,
    CutPayload,
    LoneZeroBlock,
    EndAfterExtension,
    TwoLongNames,
    TwoPaxHeaders,
    LongNameAndPax,
    GlobalBetween,
    GlobalPath,
    RecordLength,
    RecordWithoutEquals,
    NulInPath,
    EmptyPath,
    EmptyTarget,
    NegativeSize,
    SizeNotOctal,
    OwnerTooLarge,
    UnknownType,
    SparseOverlap,
    SparseSum,
    SparseOnLink,
    BadTime,
}

const FAULTS: [Fault; 23] = [
    Fault::Checksum,
    Fault::CutHeader,
    Fault::CutPayload,
    Fault::LoneZeroBlock,
    Fault::EndAfterExtension,
    Fault::TwoLongNames,
    Fault::TwoPaxHeaders,
    Fault::LongNameAndPax,
    Fault::GlobalBetween,
    Fault::GlobalPath,
    Fault::RecordLength,
    Fault::RecordWithoutEquals,
    Fault::NulInPath,
    Fault::EmptyPath,
    Fault::EmptyTarget,
    Fault::NegativeSize,
    Fault::SizeNotOctal,
    Fault::OwnerTooLarge,
    Fault::UnknownType,
    Fault::SparseOverlap,
    Fault::SparseSum,
    Fault::SparseOnLink,
    Fault::BadTime,
];

/// Builds the archive that an input describes. Half of the inputs have a fault, after their entries.
pub fn build(input: &[u8]) -> Expected {
    let mut bytes = Bytes::new(input);
    let (fault, ending) = (bytes.byte(), bytes.byte());
    let mut tar = Vec::new();
    let mut entries = Vec::new();
    while !bytes.is_empty() && entries.len() < MOST_ENTRIES {
        let (mut entry, payload, written) = entry(&mut bytes);
        (entry.position, entry.ordinal) = (tar.len() as u64, entries.len() as u64);
        tar.extend_from_slice(&written);
        entries.push((entry, payload));
    }
    if fault & 1 == 1 {
        tar.extend_from_slice(&faulty(FAULTS[usize::from(fault >> 1) % FAULTS.len()]));
        return Expected { tar, entries: None };
    }
    match ending % 4 {
        0 => tar.extend_from_slice(&[0; 2 * BLOCK]),
        1 => tar.extend_from_slice(&[0; BLOCK]),
        2 => tar.extend_from_slice(&[&[0; 2 * BLOCK][..], b"whatever follows"].concat()),
        _ => {}
    }
    Expected { tar, entries: Some(entries) }
}

/// One entry, its payload, and its bytes.
fn entry(bytes: &mut Bytes<'_>) -> (Entry, Vec<u8>, Vec<u8>) {
    let dialect = bytes.choose(&[Dialect::Pax, Dialect::Gnu, Dialect::Ustar, Dialect::V7]);
    let kind = bytes.byte();
    let path = path(bytes, dialect, kind % 8 == 4);
    let mut entry = Entry::new(path, self::kind(bytes, kind, dialect));
    entry.mode = u32::from(bytes.half()) & 0o7777;
    (entry.uid, entry.gid) = (owner(bytes, dialect), owner(bytes, dialect));
    entry.modified = time(bytes, dialect);
    if dialect == Dialect::Pax {
        entry.xattrs = xattrs(bytes);
    }
    let mut payload = Vec::new();
    if entry.kind == Kind::Regular {
        payload = bytes.take(usize::from(bytes.clone().byte()) * 3).to_vec();
        entry.size_bytes = payload.len() as u64;
        if matches!(dialect, Dialect::Gnu | Dialect::Pax) && kind & 0x80 != 0 {
            sparse(&mut entry, bytes);
        }
    }
    let form = bytes.byte();
    let written = match dialect {
        Dialect::Pax => pax(&entry, &payload, form),
        Dialect::Gnu => gnu(&entry, &payload),
        Dialect::Ustar | Dialect::V7 => plain(&entry, &payload, dialect, form),
    };
    (entry, payload, written)
}

/// Letters, slashes and odd bytes, as long as the dialect takes them.
fn path(bytes: &mut Bytes<'_>, dialect: Dialect, is_folder: bool) -> Vec<u8> {
    let most = match dialect {
        Dialect::V7 => 99,
        Dialect::Ustar => 100,
        Dialect::Gnu | Dialect::Pax => 255,
    };
    let length = usize::from(bytes.byte()) % most + 1;
    let odd = bytes.byte();
    let mut path: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
    // A component may have 255 bytes.
    for at in (usize::from(odd % 50) + 1..length.saturating_sub(1)).step_by(usize::from(odd % 50) + 20) {
        path[at] = b'/';
    }
    if odd & 0x80 != 0 {
        path[0] = odd;
    }
    if is_folder && length > 1 {
        path[length - 1] = b'/';
    }
    path
}

fn kind(bytes: &mut Bytes<'_>, kind: u8, dialect: Dialect) -> Kind {
    // In the oldest dialect the fields of devices do not exist.
    let devices = dialect != Dialect::V7;
    match kind % 8 {
        2 => Kind::HardLink { target: path(bytes, dialect, false) },
        3 => Kind::Symlink { target: path(bytes, dialect, false) },
        4 => Kind::Directory,
        5 if devices => {
            Kind::CharDevice { major: u32::from(bytes.half()) & 0xfff, minor: bytes.word() & 0xf_ffff }
        }
        6 if devices => {
            Kind::BlockDevice { major: u32::from(bytes.half()) & 0xfff, minor: bytes.word() & 0xf_ffff }
        }
        7 => Kind::Fifo,
        _ => Kind::Regular,
    }
}

fn owner(bytes: &mut Bytes<'_>, dialect: Dialect) -> u32 {
    let owner = bytes.word() >> (bytes.byte() % 32);
    match dialect {
        Dialect::V7 | Dialect::Ustar => owner & 0o777_7777,
        Dialect::Gnu | Dialect::Pax => owner.min(u32::MAX - 1),
    }
}

fn time(bytes: &mut Bytes<'_>, dialect: Dialect) -> Timestamp {
    let seconds = bytes.long().cast_signed() >> (bytes.byte() % 64);
    let nanoseconds = bytes.word() % 1_000_000_000;
    match dialect {
        Dialect::V7 | Dialect::Ustar => Timestamp { seconds: seconds & 0o777_7777_7777, nanoseconds: 0 },
        Dialect::Gnu => Timestamp { seconds, nanoseconds: 0 },
        Dialect::Pax => Timestamp { seconds, nanoseconds },
    }
}

fn xattrs(bytes: &mut Bytes<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let count = bytes.byte() % 4;
    let name = |number| format!("user.{number}").into_bytes();
    (0..count)
        .map(|number| (name(number), bytes.take(usize::from(bytes.clone().byte()) % 40).to_vec()))
        .collect()
}

/// Spreads the payload over ranges with holes between them.
fn sparse(entry: &mut Entry, bytes: &mut Bytes<'_>) {
    let mut left = entry.size_bytes;
    let (mut offset, mut segments) = (0, Vec::new());
    while left > 0 {
        let length = (u64::from(bytes.byte()) + 1).min(left);
        offset += u64::from(bytes.byte()) + u64::from(!segments.is_empty());
        segments.push(Segment { offset, length });
        (offset, left) = (offset + length, left - length);
    }
    entry.size_bytes = offset + u64::from(bytes.half());
    entry.sparse = Some(segments);
}

fn header(entry: &Entry, typeflag: Option<u8>, size: u64) -> Header {
    let (own, target) = match &entry.kind {
        Kind::Regular => (b'0', &b""[..]),
        Kind::HardLink { target } => (b'1', &target[..]),
        Kind::Symlink { target } => (b'2', &target[..]),
        Kind::CharDevice { .. } => (b'3', &b""[..]),
        Kind::BlockDevice { .. } => (b'4', &b""[..]),
        Kind::Directory => (b'5', &b""[..]),
        Kind::Fifo => (b'6', &b""[..]),
    };
    let mut header = Header::new(typeflag.unwrap_or(own), &entry.path);
    header.put(LINK_TARGET, target).octal(MODE, u64::from(entry.mode)).number(SIZE, size.cast_signed());
    header.number(UID, i64::from(entry.uid)).number(GID, i64::from(entry.gid));
    header.number(MODIFIED, entry.modified.seconds);
    if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = entry.kind {
        header.octal(MAJOR, u64::from(major)).octal(MINOR, u64::from(minor));
    }
    header
}

/// Everything in the one header; a name with a slash may have its first part in the prefix.
fn plain(entry: &Entry, payload: &[u8], dialect: Dialect, form: u8) -> Vec<u8> {
    let old_regular = dialect == Dialect::V7 && entry.kind == Kind::Regular && !entry.path.ends_with(b"/");
    let mut header = header(entry, old_regular.then_some(0), payload.len() as u64);
    if dialect == Dialect::V7 {
        header.put(MAGIC, b"");
    } else if form & 1 == 1
        && let Some(slash) = entry.path[..entry.path.len() - 1].iter().position(|byte| *byte == b'/')
        && slash > 0
        && entry.path[slash + 1..] != *b""
    {
        header.put(PREFIX, &entry.path[..slash]).put(blocks::NAME, &entry.path[slash + 1..]);
    }
    [&header.block()[..], &padded(payload)].concat()
}

/// Long names in headers of their own, large numbers in base-256, sparse maps in the header and in blocks after it.
fn gnu(entry: &Entry, payload: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    if let Kind::HardLink { target } | Kind::Symlink { target } = &entry.kind
        && target.len() > 100
    {
        written.extend_from_slice(&extension(b'K', &[target, &b"\0"[..]].concat()));
    }
    if entry.path.len() > 100 {
        written.extend_from_slice(&extension(b'L', &[&entry.path[..], b"\0"].concat()));
    }
    let Some(segments) = &entry.sparse else {
        written.extend_from_slice(header(entry, None, payload.len() as u64).gnu().block().as_slice());
        return [written, padded(payload)].concat();
    };
    let mut header = header(entry, Some(b'S'), payload.len() as u64);
    header.gnu().octal(483..495, entry.size_bytes);
    let mut ranges = segments.iter();
    for (range, slot) in ranges.by_ref().take(4).zip(0..) {
        header.octal(386 + 24 * slot..398 + 24 * slot, range.offset);
        header.octal(398 + 24 * slot..410 + 24 * slot, range.length);
    }
    header.put(482..483, &[u8::from(segments.len() > 4)]);
    written.extend_from_slice(&header.block());
    let rest: Vec<&Segment> = ranges.collect();
    for (index, chunk) in rest.chunks(21).enumerate() {
        let mut block = vec![0; BLOCK];
        for (range, slot) in chunk.iter().zip(block.chunks_mut(24)) {
            slot[..11].copy_from_slice(format!("{:011o}", range.offset).as_bytes());
            slot[12..23].copy_from_slice(format!("{:011o}", range.length).as_bytes());
        }
        block[504] = u8::from((index + 1) * 21 < rest.len());
        written.extend_from_slice(&block);
    }
    [written, padded(payload)].concat()
}

/// Everything in records, and another entry's names in the header, which no reader may look at.
fn pax(entry: &Entry, payload: &[u8], form: u8) -> Vec<u8> {
    let mut records = record(b"comment", b"said to nobody");
    let decimal = |value: u64| value.to_string().into_bytes();
    if let Kind::HardLink { target } | Kind::Symlink { target } = &entry.kind {
        records.extend(record(b"linkpath", target));
    }
    records.extend(record(b"uid", &decimal(u64::from(entry.uid))));
    records.extend(record(b"gid", &decimal(u64::from(entry.gid))));
    records.extend(record(b"mtime", &time_text(entry.modified)));
    for (name, value) in &entry.xattrs {
        records.extend(record(&[b"SCHILY.xattr.", &name[..]].concat(), value));
    }
    let mut map = Vec::new();
    match &entry.sparse {
        Some(segments) => {
            let (more, in_payload) = sparse_records(entry, segments, form);
            records.extend(more);
            map = in_payload;
        }
        None => records.extend(record(b"path", &entry.path)),
    }
    let stored = (map.len() + payload.len()) as u64;
    if form & 4 != 0 {
        records.extend(record(b"size", &decimal(stored)));
    }
    let mut decoy = entry.clone();
    decoy.path = b"decoy".to_vec();
    (decoy.uid, decoy.gid, decoy.modified) = (7, 7, Timestamp { seconds: 7, nanoseconds: 0 });
    let said = if form & 4 != 0 { stored.min(1) } else { stored };
    let header = header(&decoy, None, said).block();
    [&extension(b'x', &records)[..], &header, &map, &padded(payload)].concat()
}

/// The three ways: ranges in records, in one record, or in front of the payload.
fn sparse_records(entry: &Entry, segments: &[Segment], form: u8) -> (Vec<u8>, Vec<u8>) {
    let decimal = |value: u64| value.to_string().into_bytes();
    let mut records = Vec::new();
    let mut map = Vec::new();
    match form % 3 {
        0 => {
            records.extend(record(b"path", &entry.path));
            records.extend(record(b"GNU.sparse.size", &decimal(entry.size_bytes)));
            records.extend(record(b"GNU.sparse.numblocks", &decimal(segments.len() as u64)));
            for segment in segments {
                records.extend(record(b"GNU.sparse.offset", &decimal(segment.offset)));
                records.extend(record(b"GNU.sparse.numbytes", &decimal(segment.length)));
            }
        }
        1 => {
            let numbers: Vec<String> = segments
                .iter()
                .flat_map(|range| [range.offset, range.length])
                .map(|n| n.to_string())
                .collect();
            records.extend(record(b"GNU.sparse.name", &entry.path));
            records.extend(record(b"GNU.sparse.size", &decimal(entry.size_bytes)));
            records.extend(record(b"GNU.sparse.numblocks", &decimal(segments.len() as u64)));
            records.extend(record(b"GNU.sparse.map", numbers.join(",").as_bytes()));
        }
        _ => {
            records.extend(record(b"GNU.sparse.major", b"1"));
            records.extend(record(b"GNU.sparse.minor", b"0"));
            records.extend(record(b"GNU.sparse.name", &entry.path));
            records.extend(record(b"GNU.sparse.realsize", &decimal(entry.size_bytes)));
            let mut numbers = vec![segments.len() as u64];
            numbers.extend(segments.iter().flat_map(|range| [range.offset, range.length]));
            let lines: Vec<String> = numbers.iter().map(|number| format!("{number}\n")).collect();
            map = padded(lines.concat().as_bytes());
        }
    }
    (records, map)
}

/// Seconds since 1970 as a decimal fraction; before that the fraction counts the other way.
fn time_text(time: Timestamp) -> Vec<u8> {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    format!("{sign}{}.{:09}", magnitude / 1_000_000_000, magnitude % 1_000_000_000).into_bytes()
}

/// Bytes after which no archive may be taken.
fn faulty(fault: Fault) -> Vec<u8> {
    let file = |name: &[u8]| Header::new(b'0', name).block().to_vec();
    let with_records = |records: &[u8]| [extension(b'x', records), file(b"f")].concat();
    let with_field = |field, text: &[u8]| Header::new(b'0', b"f").put(field, text).block().to_vec();
    let sparse = |map: &[u8], stored: u16| {
        let records = [
            record(b"GNU.sparse.size", b"100"),
            record(b"GNU.sparse.numblocks", b"2"),
            record(b"GNU.sparse.map", map),
        ];
        let header = Header::new(b'0', b"f").octal(SIZE, u64::from(stored)).block();
        [&extension(b'x', &records.concat())[..], &header, &padded(&vec![b's'; usize::from(stored)])].concat()
    };
    match fault {
        Fault::Checksum => {
            let mut block = file(b"f");
            block[0] ^= 1;
            block
        }
        Fault::CutHeader => file(b"f")[..511].to_vec(),
        Fault::CutPayload => Header::new(b'0', b"f").octal(SIZE, 513).block().repeat(2),
        Fault::LoneZeroBlock => [vec![0; BLOCK], file(b"f"), vec![0; 2 * BLOCK]].concat(),
        Fault::EndAfterExtension => [extension(b'x', &record(b"path", b"p")), vec![0; 2 * BLOCK]].concat(),
        Fault::TwoLongNames => [extension(b'L', b"one\0"), extension(b'L', b"two\0"), file(b"f")].concat(),
        Fault::TwoPaxHeaders => {
            let records = record(b"path", b"p");
            [extension(b'x', &records), extension(b'x', &records), file(b"f")].concat()
        }
        Fault::LongNameAndPax => {
            [extension(b'L', b"one\0"), extension(b'x', &record(b"path", b"two")), file(b"f")].concat()
        }
        Fault::GlobalBetween => {
            [extension(b'x', &record(b"path", b"p")), extension(b'g', &record(b"comment", b"c")), file(b"f")]
                .concat()
        }
        Fault::GlobalPath => [extension(b'g', &record(b"path", b"p")), file(b"f")].concat(),
        Fault::RecordLength => with_records(b"99 path=p\n"),
        Fault::RecordWithoutEquals => with_records(b"7 path\n"),
        Fault::NulInPath => with_records(&record(b"path", b"a\0b")),
        Fault::EmptyPath => file(b""),
        Fault::EmptyTarget => Header::new(b'2', b"f").block().to_vec(),
        Fault::NegativeSize => Header::new(b'0', b"f").base_256(SIZE, -1).block().to_vec(),
        Fault::SizeNotOctal => with_field(SIZE, b"00000000009"),
        Fault::OwnerTooLarge => with_records(&record(b"uid", b"4294967295")),
        Fault::UnknownType => Header::new(b'V', b"f").block().to_vec(),
        Fault::SparseOverlap => sparse(b"0,10,5,10", 20),
        Fault::SparseSum => sparse(b"0,10,20,10", 19),
        Fault::SparseOnLink => {
            let records = [record(b"GNU.sparse.size", b"0"), record(b"GNU.sparse.numblocks", b"0")].concat();
            [extension(b'x', &records), Header::new(b'2', b"f").put(LINK_TARGET, b"t").block().to_vec()]
                .concat()
        }
        Fault::BadTime => with_records(&record(b"mtime", b"1e3")),
    }
}
