//! File operations, as the oracle and a real tree are both asked for them.

use plywood_archive::tar::Timestamp;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

/// One operation, on paths of type `P`: places that are yet to be looked for, or the paths found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation<P> {
    /// What is done.
    pub act: Act<P>,
    /// What becomes of the modification times.
    pub times: Times,
}

/// What becomes of the modification times of what an operation touched. They are set by hand after it, so that both sides
/// can be compared to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Times {
    /// All get the operation's own time.
    Set,
    /// What was there before keeps the time it had: only content, names or attributes tell the change.
    Kept,
}

/// What an operation does. No operation follows a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are what the calls take")]
pub enum Act<P> {
    /// Makes a file that is not there.
    Create { at: P, mode: u32, text: Text },
    /// Empties a file and writes it anew.
    Write { at: P, text: Text },
    /// Writes three bytes over what is there, or past its end.
    Overwrite { at: P, offset: u32, byte: u8 },
    /// Adds to the end of a file.
    Append { at: P, text: Text },
    /// `cp -p` to another name and `mv` over the first: the same file in all but that it is one of its own.
    Replace { at: P },
    /// Cuts a file, or makes it longer by a hole.
    Truncate { at: P, size_bytes: u32 },
    /// `unlink(2)`.
    Unlink { at: P },
    /// `mkdir(2)`.
    Mkdir { at: P, mode: u32 },
    /// `rmdir(2)`.
    Rmdir { at: P },
    /// `rm -r`.
    RemoveTree { at: P },
    /// `rm -r` of a folder, which is then made again: what was in it is gone, it is there.
    Remake { at: P },
    /// `mv -T`: `rename(2)`, or where that cannot be, the folder made anew and all in it moved.
    Rename { from: P, to: P },
    /// `link(2)`.
    Link { from: P, to: P },
    /// `symlink(2)`.
    Symlink { at: P, target: Target },
    /// `mknod(2)`.
    Mknod { at: P, special: Special, mode: u32 },
    /// `chmod(2)`.
    Chmod { at: P, mode: u32 },
    /// `lchown(2)`.
    Chown { at: P, uid: u32, gid: u32 },
    /// `lsetxattr(2)`.
    SetXattr { at: P, attribute: Attribute, value: u8 },
    /// `lremovexattr(2)`.
    RemoveXattr { at: P, attribute: Attribute },
    /// `utimensat(2)`; with [`Times::Kept`] to the time that it has.
    Touch { at: P },
}

/// What is written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Text {
    /// One to three bytes: few enough that the same ones, and others of the same length, come again.
    Short(u8),
    /// Nothing.
    Empty,
    /// 5,000 bytes: more than a page.
    Page(u8),
    /// 70 KiB: 4 KiB of data, a hole, 4 KiB of data.
    Holed(u8),
}

/// The size of [`Text::Holed`].
const HOLED_BYTES: usize = 70 << 10;
/// How much data it has at each end.
const HOLED_DATA_BYTES: usize = 4 << 10;

impl Text {
    /// What a reader of the file sees.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; self.size_bytes()];
        for (offset, data) in self.data() {
            bytes[offset..offset + data.len()].copy_from_slice(&data);
        }
        bytes
    }

    /// The file's size.
    #[must_use]
    pub fn size_bytes(self) -> usize {
        match self {
            Self::Short(seed) => 1 + usize::from(seed / 3 % 3),
            Self::Empty => 0,
            Self::Page(_) => 5000,
            Self::Holed(_) => HOLED_BYTES,
        }
    }

    /// What is written, and at which offset.
    #[must_use]
    pub fn data(self) -> Vec<(usize, Vec<u8>)> {
        let letter = |seed: u8| b'a' + seed % 3;
        match self {
            Self::Empty => Vec::new(),
            Self::Short(seed) | Self::Page(seed) => vec![(0, vec![letter(seed); self.size_bytes()])],
            Self::Holed(seed) => {
                let data = vec![letter(seed); HOLED_DATA_BYTES];
                vec![(0, data.clone()), (HOLED_BYTES - HOLED_DATA_BYTES, data)]
            }
        }
    }
}

/// Where a symbolic link points. Nothing follows it, so it may point anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target(pub u8);

impl Target {
    const ALL: [&[u8]; 6] = [b"a", b"../b", b"/etc/passwd", b".", b"x,y:z\\", b"\xff\n/nowhere"];

    /// The text of the link.
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        Self::ALL[usize::from(self.0) % Self::ALL.len()]
    }
}

/// What `mknod(2)` makes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// A character device, the major number above 255. Never 0:0, which overlayfs takes for a whiteout and refuses to make.
    Character,
    /// A block device, the minor number above 255.
    Block,
}

impl Special {
    /// What `mknod(2)` is told.
    #[must_use]
    pub fn file_type(self) -> FileType {
        match self {
            Self::Fifo => FileType::Fifo,
            Self::Character => FileType::CharacterDevice,
            Self::Block => FileType::BlockDevice,
        }
    }

    /// The device's number.
    #[must_use]
    pub fn device(self) -> u64 {
        match self {
            Self::Fifo => 0,
            Self::Character => rustix::fs::makedev(260, 0),
            Self::Block => rustix::fs::makedev(7, 70_000),
        }
    }
}

/// An extended attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attribute {
    /// `user.plain`.
    Plain,
    /// `user.x,y=`, with bytes that no text has.
    Odd,
    /// `trusted.overlay.opaque`: overlayfs' own, which on top of overlayfs is the container's.
    Opaque,
    /// `trusted.foreign`: the machine's, which no layer carries away.
    Foreign,
    /// `security.capability`.
    Capability,
}

