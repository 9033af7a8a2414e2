//! Exit codes: the one place.

use std::process::ExitCode;

use plywood::{DriverError, ErrorKind, GraphError, ImageError, OpenError};

use crate::config::ConfigError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Done, and the answer is no: `check` found damage.
    No,
    /// What was named is not there.
    NotFound,
    /// The command line or the configuration makes no sense (`EX_USAGE`, sysexits.h).
    Usage,
    /// Something is in use; trying later may help (`EX_TEMPFAIL`).
    InUse,
    /// The caller lacks the privilege (`EX_NOPERM`).
    NoPrivilege,
    /// Any other failure, as podman and docker have it.
    Other,
}

/// A command line that clap takes and the command does not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Something named in a command that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Absent(pub(crate) String);

/// One of several things that a command was to do failed; its error was shown by then.
#[derive(Debug, thiserror::Error)]
#[error("not everything was done")]
pub(crate) struct AlreadyShown(pub(crate) Exit);

impl Exit {
    /// The code of an error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        // The outermost error that has a kind decides: it knows what its sources mean.
        error.chain().find_map(Self::of_one).unwrap_or(Self::Other)
    }

    fn of_one(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(AlreadyShown(exit)) = error.downcast_ref() {
            return Some(*exit);
        }
        if error.is::<UsageError>() || error.is::<ConfigError>() {
            return Some(Self::Usage);
        }
        if error.is::<Absent>() {
            return Some(Self::NotFound);
        }
        // Who chose the driver or the folder can choose again.
        if let Some(OpenError::NoHome | OpenError::OtherDriver { .. }) = error.downcast_ref() {
            return Some(Self::Usage);
        }
        None.or_else(|| error.downcast_ref().map(OpenError::kind))
            .or_else(|| error.downcast_ref().map(GraphError::kind))
            .or_else(|| error.downcast_ref().map(ImageError::kind))
            .or_else(|| error.downcast_ref().map(|error: &DriverError| error.kind))
            .or_else(|| error.downcast_ref().map(ErrorKind::of))
            .map(Self::from)
    }

    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::NotFound => 2,
            Self::Usage => 64,
            Self::InUse => 75,
            Self::NoPrivilege => 77,
            Self::Other => 125,
        }
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::InUse => Self::InUse,
            ErrorKind::PermissionDenied => Self::NoPrivilege,
            _ => Self::Other,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_kind_of_an_error_decides_however_deep_it_is() {
        let absent = || GraphError::NotFound { what: "image", query: "x".to_owned() };
        let denied = || DriverError::new(ErrorKind::PermissionDenied, "mount", "no");
        let table: [(anyhow::Error, u8); 7] = [
            (absent().into(), 2),
            (anyhow::Error::from(absent()).context("while looking"), 2),
            (ImageError::Graph(absent()).into(), 2),
            (GraphError::from(denied()).into(), 77),
            (OpenError::NoHome.into(), 64),
            (AlreadyShown(Exit::InUse).into(), 75),
            (anyhow::anyhow!("anything else"), 125),
        ];
        for (error, code) in table {
            assert_eq!(Exit::of(&error).code(), code, "{error:#}");
        }
        let system: anyhow::Result<()> =
            Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied)).context("open");
        assert_eq!(system.map_err(|error| Exit::of(&error)), Err(Exit::NoPrivilege));
    }
}
