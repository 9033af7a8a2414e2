//! How sizes, times, ids and paths are shown.

use std::time::SystemTime;

use plywood::{Digest, Reference};
use serde_json::{Value, json};

/// Digits of an id that tables show.
const SHORT_DIGITS: usize = 12;

/// Bytes in decimal units, as docker and podman show them: `999B`, `1.23MB`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // What would round up to four digits belongs to the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{}", UNITS[unit])
}

/// How long ago it was, in the largest whole unit: `3 hours ago`.
pub(crate) fn age(now: SystemTime, then: SystemTime) -> String {
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    let units =
        [(31_536_000, "year"), (2_592_000, "month"), (604_800, "week"), (86_400, "day"), (3600, "hour")];
    let (count, unit) = units
        .into_iter()
        .chain([(60, "minute"), (1, "second")])
        .find(|(length, _)| seconds >= *length)
        .map_or((0, "second"), |(length, unit)| (seconds / length, unit));
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// A time as RFC 3339 has it, in UTC; nothing for one outside the years that it can say.
pub(crate) fn time(time: SystemTime) -> Value {
    jiff::Timestamp::try_from(time).map_or(Value::Null, |time| json!(time.to_string()))
}

/// The first digits of a digest.
pub(crate) fn short(digest: &Digest) -> String {
    digest.hex()[..SHORT_DIGITS].to_owned()
}

/// The first digits of an id.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..SHORT_DIGITS).unwrap_or(id)
}

/// An image's own name, for tables: the first of several, else its short id.
pub(crate) fn image_name(names: &[Reference], id: &Digest) -> String {
    names.first().map_or_else(|| short(id), ToString::to_string)
}

/// A path on one line: bytes that are no printable UTF-8, and backslashes, as `\xNN`.
pub(crate) fn path(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' || character.is_control() {
                let mut buffer = [0; 4];
                escape(&mut shown, character.encode_utf8(&mut buffer).as_bytes());
            } else {
                shown.push(character);
            }
        }
        escape(&mut shown, chunk.invalid());
    }
    shown
}

fn escape(shown: &mut String, bytes: &[u8]) {
    for byte in bytes {
        shown.push_str("\\x");
        for nibble in [byte >> 4, byte & 0xf] {
            shown.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sizes_have_three_digits() {
        let table = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (1_234_567, "1.23MB"),
            (12_345_678, "12.3MB"),
            (999_999, "1.00MB"),
            (123_456_789_012, "123GB"),
        ];
        for (bytes, shown) in table {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn ages_are_in_the_largest_unit() {
        let then = SystemTime::UNIX_EPOCH;
        for (seconds, shown) in
            [(0, "0 seconds ago"), (1, "1 second ago"), (7300, "2 hours ago"), (86_400, "1 day ago")]
        {
            assert_eq!(age(then + Duration::from_secs(seconds), then), shown);
        }
        assert_eq!(age(then, then + Duration::from_secs(9)), "0 seconds ago");
    }

    #[test]
    fn paths_stay_on_one_line() {
        assert_eq!(path(b"/a b/\xc3\xa4"), "/a b/\u{e4}");
        assert_eq!(path(b"/a\nb\\\xff\x1b"), r"/a\x0ab\x5c\xff\x1b");
    }
}