/// The prefixes of the attributes that the oracle's layers carry.
const CARRIED: [&[u8]; 3] = [b"user.", b"trusted.overlay.", b"security.capability"];

impl Attribute {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Odd, Self::Opaque, Self::Foreign, Self::Capability];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Plain => b"user.plain",
            Self::Odd => b"user.x,y=\xff",
            Self::Opaque => b"trusted.overlay.opaque",
            Self::Foreign => b"trusted.foreign",
            Self::Capability => b"security.capability",
        }
    }

    /// One of its values.
    #[must_use]
    pub fn value(self, seed: u8) -> Vec<u8> {
        match self {
            Self::Opaque => b"y".to_vec(),
            // A `struct vfs_cap_data` of revision 2 (linux/capability.h) with one permitted capability.
            Self::Capability => {
                let mut value = vec![0; 20];
                value[3] = 2;
                value[4] = 1 << (seed % 8);
                value
            }
            _ if seed % 4 == 3 => vec![b'v'; 600],
            _ => vec![0xff, 0, seed % 4],
        }
    }

    /// Whether a layer carries an attribute, or leaves it to the machine.
    #[must_use]
    pub fn is_carried(name: &[u8]) -> bool {
        CARRIED.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// What an operation that succeeds touches.
#[derive(Debug)]
pub struct Touched<'a> {
    /// A node made or written to, and whether it is new.
    pub node: Option<(&'a [u8], bool)>,
    /// The paths whose folders lost or got a name.
    pub names: Vec<&'a [u8]>,
}

impl<P> Act<P> {
    /// The same on other paths, made out of its own in the order in which the fields are written down.
    pub fn map<Q>(&self, mut path: impl FnMut(&P) -> Q) -> Act<Q> {
        match self {
            Self::Create { at, mode, text } => Act::Create { at: path(at), mode: *mode, text: *text },
            Self::Write { at, text } => Act::Write { at: path(at), text: *text },
            Self::Overwrite { at, offset, byte } => {
                Act::Overwrite { at: path(at), offset: *offset, byte: *byte }
            }
            Self::Append { at, text } => Act::Append { at: path(at), text: *text },
            Self::Truncate { at, size_bytes } => Act::Truncate { at: path(at), size_bytes: *size_bytes },
            Self::Replace { at } => Act::Replace { at: path(at) },
            Self::Unlink { at } => Act::Unlink { at: path(at) },
            Self::Mkdir { at, mode } => Act::Mkdir { at: path(at), mode: *mode },
            Self::Rmdir { at } => Act::Rmdir { at: path(at) },
            Self::RemoveTree { at } => Act::RemoveTree { at: path(at) },
            Self::Remake { at } => Act::Remake { at: path(at) },
            Self::Rename { from, to } => Act::Rename { from: path(from), to: path(to) },
            Self::Link { from, to } => Act::Link { from: path(from), to: path(to) },
            Self::Symlink { at, target } => Act::Symlink { at: path(at), target: *target },
            Self::Mknod { at, special, mode } => Act::Mknod { at: path(at), special: *special, mode: *mode },
            Self::Chmod { at, mode } => Act::Chmod { at: path(at), mode: *mode },
            Self::Chown { at, uid, gid } => Act::Chown { at: path(at), uid: *uid, gid: *gid },
            Self::SetXattr { at, attribute, value } => {
                Act::SetXattr { at: path(at), attribute: *attribute, value: *value }
            }
            Self::RemoveXattr { at, attribute } => Act::RemoveXattr { at: path(at), attribute: *attribute },
            Self::Touch { at } => Act::Touch { at: path(at) },
        }
    }
}

impl<P> Operation<P> {
    /// The same on other paths: see [`Act::map`].
    pub fn map<Q>(&self, path: impl FnMut(&P) -> Q) -> Operation<Q> {
        Operation { act: self.act.map(path), times: self.times }
    }
}

impl Operation<Vec<u8>> {
    /// The operation with its paths as text.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{:?}", self.map(|path| path.escape_ascii().to_string()))
    }
}

impl Act<Vec<u8>> {
    /// What it touches if it succeeds.
    #[must_use]
    pub fn touched(&self) -> Touched<'_> {
        let touched = |node, names| Touched { node, names };
        match self {
            Self::Create { at, .. }
            | Self::Remake { at }
            | Self::Mkdir { at, .. }
            | Self::Symlink { at, .. }
            | Self::Mknod { at, .. } => touched(Some((at, true)), vec![at]),
            Self::Write { at, .. }
            | Self::Overwrite { at, .. }
            | Self::Append { at, .. }
            | Self::Truncate { at, .. }
            | Self::Touch { at } => touched(Some((at, false)), Vec::new()),
            Self::Replace { at } | Self::Unlink { at } | Self::Rmdir { at } | Self::RemoveTree { at } => {
                touched(None, vec![at])
            }
            Self::Rename { from, to } => touched(None, vec![from, to]),
            Self::Link { to, .. } => touched(None, vec![to]),
            Self::Chmod { .. } | Self::Chown { .. } | Self::SetXattr { .. } | Self::RemoveXattr { .. } => {
                touched(None, Vec::new())
            }
        }
    }
}

/// The time that the operation with this number gives: several share a second, and all differ in nanoseconds.
#[must_use]
pub fn time(number: u64) -> Timestamp {
    let seconds = 1_600_000_000 + i64::try_from(number / 4).unwrap_or_default();
    let nanoseconds = u32::try_from(number * 123_456_789 % 1_000_000_000).unwrap_or_default();
    Timestamp { seconds, nanoseconds }
}

/// The folder of a path and its name in it; none for the root.
#[must_use]
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    })
}

/// A name in a folder as a path.
#[must_use]
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
