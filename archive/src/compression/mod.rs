//! Gzip and zstd, found by content rather than by name.

mod compressor;
mod decompressor;
mod error;
#[cfg(feature = "isal")]
mod member;
mod packed;

pub use compressor::Compressor;
pub use decompressor::{Decompressor, ExpansionLimit};
pub use error::DecompressionError;

/// What unpacks one gzip member: ISA-L where it was built in (docs/adr/0008), else zlib-rs.
#[cfg(not(feature = "isal"))]
use flate2::bufread::GzDecoder as Member;
#[cfg(feature = "isal")]
use member::Member;

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// How many bytes at the start of a stream are enough for [`Compression::detect`].
    pub const DETECT_BYTES: usize = 10;

    /// Tells from the first bytes of a stream how it is packed; what is not known is taken as not packed.
    ///
    /// # Errors
    ///
    /// [`DecompressionError::Unsupported`] for formats that are recognised but never unpacked.
    pub fn detect(first: &[u8]) -> Result<Self, DecompressionError> {
        if first.starts_with(&[0x1f, 0x8b, 0x08]) {
            return Ok(Self::Gzip);
        }
        if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable_frame(first) {
            return Ok(Self::Zstd);
        }
        match REFUSED.iter().find(|(_, magic)| first.starts_with(magic)) {
            Some((name, _)) => Err(DecompressionError::Unsupported { name }),
            None if is_bzip2(first) => Err(DecompressionError::Unsupported { name: "bzip2" }),
            None => Ok(Self::None),
        }
    }

    /// Gives the suffix of OCI media types: empty, `+gzip` or `+zstd`.
    #[must_use]
    pub const fn media_type_suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }
}

/// Formats a layer may arrive in by mistake. Each magic holds bytes that no sane path starts with, so that a plain
/// tar is not taken for one of them.
const REFUSED: [(&str, &[u8]); 8] = [
    ("xz", b"\xfd7zXZ\0"),
    ("lz4", b"\x04\x22\x4d\x18"),
    ("lzip", b"LZIP\x01"),
    ("lzop", b"\x89LZO\0\r\n\x1a"),
    ("7z", b"7z\xbc\xaf\x27\x1c"),
    ("zip", b"PK\x03\x04"),
    ("compress (.Z)", b"\x1f\x9d"),
    ("snappy", b"\xff\x06\0\0sNaPpY"),
];

/// Checks `BZh`, the level and the first block's (or the end's) magic, as a path could well start with `BZh1`.
fn is_bzip2(first: &[u8]) -> bool {
    first.len() >= 10
        && first.starts_with(b"BZh")
        && first[3].is_ascii_digit()
        && matches!(&first[4..10], b"\x31\x41\x59\x26\x53\x59" | b"\x17\x72\x45\x38\x50\x90")
}

fn is_skippable_frame(first: &[u8]) -> bool {
    first.len() >= 4 && first[0] & 0xf0 == 0x50 && first[1..4] == [0x2a, 0x4d, 0x18]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn knows_what_it_unpacks() {
        assert_eq!(Compression::detect(b"").unwrap(), Compression::None);
        assert_eq!(Compression::detect(b"usr/bin/").unwrap(), Compression::None);
        assert_eq!(Compression::detect(b"BZh1.txt\0\0").unwrap(), Compression::None);
        assert_eq!(Compression::detect(b"\x1f\x8b\x08\0").unwrap(), Compression::Gzip);
        assert_eq!(Compression::detect(b"\x28\xb5\x2f\xfd").unwrap(), Compression::Zstd);
        assert_eq!(Compression::detect(b"\x5e\x2a\x4d\x18").unwrap(), Compression::Zstd);
    }

    #[test]
    fn refuses_what_it_only_recognises() {
        for (name, magic) in REFUSED {
            let error = Compression::detect(magic).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(Compression::detect(b"BZh9\x31\x41\x59\x26\x53\x59").is_err());
    }
}
