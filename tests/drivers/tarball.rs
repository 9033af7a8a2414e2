//! Tars written entry by entry.

use plywood_archive::tar::{Entry, Kind, Segment, TarWriter, Timestamp};

/// A tar in the making.
pub struct Tarball(TarWriter<Vec<u8>>);

impl Tarball {
    pub fn new() -> Self {
        Self(TarWriter::new(Vec::new()))
    }

    pub fn done(self) -> Vec<u8> {
        self.0.finish().unwrap()
    }

    pub fn entry(mut self, entry: &Entry, payload: &[u8]) -> Self {
        self.0.append(entry).unwrap();
        self.0.write_payload(payload).unwrap();
        self
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        let entry =
            Entry { size_bytes: content.len() as u64, ..blank(path.as_bytes(), Kind::Regular, 0o644) };
        self.entry(&entry, content.as_bytes())
    }

    pub fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(&blank(path.as_bytes(), Kind::Directory, mode), b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(&blank(path.as_bytes(), Kind::Symlink { target: target.into() }, 0o777), b"")
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(&blank(path.as_bytes(), Kind::HardLink { target: target.into() }, 0o644), b"")
    }

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

/// An entry with nothing special about it, from a time with nanoseconds.
pub fn blank(path: &[u8], kind: Kind, mode: u32) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        modified: Timestamp { seconds: 1_600_000_000, nanoseconds: 123_456_789 },
        size_bytes: 0,
        xattrs: Vec::new(),
        sparse: None,
        position: 0,
        ordinal: 0,
    }
}
