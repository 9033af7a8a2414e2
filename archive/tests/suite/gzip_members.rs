//! Gzip's members to the letter of RFC 1952, whatever decoder was built in: what is taken, and what flate2 says of the same bytes.

use std::io::{self, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compression as Level, Crc};
use plywood_archive::compression::{DecompressionError, Decompressor, ExpansionLimit};

const PLAIN: &[u8] = b"some content, some content, and some more of it";

/// A member with a header of these flags, whose optional parts are `optional`.
fn member(flags: u8, optional: &[u8], plain: &[u8], level: u32) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
    bytes.extend_from_slice(optional);
    if flags & 2 != 0 {
        let sum = sum(&bytes).to_le_bytes();
        bytes.extend_from_slice(&sum[..2]);
    }
    let mut packer = DeflateEncoder::new(bytes, Level::new(level));
    packer.write_all(plain).unwrap();
    let mut bytes = packer.finish().unwrap();
    bytes.extend_from_slice(&sum(plain).to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(plain.len()).unwrap().to_le_bytes());
    bytes
}

fn sum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Unpacks by Plywood, giving and taking so many bytes at once.
fn unpacked(packed: &[u8], given: usize, taken: usize) -> io::Result<Vec<u8>> {
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.1);
            self.0.read(&mut buffer[..length])
        }
    }
    let mut reader = Decompressor::new(Pieces(packed, given), ExpansionLimit::default());
    let (mut plain, mut piece) = (Vec::new(), vec![0; taken]);
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(plain),
            count => plain.extend_from_slice(&piece[..count]),
        }
    }
}

fn by_flate2(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(packed).read_to_end(&mut plain).map(|_| plain)
}

/// Compressible, with matches over the whole window and literals in between; longer than every buffer.
fn large() -> Vec<u8> {
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(33_000)
    .collect();
    (0..20_usize).flat_map(|round| noise[round * 100..].iter().chain(&noise[..7000]).copied()).collect()
}

#[test]
fn every_flag_of_the_header_is_understood() {
    let extra = b"\x03\0abc";
    for flags in 0..0x20_u8 {
        let mut optional = Vec::new();
        if flags & 4 != 0 {
            optional.extend_from_slice(extra);
        }
        for text in [8, 16] {
            if flags & text != 0 {
                optional.extend_from_slice(b"a text\0");
            }
        }
        let packed = member(flags, &optional, PLAIN, 6);
        assert_eq!(unpacked(&packed, 1, 3).unwrap(), PLAIN, "flags {flags:#x}");
        assert_eq!(by_flate2(&packed).unwrap(), PLAIN);
        if flags & 2 != 0 {
            let mut wrong = packed;
            wrong[4] ^= 1;
            let error = unpacked(&wrong, 100, 100).unwrap_err();
            let found = DecompressionError::of(&error).expect("another error");
            assert!(matches!(found, DecompressionError::Corrupt { format: "gzip", .. }), "{found}");
        }
    }
}

#[test]
fn reserved_flags_and_endless_names_are_refused() {
    for flag in [0x20, 0x40, 0x80] {
        assert!(unpacked(&member(flag, b"", PLAIN, 6), 100, 100).is_err(), "{flag:#x}");
    }
    let name = |length: usize| [vec![b'n'; length], vec![0]].concat();
    assert_eq!(unpacked(&member(8, &name(65_535), PLAIN, 6), 100, 100).unwrap(), PLAIN);
    assert!(unpacked(&member(8, &name(65_536), PLAIN, 6), 100, 100).is_err());
}

#[test]
fn every_kind_of_block_unpacks_in_any_pieces() {
    let plain = large();
    // Stored, fixed and dynamic blocks.
    for (level, plain) in [(0, &plain[..]), (1, &plain), (6, &plain), (9, &plain), (9, PLAIN), (9, b"")] {
        let two = [member(0, b"", plain, level), member(8, b"second\0", PLAIN, 6)].concat();
        let expected = [plain, PLAIN].concat();
        for (given, taken) in [(usize::MAX, 1 << 20), (7, 4096), (4096, 33), (usize::MAX, 32_768)] {
            assert!(unpacked(&two, given, taken).unwrap() == expected, "{level} {given} {taken}");
        }
    }
}

#[test]
fn a_trailer_that_says_something_else_is_refused() {
    let packed = member(0, b"", PLAIN, 6);
    for index in packed.len() - 8..packed.len() {
        let mut wrong = packed.clone();
        wrong[index] ^= 0x10;
        let error = unpacked(&wrong, 5, 5).unwrap_err();
        let found = DecompressionError::of(&error).expect("another error");
        assert!(matches!(found, DecompressionError::Corrupt { format: "gzip", .. }), "{found}");
    }
}

#[test]
fn flipped_bits_mean_the_same_to_flate2() {
    let packed = [member(31, b"\x01\0xn\0c\0", PLAIN, 9), member(0, b"", &large()[..40_000], 6)].concat();
    for index in (3..200).chain((200..packed.len()).step_by(97)) {
        for bit in 0..8 {
            let mut flipped = packed.clone();
            flipped[index] ^= 1 << bit;
            match (unpacked(&flipped, usize::MAX, 8192), by_flate2(&flipped)) {
                (Ok(one), Ok(other)) => assert!(one == other, "byte {index}, bit {bit}"),
                (Err(_), Err(_)) => {}
                (one, other) => panic!("byte {index}, bit {bit}: {:?}, flate2: {:?}", one.err(), other.err()),
            }
        }
    }
}
