//! The one error of this crate.

use std::io;

use plywood_archive::digest::Digest;
use plywood_archive::tar::TarError;
use plywood_graph::GraphError;
use plywood_graphdriver::ErrorKind;

/// An image that could not be brought in, written out or described. The message does not repeat its source; print
/// the whole chain.
///
/// `location` is the layout or archive as [`Location`](crate::Location) shows it, `member` the document, blob or
/// file in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// What is there is no layout or archive, or one that cannot be used.
    #[error("{location}: {reason}")]
    Unusable {
        /// The layout or archive.
        location: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A member has something that it must not have, or lacks what it must.
    #[error("{location}: {member}: {reason}")]
    Malformed {
        /// The layout or archive.
        location: String,
        /// The document, blob or file.
        member: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A document is not the JSON that it should be.
    #[error("{location}: {member} cannot be parsed")]
    Document {
        /// The layout or archive, or the store.
        location: String,
        /// The document.
        member: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Something that an image names is not there.
    #[error("{location}: {member} is missing")]
    Missing {
        /// The layout or archive.
        location: String,
        /// What is missing.
        member: String,
    },
    /// A document is longer than any honest one.
    #[error("{location}: {member} is longer than {limit_bytes} bytes")]
    TooLong {
        /// The layout or archive.
        location: String,
        /// The document.
        member: String,
        /// The most that is read.
        limit_bytes: u64,
    },
    /// The bytes are not those that were announced.
    #[error("{location}: {member} has the digest {actual}, and should have {expected}")]
    DigestMismatch {
        /// The layout or archive.
        location: String,
        /// The document, blob or file.
        member: String,
        /// As announced.
        expected: Digest,
        /// As read.
        actual: Digest,
    },
    /// There are more or fewer bytes than were announced.
    #[error("{location}: {member} has {actual_bytes} bytes, and should have {expected_bytes}")]
    SizeMismatch {
        /// The layout or archive.
        location: String,
        /// The document, blob or file.
        member: String,
        /// As announced.
        expected_bytes: u64,
        /// As found.
        actual_bytes: u64,
    },
    /// A media type that is not taken.
    #[error("{location}: {member} has the media type '{media_type}': {reason}")]
    MediaType {
        /// The layout or archive.
        location: String,
        /// What has the type.
        member: String,
        /// The type.
        media_type: String,
        /// Why it is not taken, and what to do.
        reason: &'static str,
    },
    /// There is no image of that name in the layout or archive.
    #[error("{location}: there is no image '{reference}' in it; there is {}", list(present))]
    NoSuchReference {
        /// The layout or archive.
        location: String,
        /// The name asked for.
        reference: String,
        /// The names that are there, sorted.
        present: Vec<String>,
    },
    /// There are several images, and nothing says which is meant.
    #[error("{location}: there are several images in it; add the name of one: {}", list(present))]
    SeveralImages {
        /// The layout or archive.
        location: String,
        /// The names that are there, sorted.
        present: Vec<String>,
    },
    /// The image is not there for the platform.
    #[error("{location}: there is no image for {wanted} in it; there is {}", list(present))]
    NoPlatform {
        /// The layout or archive.
        location: String,
        /// The platform asked for.
        wanted: String,
        /// The platforms that are there, sorted.
        present: Vec<String>,
    },
    /// What was asked for makes no sense or cannot be done.
    #[error("{operation}: {reason}")]
    Invalid {
        /// What was tried, as a verb: `push`.
        operation: &'static str,
        /// Why not, and what to do.
        reason: String,
    },
    /// An archive is no proper tar.
    #[error("{location} cannot be read as a tar archive")]
    Archive {
        /// The archive.
        location: String,
        /// Where and why.
        #[source]
        source: Box<TarError>,
    },
    /// A file or folder could not be worked on.
    #[error("{operation} {path}")]
    Io {
        /// What was tried, as a verb: `open`.
        operation: &'static str,
        /// The file or folder; for one in a layout or archive, both.
        path: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl ImageError {
    /// What sort of failure it is, in the drivers' own terms: what an exit code or a gRPC status is made of.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unusable { .. }
            | Self::Malformed { .. }
            | Self::Document { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::SeveralImages { .. }
            | Self::Invalid { .. } => ErrorKind::InvalidInput,
            Self::Missing { .. } | Self::NoSuchReference { .. } | Self::NoPlatform { .. } => {
                ErrorKind::NotFound
            }
            Self::TooLong { .. } => ErrorKind::LimitExceeded,
            Self::MediaType { .. } => ErrorKind::Unsupported,
            Self::Archive { source, .. } => archive_kind(source),
            Self::Io { source, .. } => source_kind(source),
            Self::Graph(error) => error.kind(),
        }
    }

    /// Makes the error of a file operation, for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        operation: &'static str,
        path: impl ToString,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { operation, path: path.to_string(), source: source.into() }
    }

    /// Makes the error of a member that is not as it must be.
    pub(crate) fn malformed(location: &str, member: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { location: location.to_owned(), member: member.into(), reason: reason.into() }
    }

    /// Makes the error of a layout or archive that cannot be used.
    pub(crate) fn unusable(location: &str, reason: impl Into<String>) -> Self {
        Self::Unusable { location: location.to_owned(), reason: reason.into() }
    }

    /// Makes the error of something that is not there.
    pub(crate) fn missing(location: &str, member: impl Into<String>) -> Self {
        Self::Missing { location: location.to_owned(), member: member.into() }
    }
}

fn archive_kind(error: &TarError) -> ErrorKind {
    match error.io_source() {
        Some(source) => source_kind(source),
        None if error.is_limit() => ErrorKind::LimitExceeded,
        None => ErrorKind::InvalidInput,
    }
}

fn source_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            ErrorKind::InvalidInput
        }
        _ => ErrorKind::of(error),
    }
}

/// Names in a row, the first twenty of them: a hostile index has thousands.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    match names.len() {
        0 => "none".to_owned(),
        count if count <= SHOWN => names.join(", "),
        count => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
    }
}
