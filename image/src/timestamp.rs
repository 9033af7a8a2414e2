//! Times as images have them: RFC 3339.

use std::time::SystemTime;

use jiff::Timestamp;

/// Shows a time in UTC, with as many digits of a second as it has. Times beyond the year 9999 become the epoch:
/// no clock shows them.
pub(crate) fn show(time: SystemTime) -> String {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// Understands a time; `None` for anything that is none.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}
