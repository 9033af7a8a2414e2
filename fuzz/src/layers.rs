//! Layers as an input describes them: small, full of names that meet each other, and of names that lead elsewhere.
//!
//! An entry is ten bytes, so that a mutation changes one thing and an entry can be cut out or doubled:
//!
//! ```text
//! 0 kind   1-3 path   4 mode   5 content   6 extended attribute   7-8 target of a link   9 owner and time
//! ```

use plywood_archive::tar::{Entry, Kind, Segment, TarWriter, Timestamp, Xattrs};

use crate::bytes::Bytes;

/// The bytes of an entry.
pub const ENTRY_BYTES: usize = 10;
/// Entries of all layers of an input; more only take time.
const MOST_ENTRIES: usize = 48;
/// Layers of an input.
const MOST_LAYERS: usize = 3;

/// Components of paths. The first ones are many, so that entries meet.
const NAMES: [&[u8]; 32] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"a",
    b"b",
    b"c",
    b"link",
    b"a",
    b"b",
    b"link",
    b"dir",
    b"..",
    b".",
    b".wh.a",
    b".wh.b",
    b".wh.link",
    b".wh.dir",
    b".wh..wh..opq",
    b".wh..wh.aufs",
    b".wh.",
    b".wh..",
    b".wh..wh.x",
    b"\xff\n\"",
    b",:\\=",
    b"outside",
    b"file",
    b"folder",
    b"dest-evil",
    b"proc",
    b"self",
    b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

/// Where links and names may lead: folders that no layer may touch.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    pub outside: String,
    pub far: String,
}

