//! Writes a recipe.

use std::io::{self, Read, Write};

use zstd::stream::write::Encoder;

use super::format::{
    MAGIC, PATH_BYTES, SEGMENTS, STRUCTURE_BYTES, TAG_DISPLACED, TAG_END, TAG_FILE, TAG_STRUCTURE, TAG_ZEROS,
    Trailer, VERSION, ZERO_RUN_BYTES, put_number, sum,
};
use crate::digest::Measured;
use crate::tar::{Observer, Segment};

/// Fast, and small enough: what is left of a tar without its payloads packs very well.
const LEVEL: i32 = 3;
/// How much displaced content is held at a time.
const COPY_BYTES: usize = 64 << 10;
/// What pieces of structure are compared with.
const ZEROS: [u8; 4096] = [0; 4096];

/// Writes a recipe operation by operation. Structure bytes are gathered into blocks of up to 64 KiB and long runs of
/// zeros become one operation. As an [`Observer`] it takes what a [`TarReader`](crate::tar::TarReader) shows.
///
/// A recipe is complete only after [`finish`](Self::finish).
pub struct Writer<W: Write> {
    encoder: Encoder<'static, W>,
    /// Structure bytes not yet written.
    pending: Vec<u8>,
    /// Zeros that come after `pending`.
    zeros: u64,
    /// The operation that is being put together, kept for its room.
    scratch: Vec<u8>,
    size_bytes: u64,
    operations: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a recipe in `inner`.
    ///
    /// # Errors
    ///
    /// What the inner writer answers, or zstd when it cannot be set up.
    pub fn new(mut inner: W) -> io::Result<Self> {
        inner.write_all(&MAGIC)?;
        inner.write_all(&[VERSION])?;
        let mut encoder = Encoder::new(inner, LEVEL)?;
        encoder.include_checksum(true)?;
        let pending = Vec::with_capacity(STRUCTURE_BYTES);
        Ok(Self { encoder, pending, zeros: 0, scratch: Vec::new(), size_bytes: 0, operations: 0 })
    }

