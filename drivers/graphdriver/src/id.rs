//! Layer ids.

use std::fmt;
use std::str::FromStr;

/// The name of a layer inside a driver: 32 lower-case hexadecimal digits.
///
/// Ids are made by the graph store and never used a second time. They are safe as names of folders
/// and devices, because nothing that a user typed ever becomes one unchecked.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(String);

/// The number of hexadecimal digits in a [`LayerId`].
const DIGITS: usize = 32;

/// A text that is no layer id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a layer id: it takes exactly 32 lower-case hexadecimal digits")]
pub struct InvalidLayerId {
    /// What was given, cut at 80 characters.
    pub text: String,
}

impl LayerId {
    /// Makes the id that these 16 bytes spell.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut text = String::with_capacity(DIGITS);
        for byte in bytes {
            for nibble in [byte >> 4, byte & 0xf] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as tables show them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for LayerId {
    type Err = InvalidLayerId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidLayerId { text: text.chars().take(80).collect() })
        }
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for LayerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LayerId({})", self.0)
    }
}

/// A layer together with the chain it stands on.
///
/// The graph store alone knows the chains; it passes them in with every call.
#[derive(Debug, Clone, Copy)]
pub struct LayerRef<'a> {
    /// The layer itself.
    pub id: &'a LayerId,
    /// Its parents, nearest first; empty for a base layer.
    pub parents: &'a [LayerId],
}

impl<'a> LayerRef<'a> {
    /// Names a layer and its parents, nearest first.
    #[must_use]
    pub fn new(id: &'a LayerId, parents: &'a [LayerId]) -> Self {
        Self { id, parents }
    }

    /// The immediate parent with its own chain, or `None` for a base layer.
    #[must_use]
    pub fn parent(&self) -> Option<LayerRef<'a>> {
        let (id, parents) = self.parents.split_first()?;
        Some(LayerRef { id, parents })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_is_32_lower_case_hexadecimal_digits() {
        let id = LayerId::from_bytes([0xab; 16]);
        assert_eq!(id.as_str(), "ab".repeat(16));
        assert_eq!(id.as_str().parse::<LayerId>().unwrap(), id);
        for wrong in [
            "",
            "..",
            "AB".repeat(16).as_str(),
            "ab".repeat(15).as_str(),
            "../../../../../../../../../../../x",
        ] {
            assert!(wrong.parse::<LayerId>().is_err(), "{wrong}");
        }
    }
}
