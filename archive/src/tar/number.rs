//! Numbers as tar headers and PAX records write them.

use super::TarErrorKind;
use super::entry::Timestamp;

const NANOSECONDS: u32 = 1_000_000_000;

fn malformed(field: &'static str, reason: &'static str) -> TarErrorKind {
    TarErrorKind::Number { field, reason }
}

/// Reads a header field that may be negative: octal with spaces before it and spaces and NULs after it, or base-256. After
/// a NUL nothing counts for Python, and digits do for Go: there must be none.
pub(super) fn signed(bytes: &[u8], field: &'static str) -> Result<i64, TarErrorKind> {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return base_256(bytes, field);
    }
    let start = bytes.iter().position(|byte| *byte != b' ').unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(start, |last| last + 1);
    let mut value: i64 = 0;
    for byte in &bytes[start..end] {
        if !matches!(byte, b'0'..=b'7') {
            return Err(malformed(field, "not octal"));
        }
        // At most 12 digits of 3 bits: this cannot overflow.
        value = (value << 3) | i64::from(byte - b'0');
    }
    Ok(value)
}

/// Reads a header field that must not be negative.
pub(super) fn unsigned(bytes: &[u8], field: &'static str) -> Result<u64, TarErrorKind> {
    u64::try_from(signed(bytes, field)?).map_err(|_| malformed(field, "negative"))
}

/// Reads a two's complement big-endian number whose highest bit only marks the encoding.
fn base_256(bytes: &[u8], field: &'static str) -> Result<i64, TarErrorKind> {
    let negative = bytes[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (index, byte) in bytes.iter().enumerate() {
        // A positive number starts with the mark alone; in a negative one the mark is a sign bit like the others.
        let byte = if index == 0 && !negative { byte & 0x7f } else { *byte };
        value = (value << 8) | i128::from(byte);
        if i64::try_from(value).is_err() {
            return Err(malformed(field, "too large"));
        }
    }
    i64::try_from(value).map_err(|_| malformed(field, "too large"))
}

/// Narrows an owner's id; `u32::MAX` is left out, as system calls take it for "unchanged".
pub(super) fn owner(value: u64, field: &'static str) -> Result<u32, TarErrorKind> {
    match u32::try_from(value) {
        Ok(u32::MAX) | Err(_) => Err(malformed(field, "more than 32 bits, or the reserved id")),
        Ok(owner) => Ok(owner),
    }
}

/// Checks a size against the largest that a file can have.
pub(super) fn size(value: u64, field: &'static str) -> Result<u64, TarErrorKind> {
    if i64::try_from(value).is_err() {
        return Err(malformed(field, "2^63 or more"));
    }
    Ok(value)
}

/// Reads decimal digits, at least one and nothing else.
pub(super) fn decimal(bytes: &[u8], field: &'static str) -> Result<u64, TarErrorKind> {
    if bytes.is_empty() {
        return Err(malformed(field, "empty"));
    }
    let mut value: u64 = 0;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return Err(malformed(field, "not decimal"));
        }
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(byte - b'0')))
            .ok_or_else(|| malformed(field, "too large"))?;
    }
    Ok(value)
}

/// Reads a PAX time: decimal seconds with a sign and a fraction, digits past nanoseconds dropped.
pub(super) fn time(bytes: &[u8], field: &'static str) -> Result<Timestamp, TarErrorKind> {
    let (negative, magnitude) = match bytes.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let (whole, fraction) = match magnitude.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&magnitude[..dot], &magnitude[dot + 1..]),
        None => (magnitude, &magnitude[magnitude.len()..]),
    };
    let whole = i128::from(decimal(whole, field)?);
    let mut nanoseconds = 0;
    for index in 0..fraction.len().max(9) {
        let digit = fraction.get(index).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return Err(malformed(field, "not a decimal fraction"));
        }
        if index < 9 {
            nanoseconds = nanoseconds * 10 + u32::from(digit - b'0');
        }
    }
    // Seconds are rounded down: -1.25 is -2 and 750,000,000 nanoseconds.
    let (seconds, nanoseconds) = match (negative, nanoseconds) {
        (false, _) => (whole, nanoseconds),
        (true, 0) => (-whole, 0),
        (true, _) => (-whole - 1, NANOSECONDS - nanoseconds),
    };
    let seconds = i64::try_from(seconds).map_err(|_| malformed(field, "too large"))?;
    Ok(Timestamp { seconds, nanoseconds })
}

