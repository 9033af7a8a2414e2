//! Archives written: the same members give the same bytes.

use std::io::{self, Read, Write};

use plywood_archive::tar::{Entry, Kind, TarWriter};

/// Bytes copied at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Writes an archive: members owned by root, at time 0, in the order in which they are given.
pub(crate) struct ArchiveWriter<W: Write> {
    tar: TarWriter<W>,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive.
    pub(crate) fn new(out: W) -> Self {
        Self { tar: TarWriter::new(out) }
    }

    /// Adds a folder.
    pub(crate) fn folder(&mut self, name: &str) -> io::Result<()> {
        let mut entry = Entry::new(format!("{name}/"), Kind::Directory);
        entry.mode = 0o755;
        self.tar.append(&entry)
    }

    /// Adds a file of exactly `size_bytes`.
    pub(crate) fn file(&mut self, name: &str, size_bytes: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut entry = Entry::new(name, Kind::Regular);
        entry.mode = 0o644;
        entry.size_bytes = size_bytes;
        self.tar.append(&entry)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.tar.write_payload(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds a file.
    pub(crate) fn bytes(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.file(name, content.len() as u64, &mut &*content)
    }

    /// Ends the archive.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.tar.finish()?.flush()
    }
}
