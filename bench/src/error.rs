//! What goes wrong while measuring.

use std::io;
use std::path::{Path, PathBuf};

use plywood_graph::GraphError;

/// What goes wrong while measuring. The message does not repeat its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A file of a container or of the bench.
    #[error("{operation} {}", path.display())]
    File {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error("{operation}")]
    Store {
        /// What was tried, as a verb and its object.
        operation: &'static str,
        /// The reason.
        #[source]
        source: GraphError,
    },
    /// A driver that cannot be opened.
    #[error("open a store with {driver}")]
    Open {
        /// The driver.
        driver: String,
        /// Its reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No driver is left to measure.
    #[error("none of the drivers works here")]
    NoDriver,
    /// A report of another program, or of another version of this one.
    #[error("{} is no report that this program can compare with", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl BenchError {
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { operation, path: path.to_owned(), source }
    }

    pub(crate) fn store(operation: &'static str) -> impl FnOnce(GraphError) -> Self {
        move |source| Self::Store { operation, source }
    }
}
