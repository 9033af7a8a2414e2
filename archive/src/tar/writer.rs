//! Writes a tar entry by entry.

use std::io::{self, Write};

use super::entry::{Entry, Kind, Segment, Timestamp};
use super::header::{Fields, LINK_TARGET_BYTES, OCTAL_7, OCTAL_11, checked_device, split_path};
use super::sparse::{Map, map_text};
use super::stream::padding;
use super::{BLOCK_BYTES, number, pax, xattrs};

/// The name of every PAX header; readers that know PAX never look at it.
const PAX_NAME: &[u8] = b"PaxHeaders/entry";
/// The name of a sparse file's header; its real one is a PAX record.
const SPARSE_NAME: &[u8] = b"GNUSparseFile.0/entry";

/// Writes a tar that is the same, byte for byte, for the same entries.
///
/// Entries are ustar where that holds them, with a PAX header for what it cannot hold: long names, sizes of 8 GiB and
/// more, owners above 2,097,151, nanoseconds and times before 1970, extended attributes; sparse files are PAX 1.0. User
/// and group names are never written. [`TarReader`](super::TarReader) reads back equal entries.
pub struct TarWriter<W> {
    inner: W,
    remaining_bytes: u64,
    padding_bytes: usize,
    /// The headers of one entry, kept for its room.
    headers: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `inner` from its present position.
    pub fn new(inner: W) -> Self {
        Self { inner, remaining_bytes: 0, padding_bytes: 0, headers: Vec::new() }
    }

    /// Writes the headers of `entry`; [`Entry::payload_bytes`] of payload must follow.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what no tar holds (an empty name, a NUL in a name, device numbers or a sparse map out of
    /// range, a size or segments on what is no regular file) and where payload of the entry before is missing; what
    /// the inner writer answers.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.check_complete()?;
        check(entry)?;
        self.headers.clear();
        let map = match &entry.sparse {
            Some(segments) => map_text(&without_empty(segments), entry.size_bytes),
            None => Vec::new(),
        };
        let payload_bytes = entry.payload_bytes();
        let stored_bytes = payload_bytes + map.len() as u64;
        let records = records(entry, stored_bytes);
        if !records.is_empty() {
            let length = records.len() as u64;
            self.headers.extend_from_slice(&fields(PAX_NAME, b'x', length).encode());
            self.headers.extend_from_slice(&records);
            self.pad_headers();
        }
        self.headers.extend_from_slice(&header(entry, stored_bytes));
        self.headers.extend_from_slice(&map);
        self.inner.write_all(&self.headers)?;
        self.remaining_bytes = payload_bytes;
        self.padding_bytes = usize::try_from(padding(payload_bytes)).map_err(io::Error::other)?;
        Ok(())
    }

    /// Writes the next bytes of the current entry's payload.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more bytes than were declared; what the inner writer answers.
    pub fn write_payload(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(remaining) = self.remaining_bytes.checked_sub(bytes.len() as u64) else {
            return Err(invalid("more payload than the entry declares"));
        };
        self.inner.write_all(bytes)?;
        self.remaining_bytes = remaining;
        if remaining == 0 {
            let padding = std::mem::take(&mut self.padding_bytes);
            self.inner.write_all(&[0; BLOCK_BYTES][..padding])?;
        }
        Ok(())
    }

    /// Writes the end marker, two zero blocks, and gives the inner writer back, not flushed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where payload of the last entry is missing; what the inner writer answers.
    pub fn finish(mut self) -> io::Result<W> {
        self.check_complete()?;
        self.inner.write_all(&[0; 2 * BLOCK_BYTES])?;
        Ok(self.inner)
    }

    fn check_complete(&self) -> io::Result<()> {
        if self.remaining_bytes > 0 {
            return Err(invalid("less payload than the entry declares"));
        }
        Ok(())
    }

    fn pad_headers(&mut self) {
        self.headers.resize(self.headers.len().next_multiple_of(BLOCK_BYTES), 0);
    }
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason.into())
}

/// Refuses what would not read back.
fn check(entry: &Entry) -> io::Result<()> {
    check_name(&entry.path, "path")?;
    for (name, _) in &entry.xattrs {
        check_name(name, "extended attribute's name")?;
    }
    if entry.uid == u32::MAX || entry.gid == u32::MAX || entry.modified.nanoseconds > 999_999_999 {
        return Err(invalid("the entry's owner or time is out of range"));
    }
    if entry.kind != Kind::Regular && (entry.size_bytes > 0 || entry.sparse.is_some()) {
        return Err(invalid("only regular files have a payload"));
    }
    match &entry.kind {
        Kind::HardLink { target } | Kind::Symlink { target } => check_name(target, "link target")?,
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            checked_device(u64::from(*major), u64::from(*minor)).map_err(|kind| invalid(kind.to_string()))?;
        }
        Kind::Regular | Kind::Directory | Kind::Fifo => {}
    }
    let segments = entry.sparse.as_deref().unwrap_or_default().to_vec();
    Map::checked(segments, entry.size_bytes).map_err(|kind| invalid(kind.to_string()))?;
    Ok(())
}