/// Writes what [`time`] reads, without needless digits.
pub(super) fn time_text(time: Timestamp) -> String {
    if time.nanoseconds == 0 {
        return time.seconds.to_string();
    }
    let (sign, whole, nanoseconds) = if time.seconds < 0 {
        ("-", (time.seconds + 1).unsigned_abs(), NANOSECONDS - time.nanoseconds)
    } else {
        ("", time.seconds.unsigned_abs(), time.nanoseconds)
    };
    let text = format!("{sign}{whole}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn octal_with_padding() {
        for text in [&b"0000644\0"[..], b"   644 \0", b"00000644", b" 644    "] {
            assert_eq!(unsigned(text, "mode").unwrap(), 0o644, "{text:?}");
        }
        for text in [b"        ", b"\0\0\0\0\0\0\0\0", b"  \0    \0"] {
            assert_eq!(unsigned(text, "mode").unwrap(), 0, "{text:?}");
        }
        for text in
            [&b"0000648\0"[..], b"64 4\0", b"-644\0", b"64\x004", b"0x1f\0", b"\0\x00644\0\0\0", b" \x00644"]
        {
            assert!(unsigned(text, "mode").is_err(), "{text:?}");
        }
    }

    #[test]
    fn base_256_in_range() {
        assert_eq!(signed(b"\x80\0\0\0\0\0\x01\x02", "size").unwrap(), 0x102);
        assert_eq!(signed(b"\xff\xff\xff\xff\xff\xff\xff\xfe", "mtime").unwrap(), -2);
        assert!(unsigned(b"\xff\xff\xff\xff\xff\xff\xff\xfe", "size").is_err());
        let largest = b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(signed(largest, "size").unwrap(), i64::MAX);
        assert!(signed(b"\x80\0\0\0\x80\0\0\0\0\0\0\0", "size").is_err());
        assert!(signed(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size").is_err());
        assert!(signed(b"\xc0\0\0\0\0\0\0\0\0\0\0\0", "mtime").is_err());
    }

    #[test]
    fn times_round_down_and_back() {
        let cases = [
            ("0", 0, 0),
            ("1700000000.5", 1_700_000_000, 500_000_000),
            ("-1.25", -2, 750_000_000),
            ("-0.000000001", -1, 999_999_999),
            ("-9223372036854775808", i64::MIN, 0),
            ("9223372036854775807.999999999", i64::MAX, 999_999_999),
        ];
        for (text, seconds, nanoseconds) in cases {
            let expected = Timestamp { seconds, nanoseconds };
            assert_eq!(time(text.as_bytes(), "mtime").unwrap(), expected, "{text}");
            assert_eq!(time_text(expected), text);
        }
        assert_eq!(time(b"1.0000000019", "mtime").unwrap(), Timestamp { seconds: 1, nanoseconds: 1 });
        for text in ["", "-", ".5", "1.5.5", "+1", "1e3", "9223372036854775808", "--1", "1. 5"] {
            assert!(time(text.as_bytes(), "mtime").is_err(), "{text}");
        }
    }

    #[test]
    fn owners_and_sizes_stay_in_range() {
        assert_eq!(owner(0xffff_fffe, "uid").unwrap(), 0xffff_fffe);
        assert!(owner(0xffff_ffff, "uid").is_err());
        assert!(owner(1 << 32, "uid").is_err());
        assert!(size(1 << 63, "size").is_err());
        assert!(decimal(b"18446744073709551616", "size").is_err());
        assert!(decimal(b"1 ", "size").is_err());
    }
}
