//! Packs bytes reproducibly.

use std::io::{self, Write};

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::Compression;

/// What `gzip` takes when not told otherwise.
const GZIP_LEVEL: i32 = 6;
/// What `zstd` takes when not told otherwise.
const ZSTD_LEVEL: i32 = 3;
/// The operating system byte of RFC 1952 that means "unknown".
const GZIP_SYSTEM_UNKNOWN: u8 = 255;

/// Packs what is written to it. The same bytes at the same level give the same packed bytes: gzip's header holds
/// neither a time nor a name nor a system.
pub struct Compressor<W: Write> {
    engine: Engine<W>,
}

enum Engine<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(ZstdEncoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Packs into `inner`. `level` is 0 to 9 for gzip, 1 to 22 for zstd and ignored where nothing is packed;
    /// `None` means 6 and 3.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a level out of range; what zstd answers when it cannot be set up.
    pub fn new(inner: W, compression: Compression, level: Option<i32>) -> io::Result<Self> {
        let engine = match compression {
            Compression::None => Engine::Plain(inner),
            Compression::Gzip => {
                let level = u32::try_from(level.unwrap_or(GZIP_LEVEL)).ok().filter(|level| *level <= 9);
                let level = flate2::Compression::new(level.ok_or_else(|| out_of_range("gzip", "0 to 9"))?);
                let builder = GzBuilder::new().mtime(0).operating_system(GZIP_SYSTEM_UNKNOWN);
                Engine::Gzip(builder.write(inner, level))
            }
            Compression::Zstd => {
                let level = level.unwrap_or(ZSTD_LEVEL);
                if !(1..=22).contains(&level) {
                    return Err(out_of_range("zstd", "1 to 22"));
                }
                Engine::Zstd(ZstdEncoder::new(inner, level)?)
            }
        };
        Ok(Self { engine })
    }

    /// Writes what is left and gives the inner writer back, not flushed. Without it the packed stream is cut off.
    ///
    /// # Errors
    ///
    /// What the inner writer answers.
    pub fn finish(self) -> io::Result<W> {
        match self.engine {
            Engine::Plain(inner) => Ok(inner),
            Engine::Gzip(encoder) => encoder.finish(),
            Engine::Zstd(encoder) => encoder.finish(),
        }
    }
}

fn out_of_range(format: &str, range: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{format} has levels {range}"))
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.engine {
            Engine::Plain(inner) => inner.write(bytes),
            Engine::Gzip(encoder) => encoder.write(bytes),
            Engine::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.engine {
            Engine::Plain(inner) => inner.flush(),
            Engine::Gzip(encoder) => encoder.flush(),
            Engine::Zstd(encoder) => encoder.flush(),
        }
    }
}