fn check_name(name: &[u8], field: &str) -> io::Result<()> {
    if name.is_empty() || name.contains(&0) {
        return Err(invalid(format!("the {field} is empty or holds a NUL")));
    }
    Ok(())
}

fn without_empty(segments: &[Segment]) -> Vec<Segment> {
    segments.iter().copied().filter(|segment| segment.length > 0).collect()
}

/// Gives the fields of a header that belongs to nobody.
fn fields(name: &[u8], typeflag: u8, size: u64) -> Fields<'_> {
    Fields {
        name,
        prefix: b"",
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        modified_seconds: 0,
        typeflag,
        link_target: b"",
        device: (0, 0),
    }
}

fn header(entry: &Entry, stored_bytes: u64) -> [u8; BLOCK_BYTES] {
    let (prefix, name) = match &entry.sparse {
        Some(_) => (&b""[..], SPARSE_NAME),
        None => split_path(&entry.path).unwrap_or((b"", &entry.path)),
    };
    let (typeflag, link_target, device) = match &entry.kind {
        Kind::Regular => (b'0', &b""[..], (0, 0)),
        Kind::HardLink { target } => (b'1', &target[..], (0, 0)),
        Kind::Symlink { target } => (b'2', &target[..], (0, 0)),
        Kind::CharDevice { major, minor } => (b'3', &b""[..], (*major, *minor)),
        Kind::BlockDevice { major, minor } => (b'4', &b""[..], (*major, *minor)),
        Kind::Directory => (b'5', &b""[..], (0, 0)),
        Kind::Fifo => (b'6', &b""[..], (0, 0)),
    };
    let fields = Fields {
        name,
        prefix,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: stored_bytes,
        modified_seconds: entry.modified.seconds,
        typeflag,
        link_target,
        device,
    };
    fields.encode()
}

/// Gives the PAX records of what the header cannot hold, in a fixed order; empty where it holds everything.
fn records(entry: &Entry, stored_bytes: u64) -> Vec<u8> {
    let mut block = Vec::new();
    if entry.sparse.is_some() {
        pax::put_record(&mut block, b"GNU.sparse.major", b"1");
        pax::put_record(&mut block, b"GNU.sparse.minor", b"0");
        pax::put_record(&mut block, b"GNU.sparse.name", &entry.path);
        pax::put_record(&mut block, b"GNU.sparse.realsize", entry.size_bytes.to_string().as_bytes());
    } else if split_path(&entry.path).is_none() {
        pax::put_record(&mut block, b"path", &entry.path);
    }
    if let Kind::HardLink { target } | Kind::Symlink { target } = &entry.kind
        && target.len() > LINK_TARGET_BYTES
    {
        pax::put_record(&mut block, b"linkpath", target);
    }
    if stored_bytes > OCTAL_11 {
        pax::put_record(&mut block, b"size", stored_bytes.to_string().as_bytes());
    }
    for (key, owner) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if u64::from(owner) > OCTAL_7 {
            pax::put_record(&mut block, key, owner.to_string().as_bytes());
        }
    }
    if !fits_header(entry.modified) {
        pax::put_record(&mut block, b"mtime", number::time_text(entry.modified).as_bytes());
    }
    put_xattrs(&mut block, &entry.xattrs);
    block
}

fn fits_header(time: Timestamp) -> bool {
    time.nanoseconds == 0 && u64::try_from(time.seconds).is_ok_and(|seconds| seconds <= OCTAL_11)
}

/// Writes `SCHILY.xattr.` records, which everybody reads. A name with an equals sign cannot be a PAX key; then all of
/// the entry's attributes are written as libarchive encodes them.
fn put_xattrs(block: &mut Vec<u8>, all: &[(Vec<u8>, Vec<u8>)]) {
    let encode = all.iter().any(|(name, _)| name.contains(&b'='));
    for (name, value) in all {
        if encode {
            let key = [b"LIBARCHIVE.xattr.", &xattrs::url_encoded(name)[..]].concat();
            pax::put_record(block, &key, &xattrs::base64(value));
        } else {
            pax::put_record(block, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
    }
}
