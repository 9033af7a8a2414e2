//! SHA-256 digests as OCI writes them, and readers and writers that measure what passes through.

mod measure;

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

pub use measure::{HashingReader, HashingWriter, Measured};

const PREFIX: &str = "sha256:";
const BYTES: usize = 32;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A SHA-256 digest, the only algorithm Plywood knows.
///
/// It displays as `sha256:` and 64 lower-case hexadecimal digits and parses from exactly that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; BYTES]);

/// Says why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// There is no colon between algorithm and value.
    #[error("digest {text:?} has no algorithm: expected `sha256:` and 64 hexadecimal digits")]
    NoAlgorithm {
        /// What was parsed, shortened.
        text: String,
    },
    /// The algorithm is not `sha256`.
    #[error("digest algorithm {algorithm:?} is not supported: only sha256 is")]
    Algorithm {
        /// The algorithm that was named, shortened.
        algorithm: String,
    },
    /// The value does not have 64 digits.
    #[error("a sha256 digest has 64 hexadecimal digits, this one has {length}")]
    Length {
        /// How many bytes follow the colon.
        length: usize,
    },
    /// The value holds something other than `0-9` and `a-f`.
    #[error("character {character:?} at {index} of a sha256 digest is not a lower-case hexadecimal digit")]
    Character {
        /// The first character that does not belong.
        character: char,
        /// Its position after the colon, from 0.
        index: usize,
    },
}

impl Digest {
    /// Hashes `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Takes the 32 bytes of a digest computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// Gives the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// Gives the 64 lower-case hexadecimal digits without the algorithm; safe as a file name.
    #[must_use]
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(2 * BYTES);
        for byte in self.0 {
            text.push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(HEX_DIGITS[usize::from(byte & 15)]));
        }
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(PREFIX)?;
        formatter.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let Some((algorithm, value)) = text.split_once(':') else {
            return Err(DigestError::NoAlgorithm { text: shortened(text) });
        };
        if algorithm != "sha256" {
            return Err(DigestError::Algorithm { algorithm: shortened(algorithm) });
        }
        decode(value.as_bytes()).map(Self).ok_or_else(|| {
            let wrong =
                value.char_indices().find(|(_, character)| !matches!(character, '0'..='9' | 'a'..='f'));
            wrong.map_or(DigestError::Length { length: value.len() }, |(index, character)| {
                DigestError::Character { character, index }
            })
        })
    }
}

/// The bytes that lower-case hexadecimal digits say; a store has hundreds of thousands of these.
fn decode(digits: &[u8]) -> Option<[u8; BYTES]> {
    /// What each digit means, and for all other bytes something larger.
    const MEANS: [u8; 256] = {
        let mut means = [0xff; 256];
        let mut value = 0;
        while value < 16 {
            means[b"0123456789abcdef"[value as usize] as usize] = value;
            value += 1;
        }
        means
    };
    let digits: &[u8; 2 * BYTES] = digits.try_into().ok()?;
    let (mut bytes, mut all) = ([0; BYTES], 0);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (MEANS[usize::from(pair[0])], MEANS[usize::from(pair[1])]);
        all |= high | low;
        *byte = (high << 4) | (low & 0xf);
    }
    (all < 16).then_some(bytes)
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    text.chars().take(SHOWN).collect()
}

/// Hashes bytes piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Starts with nothing hashed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Gives the digest of everything added.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn displays_and_parses_the_same_text() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
        assert_eq!(Digest::of(b"abc").to_string().parse::<Digest>().unwrap(), Digest::of(b"abc"));
    }

    #[test]
    fn refuses_everything_else_and_says_why() {
        let upper = EMPTY.replace("e3b0c4", "E3B0C4");
        assert_eq!(upper.parse::<Digest>(), Err(DigestError::Character { character: 'E', index: 0 }));
        assert_eq!("sha256:abcd".parse::<Digest>(), Err(DigestError::Length { length: 4 }));
        assert_eq!(
            "sha256:../../x".parse::<Digest>(),
            Err(DigestError::Character { character: '.', index: 0 })
        );
        assert!(matches!("sha512:00".parse::<Digest>(), Err(DigestError::Algorithm { .. })));
        assert!(matches!("e3b0c4".parse::<Digest>(), Err(DigestError::NoAlgorithm { .. })));
        assert!(format!("{EMPTY}0").parse::<Digest>().is_err());
        assert!(format!(" {EMPTY}").parse::<Digest>().is_err());
        assert!(EMPTY.replace('b', "é").parse::<Digest>().is_err());
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Hasher::new();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), Digest::of(b"abc"));
    }
}
