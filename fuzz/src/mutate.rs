//! Mutations that keep what a reader checks first: without them most inputs would fail at a checksum.

use std::io::Read;

use plywood_archive::compression::{Compression, Compressor};

use crate::blocks::{BLOCK, SIZE, TYPEFLAG, put_checksum};

/// What libFuzzer does to the bytes in the buffer: the count that there are, and how many there may be.
pub type Mutation<'a> = &'a mut dyn FnMut(&mut [u8], usize, usize) -> usize;

/// Mutates a tar; three times in four its headers get the right checksums.
pub fn tar(data: &mut [u8], size: usize, most: usize, seed: u32, mutation: Mutation<'_>) -> usize {
    let size = mutation(data, size, most);
    if !seed.is_multiple_of(4) {
        repair(&mut data[..size]);
    }
    size
}

/// Mutates a tar behind `head` bytes that are nobody's.
pub fn tar_behind(
    head: usize,
    data: &mut [u8],
    size: usize,
    most: usize,
    seed: u32,
    mutation: Mutation<'_>,
) -> usize {
    let size = mutation(data, size, most);
    if !seed.is_multiple_of(4) && size > head {
        repair(&mut data[head..size]);
    }
    size
}

/// Puts the right checksum on every block that stands where a header is to be expected.
pub fn repair(tar: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + BLOCK) {
        at += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        put_checksum(block);
        if !matches!(block[TYPEFLAG], b'1'..=b'6') {
            at = at.saturating_add(octal(&block[SIZE]).next_multiple_of(BLOCK));
        }
    }
}

fn octal(field: &[u8]) -> usize {
    let digits =
        field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| matches!(byte, b'0'..=b'7'));
    // A field of 11 digits fits, and so do its next blocks.
    digits.fold(0, |value, digit| value * 8 + usize::from(digit - b'0'))
}

/// What is unpacked for a mutation at most.
const PLAIN_BYTES: u64 = 64 << 10;

/// Mutates a packed stream, half of the time what it unpacks to.
pub fn packed(data: &mut [u8], size: usize, most: usize, seed: u32, mutation: Mutation<'_>) -> usize {
    if !seed.is_multiple_of(2) {
        return mutation(data, size, most);
    }
    let mut plain = Vec::new();
    let zstd = data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let source: Box<dyn Read + '_> = if zstd {
        match zstd::stream::read::Decoder::new(&data[..size]) {
            Ok(decoder) => Box::new(decoder),
            Err(_) => return mutation(data, size, most),
        }
    } else {
        Box::new(flate2::read::MultiGzDecoder::new(&data[..size]))
    };
    // What comes before an error will do.
    if source.take(PLAIN_BYTES).read_to_end(&mut plain).is_err() && plain.is_empty() {
        return mutation(data, size, most);
    }
    let length = plain.len();
    plain.resize(most.max(length), 0);
    let room = plain.len();
    let length = mutation(&mut plain, length, room);
    let format = if zstd { Compression::Zstd } else { Compression::Gzip };
    let mut compressor = Compressor::new(Vec::new(), format, Some(1)).unwrap();
    std::io::copy(&mut &plain[..length], &mut compressor).unwrap();
    let packed = compressor.finish().unwrap();
    let length = packed.len().min(most);
    data[..length].copy_from_slice(&packed[..length]);
    length
}
