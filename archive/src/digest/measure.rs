//! Readers and writers that hash and count what passes through them.

use std::io::{self, Read, Write};

use super::{Digest, Hasher};

/// What a stream of bytes turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Measured {
    /// The digest of all bytes.
    pub digest: Digest,
    /// How many bytes there were.
    pub size_bytes: u64,
}

impl Measured {
    /// Measures bytes that are already at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), size_bytes: bytes.len() as u64 }
    }
}

/// Hashes and counts every byte read through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    size_bytes: u64,
}

impl<R> HashingReader<R> {
    /// Measures what will be read from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new(), size_bytes: 0 }
    }

    /// Gives the count of bytes read so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Measures what was read; what was never read is not part of it.
    pub fn finish(self) -> Measured {
        self.into_parts().1
    }

    /// Gives the inner reader back together with the measure of what was read.
    pub fn into_parts(self) -> (R, Measured) {
        (self.inner, Measured { digest: self.hasher.finish(), size_bytes: self.size_bytes })
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }
}

/// Hashes and counts every byte that the inner writer took.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    size_bytes: u64,
}

impl<W> HashingWriter<W> {
    /// Measures what will be written to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(), size_bytes: 0 }
    }

    /// Gives the count of bytes written so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Gives the inner writer back, not flushed, together with the measure of what it took.
    pub fn finish(self) -> (W, Measured) {
        (self.inner, Measured { digest: self.hasher.finish(), size_bytes: self.size_bytes })
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn reader_and_writer_measure_what_passed() {
        let mut reader = HashingReader::new(&b"some bytes"[..]);
        let mut writer = HashingWriter::new(Vec::new());
        io::copy(&mut reader, &mut writer).unwrap();
        let (bytes, written) = writer.finish();
        assert_eq!(bytes, b"some bytes");
        assert_eq!(written, Measured::of(b"some bytes"));
        assert_eq!(reader.finish(), written);
    }

    #[test]
    fn writer_counts_only_what_was_taken() {
        struct Small;
        impl Write for Small {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len().min(3))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = HashingWriter::new(Small);
        assert_eq!(writer.write(b"abcdef").unwrap(), 3);
        assert_eq!(writer.finish().1, Measured::of(b"abc"));
    }
}