    /// Adds bytes of the tar that are written as they are: structure, or payload that is not in the tree.
    ///
    /// # Errors
    ///
    /// What the inner writer answers.
    pub fn structure(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // Zeros at either side of a piece join the run; within a piece they are too few for an operation.
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(ZEROS.len()));
            bytes = rest;
            // Comparing is many times faster than looking for the first byte that differs.
            if *piece == ZEROS[..piece.len()] {
                self.add_zeros(piece.len())?;
                continue;
            }
            let first = piece.iter().position(|byte| *byte != 0).unwrap_or(0);
            let last = piece.iter().rposition(|byte| *byte != 0).unwrap_or(first);
            self.add_zeros(first)?;
            self.settle_zeros()?;
            self.add_literal(&piece[first..=last])?;
            self.add_zeros(piece.len() - last - 1)?;
        }
        Ok(())
    }

    /// Adds payload that is in the tree: `segments` of the regular file at `path`, in order. Ranges of no bytes are
    /// left out.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty or overlong path and for ranges that overflow; what the inner writer answers.
    pub fn file(&mut self, path: &[u8], segments: &[Segment]) -> io::Result<()> {
        check_path(path)?;
        if segments.iter().any(|segment| segment.offset.checked_add(segment.length).is_none()) {
            return Err(invalid("a range of a file overflows"));
        }
        let total = sum(segments).ok_or_else(|| invalid("the ranges of a file overflow"))?;
        self.add_size(total)?;
        self.flush_pending()?;
        let filled: Vec<Segment> = segments.iter().copied().filter(|segment| segment.length > 0).collect();
        for group in filled.chunks(SEGMENTS) {
            self.begin(TAG_FILE, path);
            put_number(&mut self.scratch, group.len() as u64);
            for segment in group {
                put_number(&mut self.scratch, segment.offset);
                put_number(&mut self.scratch, segment.length);
            }
            self.emit()?;
        }
        Ok(())
    }

    /// Adds the content of the file that earlier [`file`](Self::file) operations of `path` meant and that a later
    /// entry replaces: the whole file, `length` bytes of `content`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty or overlong path; `UnexpectedEof` where `content` is shorter; what reading it or
    /// the inner writer answer. The recipe is unusable afterwards.
    pub fn displaced(&mut self, path: &[u8], length: u64, content: &mut dyn Read) -> io::Result<()> {
        check_path(path)?;
        self.flush_pending()?;
        self.begin(TAG_DISPLACED, path);
        put_number(&mut self.scratch, length);
        self.emit()?;
        self.scratch.resize(COPY_BYTES, 0);
        let mut left = length;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            content.read_exact(&mut self.scratch[..wanted])?;
            self.encoder.write_all(&self.scratch[..wanted])?;
            left -= wanted as u64;
        }
        Ok(())
    }

    /// Writes the trailer and gives the inner writer back, not flushed. `measured` is the whole tar as it came in;
    /// without it a rebuilt tar cannot be verified.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where the operations do not sum up to the measured size; what the inner writer answers.
    pub fn finish(mut self, measured: Option<Measured>) -> io::Result<W> {
        if let Some(measured) = measured.filter(|measured| measured.size_bytes != self.size_bytes) {
            return Err(invalid(format!(
                "the recipe stands for {} bytes of a tar of {}",
                self.size_bytes, measured.size_bytes
            )));
        }
        self.flush_pending()?;
        let trailer = Trailer { size_bytes: self.size_bytes, measured, operations: self.operations };
        self.encoder.write_all(&[TAG_END])?;
        self.encoder.write_all(&trailer.encode())?;
        self.encoder.finish()
    }

    fn add_size(&mut self, count: u64) -> io::Result<()> {
        let sum = self.size_bytes.checked_add(count);
        self.size_bytes = sum.ok_or_else(|| invalid("the tar's size overflows"))?;
        Ok(())
    }

    fn add_zeros(&mut self, count: usize) -> io::Result<()> {
        self.add_size(count as u64)?;
        self.zeros += count as u64;
        Ok(())
    }

    fn add_literal(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.add_size(bytes.len() as u64)?;
        self.append(bytes)
    }

    /// Appends to the pending block, writing it when it is full.
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = STRUCTURE_BYTES - self.pending.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == STRUCTURE_BYTES {
                self.flush_block()?;
            }
        }
        Ok(())
    }

    /// Makes the zeros that have gathered an operation, or part of the block where they are few.
    fn settle_zeros(&mut self) -> io::Result<()> {
        let mut zeros = std::mem::take(&mut self.zeros);
        if zeros >= ZERO_RUN_BYTES {
            self.flush_block()?;
            self.scratch.clear();
            self.scratch.push(TAG_ZEROS);
            put_number(&mut self.scratch, zeros);
            return self.emit();
        }
        while zeros > 0 {
            let count = usize::try_from(zeros).map_or(ZEROS.len(), |zeros| zeros.min(ZEROS.len()));
            self.append(&ZEROS[..count])?;
            zeros -= count as u64;
        }
        Ok(())
    }

    fn flush_pending(&mut self) -> io::Result<()> {
        self.settle_zeros()?;
        self.flush_block()
    }

    fn flush_block(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.scratch.clear();
        self.scratch.push(TAG_STRUCTURE);
        put_number(&mut self.scratch, self.pending.len() as u64);
        self.emit()?;
        self.encoder.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    fn begin(&mut self, tag: u8, path: &[u8]) {
        self.scratch.clear();
        self.scratch.push(tag);
        put_number(&mut self.scratch, path.len() as u64);
        self.scratch.extend_from_slice(path);
    }

    fn emit(&mut self) -> io::Result<()> {
        self.operations += 1;
        self.encoder.write_all(&self.scratch)
    }
}

impl<W: Write> Observer for Writer<W> {
    fn structure(&mut self, bytes: &[u8]) -> io::Result<()> {
        Writer::structure(self, bytes)
    }
}

fn check_path(path: &[u8]) -> io::Result<()> {
    if path.is_empty() || path.len() > PATH_BYTES {
        return Err(invalid("a path in a recipe is empty or longer than 64 KiB"));
    }
    Ok(())
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason.into())
}