/// The tars that an input describes, bottom-up; those that no tar can hold are cut at the first such entry.
pub fn tars(input: &[u8], elsewhere: &Elsewhere) -> Vec<Vec<u8>> {
    let mut layers = vec![Vec::new()];
    let mut bytes = Bytes::new(input);
    let mut left = MOST_ENTRIES;
    while !bytes.is_empty() && left > 0 {
        let mut entry = Bytes::new(bytes.take(ENTRY_BYTES));
        left -= 1;
        let kind = entry.byte();
        if kind % 16 == 15 {
            if layers.len() < MOST_LAYERS {
                layers.push(Vec::new());
            }
            continue;
        }
        if let Some(layer) = layers.last_mut() {
            layer.push(described(kind, entry, elsewhere));
        }
    }
    layers.iter().map(|entries| tar(entries)).collect()
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for entry in entries {
        if writer.append(entry).is_ok() {
            let payload: Vec<u8> = (0..entry.payload_bytes()).map(|at| (at % 251) as u8).collect();
            writer.write_payload(&payload).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn described(kind: u8, mut bytes: Bytes<'_>, elsewhere: &Elsewhere) -> Entry {
    let path = path([bytes.byte(), bytes.byte(), bytes.byte()], elsewhere);
    let [mode, content, attribute] = [bytes.byte(), bytes.byte(), bytes.byte()];
    let target = target([bytes.byte(), bytes.byte()], elsewhere);
    let owner = bytes.byte();
    let mut entry = Entry::new(path, Kind::Regular);
    match kind % 16 {
        0..=3 => fill(&mut entry, content),
        4..=6 => entry.kind = Kind::Directory,
        7..=9 => entry.kind = Kind::Symlink { target },
        10..=12 => entry.kind = Kind::HardLink { target },
        13 => entry.kind = Kind::Fifo,
        _ => entry.kind = device(content),
    }
    entry.mode = [0o644, 0o755, 0o700, 0o000, 0o4755, 0o2775, 0o1777, 0o600][usize::from(mode % 8)];
    entry.uid = [0, 0, 1000, 65_534, 3_000_000][usize::from(owner % 5)];
    entry.gid = [0, 0, 1000, 5][usize::from(owner % 4)];
    entry.modified = time(owner >> 4);
    entry.xattrs = xattrs(attribute);
    entry
}

/// The upper bits of the first byte: an absolute path, one that climbs first, one into a canary, and a slash at the end.
fn path([first, second, third]: [u8; 3], elsewhere: &Elsewhere) -> Vec<u8> {
    let mut path: Vec<u8> = match first >> 5 {
        1 => b"/".to_vec(),
        2 => b"../../".to_vec(),
        3 => format!("{}/", elsewhere.outside).into_bytes(),
        _ => Vec::new(),
    };
    path.extend_from_slice(NAMES[usize::from(first & 31)]);
    for next in [second, third] {
        // Short paths are more than half of all.
        if next & 0x80 != 0 {
            path.push(b'/');
            path.extend_from_slice(NAMES[usize::from(next & 31)]);
        }
    }
    if first >> 5 == 4 {
        path.push(b'/');
    }
    path
}

fn target([first, second]: [u8; 2], elsewhere: &Elsewhere) -> Vec<u8> {
    match first % 20 {
        0 => elsewhere.outside.clone().into_bytes(),
        1 => format!("{}/file", elsewhere.outside).into_bytes(),
        2 => elsewhere.far.clone().into_bytes(),
        3 => format!("{}/folder/inner", elsewhere.far).into_bytes(),
        4 => b"/".to_vec(),
        5 => b"..".to_vec(),
        6 => b"../../../outside".to_vec(),
        7 => b"../../outside/file".to_vec(),
        8 => b"/proc/self/root".to_vec(),
        9 => b"/proc/self/cwd".to_vec(),
        10 => b"../../dest-evil/secret".to_vec(),
        11 => b".".to_vec(),
        _ => path([first & 31, second, 0], elsewhere),
    }
}

fn fill(entry: &mut Entry, content: u8) {
    entry.size_bytes = [0, 1, 5, 511, 512, 513, 5000, 9000][usize::from(content % 8)];
    if content & 0x80 != 0 {
        let hole = 1 << 16;
        let data = |offset, length| Segment { offset, length };
        let (size_bytes, segments) = match content & 0x18 {
            0 => (hole, vec![]),
            8 => (hole + 100, vec![data(hole, 100)]),
            16 => (2 * hole, vec![data(0, 4096), data(hole, 4096)]),
            _ => (3 * hole + 1, vec![data(hole, 1), data(2 * hole, 5000)]),
        };
        (entry.size_bytes, entry.sparse) = (size_bytes, Some(segments));
    }
}

fn device(number: u8) -> Kind {
    match number % 4 {
        0 => Kind::CharDevice { major: 0, minor: 0 },
        1 => Kind::CharDevice { major: 1, minor: 3 },
        2 => Kind::BlockDevice { major: 7, minor: 200 },
        _ => Kind::CharDevice { major: 4095, minor: 1_048_575 },
    }
}

fn time(selector: u8) -> Timestamp {
    let (seconds, nanoseconds) = [
        (1_700_000_000, 0),
        (1_700_000_000, 123_456_789),
        (0, 0),
        (-1, 999_999_999),
        (1 << 33, 1),
        (1_700_000_001, 0),
        (-1_000_000_000, 0),
        (1, 1),
    ][usize::from(selector % 8)];
    Timestamp { seconds, nanoseconds }
}

/// The capability of ping(8), and an access and a default list of three entries, as the kernel keeps them.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255, 32, 0, 1, 0, 255, 255, 255,
    255,
];

fn xattrs(selector: u8) -> Xattrs {
    let choices: [(&[u8], &[u8]); 14] = [
        (b"user.note", b"value"),
        (b"user.empty", b""),
        (b"security.capability", CAPABILITY),
        (b"system.posix_acl_access", ACL),
        (b"system.posix_acl_default", ACL),
        (b"trusted.overlay.opaque", b"y"),
        (b"trusted.overlay.whiteout", b""),
        (b"trusted.overlay.redirect", b"/../../outside"),
        (b"trusted.overlay.metacopy", b""),
        (b"user.overlay.opaque", b"y"),
        (b"user.overlay.redirect", b"/b"),
        (b"security.selinux", b"label"),
        (b"trusted.canary", b"dead"),
        (b"user.=%\n", b"\0\xff"),
    ];
    // Most entries have none.
    let pair = |index: usize| (choices[index].0.to_vec(), choices[index].1.to_vec());
    match usize::from(selector) {
        index if index < choices.len() => vec![pair(index)],
        index if index < 2 * choices.len() => vec![pair(0), pair(index - choices.len())],
        _ => Vec::new(),
    }
}
