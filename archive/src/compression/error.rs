//! Why a packed stream is refused.

use std::io;

/// Says why a packed stream is refused. [`Decompressor`](super::Decompressor) gives it inside an [`io::Error`] of
/// kind `InvalidData`; [`DecompressionError::of`] finds it there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecompressionError {
    /// The stream is packed in a way that layers are not.
    #[error("{name} is not supported: repack the layer with gzip or zstd")]
    Unsupported {
        /// The format.
        name: &'static str,
    },
    /// The stream unpacks to much more than it holds.
    #[error(
        "more than {ratio} times the packed size: {unpacked_bytes} bytes unpacked from {packed_bytes} so far"
    )]
    Expansion {
        /// The configured ratio.
        ratio: u64,
        /// How many packed bytes were used.
        packed_bytes: u64,
        /// How many bytes came out.
        unpacked_bytes: u64,
    },
    /// Something other than zero padding or a further member follows a gzip member.
    #[error("garbage after the end of the gzip stream, at packed byte {position}")]
    TrailingGarbage {
        /// Where in the packed stream.
        position: u64,
    },
    /// The decoder refused the stream.
    #[error("corrupt {format} stream near packed byte {position}")]
    Corrupt {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// Where in the packed stream, as far as the decoder had read.
        position: u64,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// The packed stream ends too early.
    #[error("the {format} stream is cut off at packed byte {position}")]
    Truncated {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// The size of what there is.
        position: u64,
    },
}

impl DecompressionError {
    /// Finds the error that a decompressor put into `error`, also through further wrapping.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
        while let Some(inner) = next {
            if let Some(found) = inner.downcast_ref::<Self>() {
                return Some(found);
            }
            if let Some(found) = inner.downcast_ref::<io::Error>().and_then(Self::of) {
                return Some(found);
            }
            next = inner.source();
        }
        None
    }

    pub(super) fn into_io(self) -> io::Error {
        let kind = match self {
            Self::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}
