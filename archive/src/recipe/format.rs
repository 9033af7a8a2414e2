//! The pieces of a recipe and how they are written; drawn in `docs/design/recipe.md`.

use crate::digest::{Digest, Measured};
use crate::tar::Segment;

/// The first bytes of a recipe. The first is not ASCII and the last a line end, so that no text is taken for one and
/// a transfer that translates line ends shows.
pub(super) const MAGIC: [u8; 8] = *b"\x8fPLYRCP\n";
/// The version this code writes, and the latest it reads.
pub(super) const VERSION: u8 = 1;

pub(super) const TAG_END: u8 = 0;
pub(super) const TAG_STRUCTURE: u8 = 1;
pub(super) const TAG_ZEROS: u8 = 2;
pub(super) const TAG_FILE: u8 = 3;
pub(super) const TAG_DISPLACED: u8 = 4;

/// The most bytes one structure operation holds.
pub(super) const STRUCTURE_BYTES: usize = 64 << 10;
/// From this length on a run of zeros is an operation of its own.
pub(super) const ZERO_RUN_BYTES: u64 = 64 << 10;
/// The longest path an operation may name: more than any tar path that passes the limits.
pub(super) const PATH_BYTES: usize = 64 << 10;
/// The most ranges one file operation holds; further ones are an operation of their own.
pub(super) const SEGMENTS: usize = 1024;
/// The zstd window of a recipe, as a power of two: what level 3 uses, so that no other reader's memory is asked for.
pub(super) const WINDOW_LOG_MAX: u32 = 23;

/// One step in rebuilding a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Write these bytes, at most 64 KiB.
    Structure(Vec<u8>),
    /// Write this many zeros.
    Zeros(u64),
    /// Write these ranges of a regular file in the layer's tree, in order.
    File {
        /// The file's path in the tree, raw.
        path: Vec<u8>,
        /// The ranges; at most 1,024, more of them come as a further operation.
        segments: Vec<Segment>,
    },
    /// Write nothing; earlier [`File`](Self::File) operations of this path, as far as no earlier `Displaced` of
    /// the path covers them, mean this content rather than what the tree holds.
    Displaced {
        /// The file's path in the tree, raw.
        path: Vec<u8>,
        /// The size of the content, which [`Reader::read_content`](super::Reader::read_content) gives.
        length: u64,
    },
}

impl Operation {
    /// Gives how many bytes of the tar it stands for; `None` where that overflows.
    pub(super) fn tar_bytes(&self) -> Option<u64> {
        match self {
            Self::Structure(bytes) => Some(bytes.len() as u64),
            Self::Zeros(count) => Some(*count),
            Self::File { segments, .. } => sum(segments),
            Self::Displaced { .. } => Some(0),
        }
    }
}

pub(super) fn sum(segments: &[Segment]) -> Option<u64> {
    segments.iter().try_fold(0_u64, |sum, segment| sum.checked_add(segment.length))
}

/// What a recipe says about itself at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The size of the tar in bytes.
    pub size_bytes: u64,
    /// How the tar measured when it was unpacked, if that was known.
    pub measured: Option<Measured>,
    /// How many operations there are.
    pub operations: u64,
}

impl Trailer {
    /// Mark, digest (zeros where unknown), size and count; all numbers little-endian.
    pub(super) const BYTES: usize = 1 + 32 + 8 + 8;

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        if let Some(measured) = &self.measured {
            bytes[0] = 1;
            bytes[1..33].copy_from_slice(measured.digest.as_bytes());
        }
        bytes[33..41].copy_from_slice(&self.size_bytes.to_le_bytes());
        bytes[41..].copy_from_slice(&self.operations.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote; `None` where it makes no sense.
    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[1..33]);
        let number = |start: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[start..start + 8]);
            u64::from_le_bytes(number)
        };
        let (size_bytes, operations) = (number(33), number(41));
        let measured = match bytes[0] {
            0 if digest == [0; 32] => None,
            1 => Some(Measured { digest: Digest::from_bytes(digest), size_bytes }),
            _ => return None,
        };
        Some(Self { size_bytes, measured, operations })
    }
}

/// Appends a number, seven bits a byte, the lowest first; the high bit says that more follow.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}
