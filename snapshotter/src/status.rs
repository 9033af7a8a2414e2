//! Errors of the store as gRPC statuses: the one place.
//!
//! containerd acts on `NotFound`, `AlreadyExists`, `FailedPrecondition` and `InvalidArgument` (github.com/containerd/errdefs); the
//! others it passes on.

use std::error::Error;

use plywood_graph::GraphError;
use plywood_graphdriver::ErrorKind;
use tonic::{Code, Status};

/// The status of a failed operation. Its message is the whole chain of causes, because no sources cross the wire.
pub(crate) fn status(operation: &str, error: &GraphError) -> Status {
    Status::new(code(error), format!("{operation}: {}", chain(error)))
}

fn code(error: &GraphError) -> Code {
    match error {
        GraphError::Unfit { .. } => Code::FailedPrecondition,
        GraphError::Busy { .. } => Code::Unavailable,
        _ => code_of(error.kind()),
    }
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::InUse => Code::FailedPrecondition,
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::LimitExceeded => Code::OutOfRange,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::NoSpace => Code::ResourceExhausted,
        ErrorKind::Corrupt => Code::DataLoss,
        _ => Code::Internal,
    }
}

/// The messages of an error and its sources, each once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use plywood_graphdriver::DriverError;

    use super::*;

    #[test]
    fn containerd_gets_the_codes_that_it_acts_on() {
        let name = || "a".to_owned();
        let driver = |kind| GraphError::from(DriverError::new(kind, "snapshot", "no"));
        let table = [
            (GraphError::NotFound { what: "snapshot", query: name() }, Code::NotFound),
            (GraphError::AlreadyExists { what: "snapshot", name: name() }, Code::AlreadyExists),
            (GraphError::InUse { what: "snapshot", name: name(), by: vec![] }, Code::FailedPrecondition),
            (
                GraphError::Unfit { what: "snapshot", name: name(), reason: "is not active" },
                Code::FailedPrecondition,
            ),
            (GraphError::Invalid { operation: "make", reason: name() }, Code::InvalidArgument),
            (GraphError::Busy { operation: "commit", reason: name() }, Code::Unavailable),
            (driver(ErrorKind::NoSpace), Code::ResourceExhausted),
            (driver(ErrorKind::LimitExceeded), Code::OutOfRange),
            (driver(ErrorKind::Corrupt), Code::DataLoss),
        ];
        for (error, expected) in table {
            assert_eq!(status("remove", &error).code(), expected, "{error}");
        }
        let status = status("remove snapshot", &driver(ErrorKind::NoSpace));
        assert_eq!(status.message(), "remove snapshot: snapshot: no");
    }
}
