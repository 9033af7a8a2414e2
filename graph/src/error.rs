//! The one error of the graph store.

use std::io;
use std::path::{Path, PathBuf};

use plywood_archive::digest::Digest;
use plywood_graphdriver::{DriverError, ErrorKind};

/// A failed operation of the graph store. The message does not repeat its source; print the whole chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// What was asked for is not there.
    #[error("there is no {what} '{query}'")]
    NotFound {
        /// `image`, `container`, `layer`, `mount`, `name`.
        what: &'static str,
        /// What was asked for.
        query: String,
    },
    /// The name or the place is taken.
    #[error("the {what} '{name}' is there already")]
    AlreadyExists {
        /// What is there: `container`, `mount`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Something still needs it.
    #[error("the {what} '{name}' is in use by {}", by.join(", "))]
    InUse {
        /// `image`, `container`, `layer`.
        what: &'static str,
        /// Its name or id.
        name: String,
        /// Every user, in words: `container brisk_alder (0123456789ab)`.
        by: Vec<String>,
    },
    /// What was named is there, and is not of the sort that the request needs.
    #[error("the {what} '{name}' {reason}")]
    Unfit {
        /// What it is: `snapshot`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why it does not do: `is not active`.
        reason: &'static str,
    },
    /// The request or the input makes no sense.
    #[error("{operation}: {reason}")]
    Invalid {
        /// What was tried.
        operation: &'static str,
        /// Why it cannot be.
        reason: String,
    },
    /// The store, the driver or this machine cannot do it.
    #[error("{operation}: {reason}")]
    Unsupported {
        /// What was tried.
        operation: &'static str,
        /// Why not, and what to do.
        reason: String,
    },
    /// The text names more than one thing.
    #[error("'{query}' could be any of {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// All that it could mean, sorted.
        candidates: Vec<String>,
    },
    /// The driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The bytes are not the ones that were announced.
    #[error("{what} has the digest {actual}, and should have {expected}")]
    DigestMismatch {
        /// Which bytes: `layer 2, packed`.
        what: String,
        /// As announced.
        expected: Digest,
        /// As read.
        actual: Digest,
    },
    /// There are more or fewer bytes than were announced.
    #[error("{what} has {actual_bytes} bytes, and should have {expected_bytes}")]
    SizeMismatch {
        /// Which bytes: `layer 2, packed`.
        what: String,
        /// As announced.
        expected_bytes: u64,
        /// As read.
        actual_bytes: u64,
    },
    /// A layer's source could not be opened, read or decompressed.
    #[error("{what} cannot be read")]
    Source {
        /// Which bytes: `layer 2`.
        what: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// What was to be written could not be: the reader went away, or its disk is full.
    #[error("{what} cannot be written out")]
    Output {
        /// Which bytes: `layer 0123456789ab`.
        what: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// What is stored is damaged.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// What is damaged: `layer 0123456789ab`.
        what: String,
        /// What was found.
        reason: String,
    },
    /// Other processes kept getting in between; trying again may help.
    #[error("{operation}: {reason}")]
    Busy {
        /// What was tried.
        operation: &'static str,
        /// Who or what got in between.
        reason: String,
    },
    /// Whoever asked for it does not want it any more.
    #[error("{operation}: it was cancelled")]
    Cancelled {
        /// What was tried.
        operation: &'static str,
    },
    /// The database failed.
    #[error("{operation} in the store's database")]
    Database {
        /// What was tried.
        operation: &'static str,
        /// The reason.
        #[source]
        source: rusqlite::Error,
    },
    /// A system call on the store's own files failed.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried, as a verb: `open`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

impl GraphError {
    /// What sort of failure it is, in the drivers' own terms: what an exit code or a gRPC status is made of.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::InUse { .. } | Self::Busy { .. } => ErrorKind::InUse,
            Self::Invalid { .. }
            | Self::Unfit { .. }
            | Self::Ambiguous { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. } => ErrorKind::InvalidInput,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Driver(error) => error.kind,
            Self::Cancelled { .. } => ErrorKind::System,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Database { source, .. } => database_kind(source),
            Self::Source { source, .. } => source_kind(source),
            Self::Io { source, .. } | Self::Output { source, .. } => ErrorKind::of(source),
        }
    }

    /// Makes the error of a file operation, for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        operation: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { operation, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// Makes the error of a database operation, for `map_err`.
    pub(crate) fn database(operation: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Database { operation, source }
    }

    /// The error as a driver passes it on, where it comes out of a callback.
    pub(crate) fn into_driver_error(self, operation: &'static str) -> DriverError {
        match self {
            Self::Driver(error) => error,
            other => DriverError::new(other.kind(), operation, other),
        }
    }
}

fn database_kind(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ErrorKind::NoSpace,
        // The index of the write-ahead log cannot be made larger.
        Some(ErrorCode::SystemIoFailure) if is_index_without_space(error) => ErrorKind::NoSpace,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::InUse,
        // Nobody else interrupts: its pages lead to each other (`limit_steps`).
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::OperationInterrupted) => {
            ErrorKind::Corrupt
        }
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => ErrorKind::PermissionDenied,
        None if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => ErrorKind::Corrupt,
        _ => ErrorKind::System,
    }
}

fn is_index_without_space(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

fn source_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::InvalidInput,
        _ => ErrorKind::of(error),
    }
}
