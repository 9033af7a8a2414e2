//! Tars written entry by entry.

use plywood_archive::tar::{Entry, Kind, Limits, Segment, TarReader, TarWriter, Timestamp};

/// A `security.capability` of revision 2 that permits `CAP_NET_RAW` and has it in effect (capabilities(7)).
pub const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An access control list (acl(5), `struct posix_acl_xattr_entry`) that lets user 1000 read, beside the owner, who also writes.
pub const ACL: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";

/// The time of everything that a case says no other of.
pub const TIME: Timestamp = Timestamp { seconds: 1_600_000_000, nanoseconds: 123_456_789 };

/// How [`TIME`] looks in a listing.
pub const SHOWN_TIME: &str = "@1600000000.123456789";

/// A tar in the making.
#[allow(missing_debug_implementations, reason = "the writer has none")]
pub struct Tarball(TarWriter<Vec<u8>>);

impl Default for Tarball {
    fn default() -> Self {
        Self::new()
    }
}

impl Tarball {
    /// Begins a tar.
    #[must_use]
    pub fn new() -> Self {
        Self(TarWriter::new(Vec::new()))
    }

    /// Ends it, and gives its bytes.
    #[must_use]
    pub fn done(self) -> Vec<u8> {
        self.0.finish().unwrap()
    }

    /// Adds an entry with all it has.
    #[must_use]
    pub fn entry(mut self, entry: &Entry, payload: &[u8]) -> Self {
        self.0.append(entry).unwrap();
        self.0.write_payload(payload).unwrap();
        self
    }

    /// Adds a file of mode 0644; one with a name that begins with `.wh.` is a whiteout.
    #[must_use]
    pub fn file(self, path: &str, content: &str) -> Self {
        self.bytes(path.as_bytes(), content.as_bytes())
    }

    /// Adds a file of mode 0644 whose name or content need not be text.
    #[must_use]
    pub fn bytes(self, path: &[u8], content: &[u8]) -> Self {
        let entry = Entry { size_bytes: content.len() as u64, ..blank(path, Kind::Regular, 0o644) };
        self.entry(&entry, content)
    }

    /// Adds a file or folder with one extended attribute; a path that ends in a slash is a folder.
    #[must_use]
    pub fn xattr(self, path: &str, name: &str, value: &[u8]) -> Self {
        let kind = if path.ends_with('/') { Kind::Directory } else { Kind::Regular };
        let xattrs = vec![(name.as_bytes().to_vec(), value.to_vec())];
        self.entry(&Entry { xattrs, ..blank(path.as_bytes(), kind, 0o755) }, b"")
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(&blank(path.as_bytes(), Kind::Directory, mode), b"")
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(&blank(path.as_bytes(), Kind::Symlink { target: target.into() }, 0o777), b"")
    }

    /// Adds a hard link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(&blank(path.as_bytes(), Kind::HardLink { target: target.into() }, 0o644), b"")
    }

    /// Adds a file of mode 0600 that holds data in these places only, each an offset and its bytes.
    #[must_use]
    pub fn sparse(self, path: &str, size_bytes: u64, segments: &[(u64, &[u8])]) -> Self {
        let map = segments
            .iter()
            .map(|(offset, data)| Segment { offset: *offset, length: data.len() as u64 })
            .collect();
        let entry = Entry { size_bytes, sparse: Some(map), ..blank(path.as_bytes(), Kind::Regular, 0o600) };
        let payload: Vec<u8> = segments.iter().flat_map(|(_, data)| data.iter().copied()).collect();
        self.entry(&entry, &payload)
    }
}

/// An entry of root's with nothing special about it, from [`TIME`].
#[must_use]
pub fn blank(path: &[u8], kind: Kind, mode: u32) -> Entry {
    Entry { mode, modified: TIME, ..Entry::new(path, kind) }
}

/// Reads a tar: its entries, each with the payload that is stored for it.
#[must_use]
pub fn entries(tar: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut reader = TarReader::new(tar, Limits::default(), ());
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut payload = Vec::new();
        loop {
            let bytes = reader.payload().unwrap();
            if bytes.is_empty() {
                break;
            }
            payload.extend_from_slice(bytes);
            let count = bytes.len();
            reader.consume(count);
        }
        found.push((entry, payload));
    }
    found
}

/// The paths of a tar's entries, in its order, as text.
#[must_use]
pub fn paths(tar: &[u8]) -> Vec<String> {
    entries(tar).into_iter().map(|(entry, _)| entry.path.escape_ascii().to_string()).collect()
}
