//! Why a store could not be opened.

use std::io;
use std::path::PathBuf;

use plywood_graph::GraphError;
use plywood_graphdriver::{DriverError, ErrorKind};

/// A store that could not be opened. The message does not repeat its source; print the whole chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing says where the store is to be.
    #[error(
        "there is no home folder to keep a store in: set HOME or XDG_DATA_HOME, or name the store's folder"
    )]
    NoHome,
    /// There is no store, and none was to be made.
    #[error("there is no store at {}", root.display())]
    NoStore {
        /// The folder that was named.
        root: PathBuf,
    },
    /// The store's folder could not be made or looked at.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried, as a verb: `make`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The store was made with another driver.
    #[error(
        "the store {} was made with the driver {recorded}, and cannot be opened with {chosen}: leave the driver \
         away, or take another folder",
        root.display()
    )]
    OtherDriver {
        /// The store's folder.
        root: PathBuf,
        /// The driver that it was made with.
        recorded: String,
        /// The driver that was asked for.
        chosen: &'static str,
    },
    /// The store was made with a driver that this program does not have.
    #[error("the store {} was made with the driver {recorded}, which this program does not have", root.display())]
    ForeignDriver {
        /// The store's folder.
        root: PathBuf,
        /// The driver that it was made with.
        recorded: String,
    },
    /// The driver does not work here.
    #[error("the driver {name} cannot be used")]
    Driver {
        /// The driver.
        name: &'static str,
        /// Its reason.
        #[source]
        source: DriverError,
    },
    /// The store's records could not be opened.
    #[error("open store {}", root.display())]
    Store {
        /// The store's folder.
        root: PathBuf,
        /// The reason.
        #[source]
        source: GraphError,
    },
}

impl OpenError {
    /// What sort of failure it is, in the drivers' own terms.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoHome | Self::OtherDriver { .. } => ErrorKind::InvalidInput,
            Self::NoStore { .. } => ErrorKind::NotFound,
            Self::Io { source, .. } => ErrorKind::of(source),
            Self::ForeignDriver { .. } => ErrorKind::Unsupported,
            Self::Driver { source, .. } => source.kind,
            Self::Store { source, .. } => source.kind(),
        }
    }
}
