//! Columns to values and back. What was stored is never trusted: a value that does not parse is an error.

use std::error::Error;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rusqlite::Row;
use rusqlite::types::Type;

/// A text column, parsed.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    row.get_ref(column)?
        .as_str()?
        .parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// A text column that may be null, parsed.
pub(super) fn parsed_or_null<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => parsed(row, column).map(Some),
    }
}

/// A count column.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A time column: nanoseconds since 1970.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<SystemTime> {
    count(row, column).map(|nanoseconds| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds))
}

/// A count as stored; sizes of 8 EiB and more are none.
pub(super) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A time as stored; clocks set before 1970 count as 1970.
pub(super) fn stored_time(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
