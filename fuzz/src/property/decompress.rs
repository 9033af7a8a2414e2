//! Unpacking any bytes.

use std::io::{self, Cursor, Read};

use flate2::bufread::GzDecoder;
use plywood_archive::compression::{Compression, DecompressionError, Decompressor, ExpansionLimit};
use plywood_archive::digest::Measured;
use plywood_archive::pipeline::LayerStream;

use crate::memory;
use crate::reading::Pieces;

/// Small, so that inputs reach it.
const LIMIT: ExpansionLimit = ExpansionLimit { ratio: 100, past_bytes: 1 << 20 };
/// The buffers of a decoder, and what this property keeps.
const MEMORY_BYTES: usize = 8 << 20;
/// The largest window that is taken, as `docs/limits.md` has it.
const WINDOW_LOG: u32 = 27;

/// No panic, bounded memory, nothing past the limit. What unpacks is what flate2 and zstd unpack by themselves, in whatever
/// pieces it comes and through whatever number of threads; and what they unpack is not refused.
pub fn check(packed: &[u8]) {
    let most = MEMORY_BYTES + 3 * bound(packed) + 8 * packed.len();
    let (plain, compression) = memory::at_most(most, || unpack(packed, usize::MAX));
    let in_pieces = unpack(packed, 3).0;
    assert_eq!(plain.as_ref().map_err(sort), in_pieces.as_ref().map_err(sort));
    check_pipeline(packed, plain.as_ref());
    let expected = match compression {
        None => return,
        Some(Compression::None) => Ok(packed.to_vec()),
        Some(Compression::Gzip) => gzip(packed),
        Some(Compression::Zstd) => zstd(packed),
    };
    match (plain, expected) {
        (Ok(plain), Ok(expected)) => assert!(plain == expected, "another content than {compression:?} has"),
        (Err(error), Ok(expected)) => assert!(may_refuse(&error, &expected, packed), "{error}"),
        (Ok(_), Err(error)) => panic!("{compression:?} refuses what is taken here: {error}"),
        (Err(_), Err(_)) => {}
    }
}

/// How much may come out.
fn bound(packed: &[u8]) -> usize {
    (packed.len() * 100).max(1 << 20)
}

fn unpack(packed: &[u8], chunk: usize) -> (io::Result<Vec<u8>>, Option<Compression>) {
    let mut decompressor = Decompressor::new(Pieces { left: packed, chunk }, LIMIT);
    let mut plain = Vec::new();
    let read = decompressor.read_to_end(&mut plain);
    // Past the limit by one read of the buffer at most.
    assert!(plain.len() <= 2 * bound(packed), "{} bytes came out of {}", plain.len(), packed.len());
    assert!(read.is_err() || decompressor.unpacked_bytes() == plain.len() as u64);
    (read.map(|_| plain), decompressor.compression())
}

/// What sort of error it is: where it was met depends on the pieces.
fn sort(error: &io::Error) -> String {
    match DecompressionError::of(error) {
        Some(DecompressionError::Unsupported { name }) => format!("unsupported {name}"),
        Some(DecompressionError::Expansion { .. }) => "expansion".to_owned(),
        Some(DecompressionError::TrailingGarbage { position }) => format!("garbage at {position}"),
        Some(DecompressionError::Corrupt { format, .. }) => format!("corrupt {format}"),
        Some(DecompressionError::Truncated { format, position }) => format!("{format} cut at {position}"),
        other => format!("{other:?} {error}"),
    }
}

fn check_pipeline(packed: &[u8], plain: Result<&Vec<u8>, &io::Error>) {
    let stream = LayerStream::spawn(Box::new(Cursor::new(packed.to_vec())), LIMIT);
    match (stream.finish(), plain) {
        (Ok(digests), Ok(plain)) => {
            assert_eq!(digests.unpacked, Measured::of(plain));
            assert_eq!(digests.packed, Measured::of(packed));
        }
        (Err(one), Err(other)) if one.kind() == other.kind() => {}
        // Cut off for one, corrupt for the other: see `a_frame_lies_of_its_size`.
        (Err(_), Err(_)) if packed.starts_with(&zstd::zstd_safe::MAGICNUMBER.to_le_bytes()) => {}
        (Err(_), Ok(_)) if a_frame_lies_of_its_size(packed) => {}
        (one, other) => panic!("the pipeline says {one:?}, without threads it is {:?}", other.map(Vec::len)),
    }
}

/// Whether a zstd frame says that it holds more or less than it does. libzstd checks that only where the buffer has room for the whole
/// frame, so the answer depends on the reader's; the diff id finds it in any case.
fn a_frame_lies_of_its_size(mut packed: &[u8]) -> bool {
    while let Ok(length) = zstd::zstd_safe::find_frame_compressed_size(packed) {
        let (frame, rest) = packed.split_at(length);
        let declared = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
        let held = zstd::stream::read::Decoder::new(frame).and_then(|mut decoder| {
            let mut plain = Vec::new();
            decoder.read_to_end(&mut plain).map(|_| plain.len() as u64)
        });
        if declared.is_some_and(|declared| held.is_ok_and(|held| held != declared)) {
            return true;
        }
        packed = rest;
    }
    false
}

/// Whether an error is by Plywood's own rules rather than by the format's.
fn may_refuse(error: &io::Error, expected: &[u8], packed: &[u8]) -> bool {
    match DecompressionError::of(error) {
        Some(DecompressionError::Expansion { .. }) => {
            expected.len() as u64 > LIMIT.past_bytes && expected.len() > packed.len()
        }
        _ => false,
    }
}

/// All members, then zeros to the end or nothing: what gzip itself takes.
fn gzip(packed: &[u8]) -> io::Result<Vec<u8>> {
    let (mut left, mut plain) = (packed, Vec::new());
    loop {
        let mut decoder = GzDecoder::new(left);
        decoder.by_ref().take(4 * bound(packed) as u64).read_to_end(&mut plain)?;
        left = decoder.into_inner();
        if left.iter().all(|byte| *byte == 0) {
            return Ok(plain);
        }
    }
}

fn zstd(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
    decoder.window_log_max(WINDOW_LOG)?;
    decoder.take(4 * bound(packed) as u64).read_to_end(&mut plain)?;
    Ok(plain)
}
