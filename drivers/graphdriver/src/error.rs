//! The one error of every driver.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::LayerId;

/// The answer of a driver's operation.
pub type DriverResult<T> = Result<T, DriverError>;

/// What sort of failure it was. Each maps once to an exit code and once to a gRPC status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The layer, or something it needs, is not there.
    NotFound,
    /// The layer is there already.
    AlreadyExists,
    /// The layer is mounted, or otherwise in use.
    InUse,
    /// The input is malformed or tries what it must not.
    InvalidInput,
    /// A configured limit was passed.
    LimitExceeded,
    /// This machine, kernel or file system cannot do it.
    Unsupported,
    /// The caller lacks the privilege.
    PermissionDenied,
    /// No space or no inodes are left.
    NoSpace,
    /// What is stored is damaged.
    Corrupt,
    /// Any other failure of the system.
    System,
}

/// A failed driver operation: what was tried, on which layer and path, and why it failed.
#[derive(Debug)]
pub struct DriverError {
    /// What sort of failure it was.
    pub kind: ErrorKind,
    /// What was tried, as a verb phrase: `apply`, `mount overlay`.
    pub operation: &'static str,
    /// The layer it was tried on.
    pub layer: Option<LayerId>,
    /// The file or folder it failed on: in the layer, or on the host.
    pub path: Option<PathBuf>,
    /// The reason.
    pub source: Box<dyn Error + Send + Sync>,
}

impl DriverError {
    /// Makes an error with the kind given.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, operation, layer: None, path: None, source: source.into() }
    }

    /// Makes an error out of one of the system, whose code decides the kind.
    pub fn system(operation: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        Self::new(ErrorKind::of(&source), operation, source)
    }

    /// Adds the layer, unless one is named already.
    #[must_use]
    pub fn on(mut self, layer: &LayerId) -> Self {
        self.layer.get_or_insert_with(|| layer.clone());
        self
    }

    /// Adds the path, unless one is named already.
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path.get_or_insert_with(|| path.as_ref().to_owned());
        self
    }
}

impl ErrorKind {
    /// The kind that an error of the system stands for.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::AlreadyExists,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::ResourceBusy => Self::InUse,
            io::ErrorKind::Unsupported => Self::Unsupported,
            _ => Self::System,
        }
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.operation)?;
        if let Some(layer) = &self.layer {
            write!(formatter, ": layer {}", layer.short())?;
        }
        if let Some(path) = &self.path {
            write!(formatter, ": {}", path.to_string_lossy().escape_debug())?;
        }
        Ok(())
    }
}

impl Error for DriverError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
