//! What is wrong with a tar, and where.

use std::fmt;
use std::io;

use crate::compression::DecompressionError;

/// Says what is wrong with a tar and at which entry.
///
/// Its message holds place, path and reason; [`source`](std::error::Error::source) is the I/O error, if there is
/// one.
#[derive(Debug)]
pub struct TarError {
    /// How many entries were read before.
    pub ordinal: u64,
    /// Where the entry starts in the tar, in bytes.
    pub position: u64,
    /// The entry's path where it was known already, raw.
    pub path: Option<Vec<u8>>,
    /// What is wrong.
    pub kind: TarErrorKind,
}

/// The ways in which a tar can be refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarErrorKind {
    /// One of [`Limits`](super::Limits) is exceeded.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of, as in "bytes of path".
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
    /// The stream failed.
    #[error("the tar stream could not be read")]
    Io(#[source] io::Error),
    /// The [`Observer`](super::Observer) failed.
    #[error("the structure of the tar could not be recorded")]
    Observer(#[source] io::Error),
    /// The stream ends within an entry.
    #[error("the tar ends within {within}")]
    Truncated {
        /// The part that is cut off.
        within: &'static str,
    },
    /// A header's checksum is not that of its bytes: this is no tar header.
    #[error("the header's checksum does not match")]
    Checksum,
    /// A number is malformed or out of range.
    #[error("the {field} is not a valid number: {reason}")]
    Number {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name is empty or holds a NUL.
    #[error("the {field} {reason}")]
    Name {
        /// Which name.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A PAX record is malformed.
    #[error("malformed PAX record: {reason}")]
    Pax {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Extension headers contradict each other or stand alone.
    #[error("{reason}")]
    Extension {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The map of a sparse file is malformed.
    #[error("invalid sparse file: {reason}")]
    Sparse {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The entry is of a type that is not known or not fit for a layer.
    #[error("entries of type {typeflag:?} are not supported")]
    Type {
        /// The header's type flag.
        typeflag: char,
    },
    /// A single block of zeros is followed by data, which some readers would show and some not.
    #[error("a lone zero block is followed by further data")]
    LoneZeroBlock,
    /// The reader was used on after an error.
    #[error("the tar was refused before")]
    Refused,
}

impl TarError {
    /// Says whether a configured limit was exceeded, the decompressor's expansion limit included.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        match &self.kind {
            TarErrorKind::Limit { .. } => true,
            TarErrorKind::Io(source) => {
                matches!(DecompressionError::of(source), Some(DecompressionError::Expansion { .. }))
            }
            _ => false,
        }
    }

    /// Says whether the stream or the observer failed, rather than that the tar is bad.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.io_source().is_some()
    }

    /// Gives the I/O error behind it.
    #[must_use]
    pub fn io_source(&self) -> Option<&io::Error> {
        match &self.kind {
            TarErrorKind::Io(source) | TarErrorKind::Observer(source) => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for TarError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "tar entry {} at byte {}", self.ordinal, self.position)?;
        if let Some(path) = &self.path {
            write!(formatter, " (`{}`)", shown(path))?;
        }
        write!(formatter, ": {}", self.kind)
    }
}

impl std::error::Error for TarError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The kind's message is part of this one's, so the chain goes on below it.
        std::error::Error::source(&self.kind)
    }
}

/// Escapes what is not printable ASCII and shortens what is absurdly long.
fn shown(path: &[u8]) -> String {
    const SHOWN: usize = 200;
    if path.len() <= SHOWN {
        return path.escape_ascii().to_string();
    }
    format!("{}...", path[..SHOWN].escape_ascii())
}
