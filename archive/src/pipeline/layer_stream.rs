//! What one packed layer becomes.

use std::io::{self, BufRead, Read};

use super::ReadAhead;
use crate::compression::{Compression, Decompressor, ExpansionLimit};
use crate::digest::{Hasher, HashingReader, Measured};

/// Buffers between the threads: one being filled, one being used, one in between; 384 KiB in all.
const CHUNKS: usize = 3;
const CHUNK_BYTES: usize = 128 << 10;

/// The stack of readers that runs on the producer's thread.
type Source = Decompressor<HashingReader<Box<dyn Read + Send>>>;

/// Both sides of a layer, measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerDigests {
    /// The blob as it arrived, trailing bytes included.
    pub packed: Measured,
    /// The tar; its digest is the layer's diff id.
    pub unpacked: Measured,
    /// How the blob is packed.
    pub compression: Compression,
}

/// Reads the tar of a packed layer. Unpacking and hashing the packed bytes happen on a thread of their own, hashing
/// the tar where it is consumed.
pub struct LayerStream {
    ahead: ReadAhead<Source>,
    hasher: Hasher,
    unpacked_bytes: u64,
}

impl LayerStream {
    /// Starts reading `packed`. What goes wrong, starting the thread included, comes out of the first read.
    #[must_use]
    pub fn spawn(packed: Box<dyn Read + Send>, limit: ExpansionLimit) -> Self {
        let source = Decompressor::new(HashingReader::new(packed), limit);
        let ahead = ReadAhead::spawn(source, CHUNK_BYTES, CHUNKS);
        Self { ahead, hasher: Hasher::new(), unpacked_bytes: 0 }
    }

    /// Reads what is left to the end of the blob and gives the digests of all of it.
    ///
    /// # Errors
    ///
    /// What reading answers: errors of the blob's source, and
    /// [`DecompressionError`](crate::compression::DecompressionError)s inside an [`io::Error`].
    pub fn finish(mut self) -> io::Result<LayerDigests> {
        loop {
            let available = self.fill_buf()?.len();
            if available == 0 {
                break;
            }
            self.consume(available);
        }
        let source = self.ahead.finish()?;
        let compression = source.compression().unwrap_or(Compression::None);
        let mut packed =
            source.into_inner().ok_or_else(|| io::Error::other("the packed stream was refused before"))?;
        // The decompressor ends only at the end of the blob; should that change, the digest must not.
        io::copy(&mut packed, &mut io::sink())?;
        let unpacked = Measured { digest: self.hasher.finish(), size_bytes: self.unpacked_bytes };
        Ok(LayerDigests { packed: packed.finish(), unpacked, compression })
    }
}

impl Read for LayerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for LayerStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead.buffered().is_empty() {
            // Hashing a buffer when it arrives rather than as it is consumed spares many short updates.
            let arrived = self.ahead.fill_buf()?;
            self.hasher.update(arrived);
            self.unpacked_bytes += arrived.len() as u64;
        }
        Ok(self.ahead.buffered())
    }

    fn consume(&mut self, count: usize) {
        self.ahead.consume(count);
    }
}
