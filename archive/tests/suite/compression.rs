//! Packing and unpacking, limits and refusals.

use std::io::{self, Read, Write};

use plywood_archive::compression::{
    Compression, Compressor, DecompressionError, Decompressor, ExpansionLimit,
};

pub fn packed(plain: &[u8], compression: Compression) -> Vec<u8> {
    let mut packer = Compressor::new(Vec::new(), compression, None).unwrap();
    packer.write_all(plain).unwrap();
    packer.finish().unwrap()
}

/// Unpacks from a source that gives few bytes at a time, so that every boundary is met.
fn unpacked(packed: &[u8]) -> io::Result<(Vec<u8>, Option<Compression>)> {
    struct Trickle<'a>(&'a [u8]);
    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(7);
            self.0.read(&mut buffer[..length])
        }
    }
    let mut reader = Decompressor::new(Trickle(packed), ExpansionLimit::default());
    let mut plain = Vec::new();
    reader.read_to_end(&mut plain)?;
    assert_eq!(reader.unpacked_bytes(), plain.len() as u64);
    let compression = reader.compression();
    assert!(reader.into_inner().unwrap().0.is_empty(), "the packed stream was not read to its end");
    Ok((plain, compression))
}

fn refusal(packed: &[u8]) -> String {
    let error = unpacked(packed).expect_err("the stream was accepted");
    let found = DecompressionError::of(&error).expect("another error");
    found.to_string()
}

fn sample() -> Vec<u8> {
    (0..300_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect()
}

#[test]
fn unpacks_what_it_packs_and_packs_the_same_again() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        for plain in [Vec::new(), b"x".to_vec(), sample()] {
            let once = packed(&plain, compression);
            assert!(once == packed(&plain, compression));
            let (back, found) = unpacked(&once).unwrap();
            assert!(back == plain);
            assert_eq!(found, Some(compression));
        }
    }
    assert_eq!(packed(b"x", Compression::Gzip)[..10], *b"\x1f\x8b\x08\0\0\0\0\0\0\xff");
}

#[test]
fn levels_out_of_range_are_refused() {
    for (compression, level) in [(Compression::Gzip, 10), (Compression::Gzip, -1), (Compression::Zstd, 23)] {
        assert!(Compressor::new(Vec::new(), compression, Some(level)).is_err());
    }
}

#[test]
fn several_members_and_padding_are_one_stream() {
    let member = packed(b"one", Compression::Gzip);
    let two = [member.clone(), packed(b"two", Compression::Gzip)].concat();
    assert_eq!(unpacked(&two).unwrap().0, b"onetwo");
    assert_eq!(unpacked(&[two.clone(), vec![0; 300_000]].concat()).unwrap().0, b"onetwo");
    let empty = packed(b"", Compression::Gzip);
    assert_eq!(unpacked(&[empty.clone(), two.clone(), empty].concat()).unwrap().0, b"onetwo");
    assert!(refusal(&[two.clone(), b"garbage".to_vec()].concat()).contains("garbage"));
    assert!(refusal(&[two.clone(), vec![0; 9], two.clone()].concat()).contains("garbage"));
    assert!(refusal(&[two, vec![0x1f]].concat()).contains("garbage"));
}

#[test]
fn several_frames_are_one_stream() {
    let frame = packed(b"one", Compression::Zstd);
    let skippable = b"\x53\x2a\x4d\x18\x05\0\0\0skip!";
    let stream = [&skippable[..], &frame, skippable, &packed(b"two", Compression::Zstd)].concat();
    assert_eq!(unpacked(&stream).unwrap(), (b"onetwo".to_vec(), Some(Compression::Zstd)));
    assert!(refusal(&[&frame[..], b"garbage"].concat()).contains("corrupt zstd"));
}

#[test]
fn damage_is_an_error() {
    let gzip = packed(&sample(), Compression::Gzip);
    for index in [gzip.len() - 8, gzip.len() - 4] {
        let mut gzip = gzip.clone();
        gzip[index] ^= 1;
        assert!(refusal(&gzip).contains("corrupt gzip"));
    }
    assert!(refusal(&gzip[..gzip.len() - 1]).contains("cut off"));
    let zstd = packed(&sample(), Compression::Zstd);
    assert!(refusal(&zstd[..zstd.len() - 1]).contains("cut off"));
}

#[test]
fn wide_windows_are_refused() {
    // A frame header that asks for a window of 2^28 bytes.
    let wide = [&b"\x28\xb5\x2f\xfd\x00"[..], &[(28 - 10) << 3], b"\x01\0\0"].concat();
    assert!(refusal(&wide).contains("corrupt zstd"));
    let allowed = [&b"\x28\xb5\x2f\xfd\x00"[..], &[(27 - 10) << 3], b"\x01\0\0"].concat();
    assert_eq!(unpacked(&allowed).unwrap().0, b"");
}

#[test]
fn other_formats_are_named() {
    let message = refusal(b"\xfd7zXZ\0 and so on");
    assert!(message.contains("xz") && message.contains("repack"), "{message}");
}

#[test]
fn expansion_is_limited_past_a_size() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let bomb = packed(&vec![0; 4 << 20], compression);
        let unpack = |limit| {
            let mut plain = Vec::new();
            Decompressor::new(&bomb[..], limit).read_to_end(&mut plain).map(|_| plain.len())
        };
        assert_eq!(unpack(ExpansionLimit::default()).unwrap(), 4 << 20);
        let error = unpack(ExpansionLimit { ratio: 100, past_bytes: 1 << 20 }).unwrap_err();
        assert!(matches!(DecompressionError::of(&error), Some(DecompressionError::Expansion { .. })));
    }
    let plain = vec![0; 4 << 20];
    let limit = ExpansionLimit { ratio: 1, past_bytes: 0 };
    assert_eq!(io::copy(&mut Decompressor::new(&plain[..], limit), &mut io::sink()).unwrap(), 4 << 20);
}

#[test]
fn errors_of_the_source_pass_unchanged() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let first = packed(&sample(), Compression::Gzip);
    for length in [0, 100] {
        let source = first[..length].chain(Failing);
        let error =
            io::copy(&mut Decompressor::new(source, ExpansionLimit::default()), &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{length}");
    }
}
