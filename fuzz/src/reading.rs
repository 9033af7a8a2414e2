//! A tar read to its end by Plywood's reader.

use std::io::{self, BufRead, Read};

use plywood_archive::digest::{Digest, Hasher};
use plywood_archive::tar::{Entry, Limits, Observer, TarError, TarReader};

/// An entry, and what was read of its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub entry: Entry,
    pub payload_bytes: u64,
    pub payload: Digest,
}

/// A whole archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Archive {
    pub entries: Vec<Seen>,
    /// Bytes that are not payload.
    pub structure_bytes: u64,
    pub structure: Digest,
}

/// Hashes what is not payload.
#[derive(Default)]
struct Structure {
    hasher: Hasher,
    bytes: u64,
}

impl Observer for Structure {
    fn structure(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Reads a tar that comes in pieces of at most `chunk` bytes.
pub fn read(tar: &[u8], chunk: usize) -> Result<Archive, TarError> {
    let mut reader = TarReader::new(Pieces { left: tar, chunk }, Limits::default(), Structure::default());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let (mut hasher, mut payload_bytes) = (Hasher::new(), 0);
        loop {
            let bytes = reader.payload()?;
            if bytes.is_empty() {
                break;
            }
            hasher.update(bytes);
            let count = bytes.len();
            payload_bytes += count as u64;
            reader.consume(count);
        }
        assert_eq!(payload_bytes, reader.payload_bytes(), "{entry:?} has another payload than it says");
        assert_eq!(payload_bytes, entry.payload_bytes(), "{entry:?} stores another payload than it says");
        assert_eq!(entry.ordinal, entries.len() as u64);
        entries.push(Seen { entry, payload_bytes, payload: hasher.finish() });
    }
    let (_, structure) = reader.finish()?;
    Ok(Archive { entries, structure_bytes: structure.bytes, structure: structure.hasher.finish() })
}

/// Gives bytes in small pieces.
pub struct Pieces<'a> {
    pub left: &'a [u8],
    pub chunk: usize,
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.left[..self.left.len().min(self.chunk)])
    }

    fn consume(&mut self, count: usize) {
        self.left = &self.left[count..];
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}
