//! One member of a tar archive, with every extension resolved.

/// A point in time with nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01 UTC, rounded down; negative before.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// What an entry is, with what only that kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; the only kind with a payload.
    Regular,
    /// A further name of an entry that came earlier.
    HardLink {
        /// The path of the other name, raw as in the tar; never empty, no NUL.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// The text of the link, raw as in the tar; never empty, no NUL.
        target: Vec<u8>,
    },
    /// A directory.
    Directory,
    /// A character device.
    CharDevice {
        /// The major number, below 2^12 as in Linux.
        major: u32,
        /// The minor number, below 2^20 as in Linux.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// The major number, below 2^12 as in Linux.
        major: u32,
        /// The minor number, below 2^20 as in Linux.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A range of a file that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Where it starts in the file, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// Extended attributes: names and values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// One member of a tar archive: GNU and PAX extensions resolved, names raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path raw as in the tar: not cleaned, perhaps absolute, with `..` or a trailing slash; never empty, no
    /// NUL. It is not safe to join onto anything.
    pub path: Vec<u8>,
    /// What the entry is.
    pub kind: Kind,
    /// Permission, setuid, setgid and sticky bits: `0o7777` at most.
    pub mode: u32,
    /// The owner; never `u32::MAX`, which system calls take for "unchanged".
    pub uid: u32,
    /// The group; never `u32::MAX`.
    pub gid: u32,
    /// The time of last modification.
    pub modified: Timestamp,
    /// The size of a regular file once unpacked, holes included; 0 for every other kind.
    pub size_bytes: u64,
    /// Extended attributes: names and values in the order of the tar, each name once.
    pub xattrs: Xattrs,
    /// For a sparse file the ranges that hold data: ascending, apart, none empty, within `size_bytes`. The payload
    /// is these ranges one after the other.
    pub sparse: Option<Vec<Segment>>,
    /// Where the entry starts in the tar, its extension headers included, in bytes. The writer ignores it.
    pub position: u64,
    /// How many entries came before. The writer ignores it.
    pub ordinal: u64,
}

impl Entry {
    /// Makes an entry owned by root, with no mode bits, time 0 and no payload, to be filled in.
    #[must_use]
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind) -> Self {
        Self {
            path: path.into(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            modified: Timestamp::default(),
            size_bytes: 0,
            xattrs: Vec::new(),
            sparse: None,
            position: 0,
            ordinal: 0,
        }
    }

    /// Gives the bytes that the archive stores for it: the size, or for a sparse file the sum of its segments.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        match &self.sparse {
            Some(segments) => segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.length)),
            None => self.size_bytes,
        }
    }
}
