//! Unpacks whatever arrives, within limits.

use std::io::{self, BufRead, Read};

use zstd::stream::read::Decoder as ZstdDecoder;

use super::Member;
use super::packed::Packed;
use super::{Compression, DecompressionError};

/// The largest zstd window that is accepted, as a power of two: 128 MiB, what `zstd` without `--long` can read.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Bounds how much more a stream may unpack to than it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpansionLimit {
    /// How many bytes may come out for each packed byte.
    pub ratio: u64,
    /// From how many unpacked bytes on the ratio counts.
    pub past_bytes: u64,
}

impl Default for ExpansionLimit {
    fn default() -> Self {
        Self { ratio: 1000, past_bytes: 100 << 20 }
    }
}

/// Reads the plain bytes of a stream that is gzip, zstd or not packed, as its first bytes tell.
///
/// Gzip may have several members and zero padding after the last; zstd may have several frames, skippable ones
/// included. At its end the packed stream was read to its end too, so that a [`HashingReader`] below has seen all
/// of it. Errors of the stream itself are [`DecompressionError`]s inside the [`io::Error`].
///
/// [`HashingReader`]: crate::digest::HashingReader
pub struct Decompressor<R: Read> {
    engine: Engine<R>,
    compression: Option<Compression>,
    limit: ExpansionLimit,
    unpacked_bytes: u64,
}

enum Engine<R: Read> {
    Undetected(Packed<R>),
    Plain(Packed<R>),
    Gzip(Box<Member<Packed<R>>>),
    /// After a gzip member: padding, a further member or the end.
    BetweenMembers(Packed<R>),
    Zstd(ZstdDecoder<'static, Packed<R>>),
    /// Only while one state is turned into the next, and after an error in doing so.
    Moved,
}

impl<R: Read> Decompressor<R> {
    /// Starts unpacking `source`; reads nothing yet.
    pub fn new(source: R, limit: ExpansionLimit) -> Self {
        let engine = Engine::Undetected(Packed::new(source));
        Self { engine, compression: None, limit, unpacked_bytes: 0 }
    }

    /// Tells how the stream is packed; `None` before the first read.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Gives the count of bytes that came out so far.
    pub fn unpacked_bytes(&self) -> u64 {
        self.unpacked_bytes
    }

    /// Gives the source, `None` after some errors.
    pub fn get_ref(&self) -> Option<&R> {
        self.packed().map(Packed::get_ref)
    }

    /// Gives the source back, `None` after some errors. What was read ahead from it is lost; nothing is at the
    /// end.
    pub fn into_inner(self) -> Option<R> {
        match self.engine {
            Engine::Undetected(packed) | Engine::Plain(packed) | Engine::BetweenMembers(packed) => {
                Some(packed.into_inner())
            }
            Engine::Gzip(decoder) => Some(decoder.into_inner().into_inner()),
            Engine::Zstd(decoder) => Some(decoder.finish().into_inner()),
            Engine::Moved => None,
        }
    }

    fn packed(&self) -> Option<&Packed<R>> {
        match &self.engine {
            Engine::Undetected(packed) | Engine::Plain(packed) | Engine::BetweenMembers(packed) => {
                Some(packed)
            }
            Engine::Gzip(decoder) => Some(decoder.get_ref()),
            Engine::Zstd(decoder) => Some(decoder.get_ref()),
            Engine::Moved => None,
        }
    }

    /// Looks at the first bytes and sets up the decoder for them.
    fn detect(&mut self, mut packed: Packed<R>) -> io::Result<Engine<R>> {
        let first = packed.peek(Compression::DETECT_BYTES)?;
        let compression = Compression::detect(first).map_err(DecompressionError::into_io)?;
        self.compression = Some(compression);
        Ok(match compression {
            Compression::None => Engine::Plain(packed),
            Compression::Gzip => Engine::Gzip(Box::new(Member::new(packed))),
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Engine::Zstd(decoder)
            }
        })
    }

