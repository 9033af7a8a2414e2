//! The packed side of a decompressor: a large buffer that counts what was used.

use std::io::{self, BufRead, Read};

/// Large enough that system calls and hashing do not show, small enough for the second-level cache.
const BUFFER_BYTES: usize = 128 << 10;

/// Buffers a packed stream and counts the bytes that the decoder consumed.
pub(super) struct Packed<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    consumed_bytes: u64,
    /// Whether the source itself failed, to tell its errors from the decoder's.
    source_failed: bool,
}

impl<R: Read> Packed<R> {
    pub(super) fn new(source: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, consumed_bytes: 0, source_failed: false }
    }

    pub(super) fn consumed_bytes(&self) -> u64 {
        self.consumed_bytes
    }

    pub(super) fn source_failed(&self) -> bool {
        self.source_failed
    }

    pub(super) fn get_ref(&self) -> &R {
        &self.source
    }

    pub(super) fn into_inner(self) -> R {
        self.source
    }

    /// Reads until `count` bytes can be looked at or the stream ends, and gives what there is.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < count {
            let read = self.read_source()?;
            if read == 0 {
                break;
            }
        }
        Ok(&self.buffer[..self.end])
    }

    fn read_source(&mut self) -> io::Result<usize> {
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.source_failed = true;
                    return Err(error);
                }
            }
        }
    }
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Packed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.read_source()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.consumed_bytes += count as u64;
    }
}
