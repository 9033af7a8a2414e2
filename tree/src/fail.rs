//! Short ways to make the errors of this floor.

use std::io;

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind};

use crate::path;

/// Adds to an error of the system what was tried, and on which path of a layer.
pub(crate) trait Attempt<T> {
    /// `operation` is a verb phrase; `at` is relative to the layer's root.
    fn attempt(self, operation: &'static str, at: &[u8]) -> DriverResult<T>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempt(self, operation: &'static str, at: &[u8]) -> DriverResult<T> {
        self.map_err(|error| DriverError::system(operation, error).at(path::display(at)))
    }
}

/// An error for input that must not get through.
pub(crate) fn refuse(operation: &'static str, at: &[u8], reason: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::InvalidInput, operation, reason.into()).at(path::display(at))
}