    /// Reads some bytes in the present state; `None` when the state changed and reading is to be tried again.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.engine {
            Engine::Plain(packed) => packed.read(buffer).map(Some),
            Engine::Zstd(decoder) => match decoder.read(buffer) {
                Ok(count) => Ok(Some(count)),
                Err(source) => Err(explained("zstd", decoder.get_ref(), source)),
            },
            Engine::Gzip(decoder) => match decoder.read(buffer) {
                Ok(0) => self.advance(),
                Ok(count) => Ok(Some(count)),
                Err(source) => Err(explained("gzip", decoder.get_ref(), source)),
            },
            Engine::Undetected(_) | Engine::BetweenMembers(_) => self.advance(),
            Engine::Moved => Err(io::Error::other("the packed stream was refused before")),
        }
    }

    /// Turns the present state into the next one; `Some(0)` at the end of the stream.
    fn advance(&mut self) -> io::Result<Option<usize>> {
        match std::mem::replace(&mut self.engine, Engine::Moved) {
            Engine::Undetected(packed) => self.engine = self.detect(packed)?,
            Engine::Gzip(decoder) => self.engine = Engine::BetweenMembers(decoder.into_inner()),
            Engine::BetweenMembers(mut packed) => {
                if after_member(&mut packed)? {
                    self.engine = Engine::Gzip(Box::new(Member::new(packed)));
                } else {
                    self.engine = Engine::BetweenMembers(packed);
                    return Ok(Some(0));
                }
            }
            other => self.engine = other,
        }
        Ok(None)
    }

    fn check_expansion(&self) -> io::Result<()> {
        if self.unpacked_bytes <= self.limit.past_bytes {
            return Ok(());
        }
        let packed_bytes = self.packed().map_or(0, Packed::consumed_bytes);
        if self.unpacked_bytes <= packed_bytes.saturating_mul(self.limit.ratio) {
            return Ok(());
        }
        let (ratio, unpacked_bytes) = (self.limit.ratio, self.unpacked_bytes);
        Err(DecompressionError::Expansion { ratio, packed_bytes, unpacked_bytes }.into_io())
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A decoder given no room answers 0, which would look like the end of a member.
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(count) = self.step(buffer)? {
                self.unpacked_bytes += count as u64;
                self.check_expansion()?;
                return Ok(count);
            }
        }
    }
}

/// Says whether a further gzip member follows; zero padding up to the end is passed over.
fn after_member<R: Read>(packed: &mut Packed<R>) -> io::Result<bool> {
    // Two bytes, as a buffer may end between those of the magic.
    if packed.peek(2)?.starts_with(&[0x1f, 0x8b]) {
        return Ok(true);
    }
    pass_over_padding(packed)?;
    Ok(false)
}

/// Consumes zeros up to the end; after padding has begun nothing else may follow, not even a member.
fn pass_over_padding<R: Read>(packed: &mut Packed<R>) -> io::Result<()> {
    loop {
        let next = packed.fill_buf()?;
        if next.is_empty() {
            return Ok(());
        }
        let (zeros, length) = (next.iter().take_while(|byte| **byte == 0).count(), next.len());
        packed.consume(zeros);
        if zeros < length {
            let position = packed.consumed_bytes();
            return Err(DecompressionError::TrailingGarbage { position }.into_io());
        }
    }
}

/// Names format and place, unless it was the source that failed: its errors pass unchanged.
fn explained<R: Read>(format: &'static str, packed: &Packed<R>, source: io::Error) -> io::Error {
    if packed.source_failed() {
        return source;
    }
    let position = packed.consumed_bytes();
    match source.kind() {
        io::ErrorKind::UnexpectedEof => DecompressionError::Truncated { format, position }.into_io(),
        _ => DecompressionError::Corrupt { format, position, source }.into_io(),
    }
}
