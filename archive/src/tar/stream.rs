//! The bytes of a tar: where the reader stands, and the observer of what is not payload.

use std::io::{self, BufRead};

use super::observer::Observer;
use super::{BLOCK_BYTES, TarErrorKind};

/// How much is set aside before the bytes for it have come.
const FIRST_CAPACITY: usize = 16 << 10;

/// Reads structure and payload, counts both and shows the structure to the observer.
pub(super) struct Stream<R, O> {
    reader: R,
    observer: O,
    position: u64,
}

impl<R: BufRead, O: Observer> Stream<R, O> {
    pub(super) fn new(reader: R, observer: O) -> Self {
        Self { reader, observer, position: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn observer_mut(&mut self) -> &mut O {
        &mut self.observer
    }

    pub(super) fn into_parts(self) -> (R, O) {
        (self.reader, self.observer)
    }

    /// Gives unread bytes; empty at the end.
    pub(super) fn available(&mut self) -> Result<&[u8], TarErrorKind> {
        // Asked twice, as a borrow that may be returned cannot be asked for again in a loop.
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarErrorKind::Io(error)),
            }
        }
        self.reader.fill_buf().map_err(TarErrorKind::Io)
    }

    /// Takes `count` bytes that [`Self::available`] gave as payload.
    pub(super) fn consume_payload(&mut self, count: usize) {
        self.reader.consume(count);
        self.position += count as u64;
    }

    /// Passes up to `limit` unread bytes to the observer and to `take`; gives their count, 0 at the end.
    fn pass(&mut self, limit: u64, take: &mut dyn FnMut(&[u8])) -> Result<usize, TarErrorKind> {
        let available = self.available()?.len();
        let count = usize::try_from(limit).map_or(available, |limit| limit.min(available));
        // Buffered already: nothing is read here.
        let bytes = &self.reader.fill_buf().map_err(TarErrorKind::Io)?[..count];
        self.observer.structure(bytes).map_err(TarErrorKind::Observer)?;
        take(bytes);
        self.reader.consume(count);
        self.position += count as u64;
        Ok(count)
    }

    /// Passes `count` bytes of structure by.
    pub(super) fn skip(&mut self, mut count: u64, within: &'static str) -> Result<(), TarErrorKind> {
        while count > 0 {
            match self.pass(count, &mut |_| {})? {
                0 => return Err(TarErrorKind::Truncated { within }),
                passed => count -= passed as u64,
            }
        }
        Ok(())
    }

    /// Passes everything up to the end by, which must not be more than `limit` bytes.
    pub(super) fn drain(&mut self, limit: u64) -> Result<(), TarErrorKind> {
        let mut drained = 0_u64;
        loop {
            match self.pass(u64::MAX, &mut |_| {})? {
                0 => return Ok(()),
                passed => drained = drained.saturating_add(passed as u64),
            }
            if drained > limit {
                return Err(TarErrorKind::Limit { what: "bytes after the end of the archive", limit });
            }
        }
    }

    /// Reads a block of structure; `None` at the end.
    pub(super) fn block(&mut self, within: &'static str) -> Result<Option<[u8; BLOCK_BYTES]>, TarErrorKind> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            let start = filled;
            let count = self.pass((BLOCK_BYTES - start) as u64, &mut |bytes| {
                block[start..start + bytes.len()].copy_from_slice(bytes);
            })?;
            filled += count;
            if count == 0 {
                break;
            }
        }
        match filled {
            0 => Ok(None),
            BLOCK_BYTES => Ok(Some(block)),
            _ => Err(TarErrorKind::Truncated { within }),
        }
    }

    /// Reads `length` bytes of an extension header and the padding after them, which must begin with a zero: Python reads on in
    /// it otherwise. The caller has checked `length` against a limit.
    pub(super) fn extension(&mut self, length: u64, within: &'static str) -> Result<Vec<u8>, TarErrorKind> {
        let mut bytes = Vec::with_capacity(
            usize::try_from(length).map_or(FIRST_CAPACITY, |length| length.min(FIRST_CAPACITY)),
        );
        let mut left = length;
        while left > 0 {
            match self.pass(left, &mut |piece| bytes.extend_from_slice(piece))? {
                0 => return Err(TarErrorKind::Truncated { within }),
                passed => left -= passed as u64,
            }
        }
        let mut left = padding(length);
        let mut first = None;
        while left > 0 {
            match self.pass(left, &mut |piece| first = first.or(piece.first().copied()))? {
                0 => return Err(TarErrorKind::Truncated { within }),
                passed => left -= passed as u64,
            }
        }
        if first.is_some_and(|byte| byte != 0) {
            return Err(TarErrorKind::Extension { reason: "an extension header goes on past its size" });
        }
        Ok(bytes)
    }
}

/// How many bytes follow `length` bytes to fill their last block.
pub(super) fn padding(length: u64) -> u64 {
    length.wrapping_neg() % BLOCK_BYTES as u64
}
