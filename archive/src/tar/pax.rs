//! PAX records: `length key=value\n`.

use super::TarErrorKind;
use super::entry::{Timestamp, Xattrs};
use super::number;
use super::sparse::SparseRecords;

/// What PAX records say about an entry. Records that Plywood has no use for are dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) modified: Option<Timestamp>,
    /// `SCHILY.xattr.` records in order, repetitions included.
    pub(super) xattrs: Xattrs,
    /// How many of `xattrs` come from global records.
    pub(super) inherited_xattrs: usize,
    /// `LIBARCHIVE.xattr.` records in order, still encoded.
    pub(super) encoded_xattrs: Xattrs,
    pub(super) sparse: SparseRecords,
}

const XATTR: &[u8] = b"SCHILY.xattr.";
const ENCODED_XATTR: &[u8] = b"LIBARCHIVE.xattr.";

impl Attributes {
    /// Applies the records of an `x` header; an empty value takes back what a global record said.
    pub(super) fn apply(&mut self, records: &[u8]) -> Result<(), TarErrorKind> {
        self.inherited_xattrs = self.xattrs.len();
        for record in Records(records) {
            let (key, value) = record?;
            self.apply_one(key, value)?;
        }
        self.sparse.check_complete()
    }

    /// Applies the records of a `g` header. What would rename or resize every later entry is refused: Go's reader
    /// passes over global records, others obey them, and the two would see different archives.
    pub(super) fn apply_global(&mut self, records: &[u8]) -> Result<(), TarErrorKind> {
        for record in Records(records) {
            let (key, value) = record?;
            if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
                return Err(TarErrorKind::Pax { reason: "a global record names or sizes entries" });
            }
            if let Some(name) = key.strip_prefix(XATTR) {
                self.xattrs.retain(|(known, _)| known != name);
            }
            self.apply_one(key, value)?;
        }
        // Few lines read these anyway, and none from a global header.
        self.encoded_xattrs.clear();
        Ok(())
    }

    fn apply_one(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarErrorKind> {
        match key {
            b"path" => self.path = name(value, "PAX path")?,
            b"linkpath" => self.link_target = name(value, "PAX linkpath")?,
            b"size" => self.size = optional(value, size)?,
            b"uid" => self.uid = optional(value, |value| owner(value, "PAX uid"))?,
            b"gid" => self.gid = optional(value, |value| owner(value, "PAX gid"))?,
            b"mtime" => self.modified = optional(value, |value| number::time(value, "PAX mtime"))?,
            _ => self.apply_prefixed(key, value)?,
        }
        Ok(())
    }

    fn apply_prefixed(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarErrorKind> {
        if let Some(name) = key.strip_prefix(XATTR) {
            self.xattrs.push((xattr_name(name)?, value.to_vec()));
        } else if let Some(name) = key.strip_prefix(ENCODED_XATTR) {
            self.encoded_xattrs.push((xattr_name(name)?, value.to_vec()));
        } else if let Some(rest) = key.strip_prefix(b"GNU.sparse.") {
            self.sparse.apply(rest, value)?;
        }
        Ok(())
    }

    /// Counts the bytes that are held, to bound what global records pile up.
    pub(super) fn held_bytes(&self) -> usize {
        self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

fn size(value: &[u8]) -> Result<u64, TarErrorKind> {
    number::size(number::decimal(value, "PAX size")?, "PAX size")
}

fn owner(value: &[u8], field: &'static str) -> Result<u32, TarErrorKind> {
    number::owner(number::decimal(value, field)?, field)
}

fn xattr_name(name: &[u8]) -> Result<Vec<u8>, TarErrorKind> {
    if name.is_empty() {
        return Err(TarErrorKind::Name { field: "extended attribute's name", reason: "is empty" });
    }
    Ok(name.to_vec())
}

fn optional<T>(
    value: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<T, TarErrorKind>,
) -> Result<Option<T>, TarErrorKind> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

pub(super) fn name(value: &[u8], field: &'static str) -> Result<Option<Vec<u8>>, TarErrorKind> {
    optional(value, |value| {
        if value.contains(&0) {
            return Err(TarErrorKind::Name { field, reason: "holds a NUL" });
        }
        Ok(value.to_vec())
    })
}

/// Iterates over the records of one header; ends after the first that is malformed.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), TarErrorKind>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split_record(self.0);
        Some(match record {
            Ok((key, value, rest)) => {
                self.0 = rest;
                Ok((key, value))
            }
            Err(reason) => {
                self.0 = &[];
                Err(TarErrorKind::Pax { reason })
            }
        })
    }
}

type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits the first record into key and value, and gives what follows it.
fn split_record(bytes: &[u8]) -> Result<Record<'_>, &'static str> {
    // 20 digits hold every 64-bit length.
    let space = bytes.iter().take(21).position(|byte| *byte == b' ').ok_or("no length")?;
    if bytes[0] == b'0' {
        return Err("a length that starts with 0");
    }
    let length = number::decimal(&bytes[..space], "length").map_err(|_| "a length that is no number")?;
    let length = usize::try_from(length).map_err(|_| "a length past the end")?;
    if length <= space + 1 || length > bytes.len() {
        return Err("a length past the end or too short");
    }
    let (record, rest) = bytes.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n").ok_or("no newline where the length ends")?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or("no equals sign")?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return Err("an empty key or one with a NUL");
    }
    Ok((key, value, rest))
}

/// Appends a record to `block`.
pub(super) fn put_record(block: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    // The length counts its own digits.
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    block.extend_from_slice(length.to_string().as_bytes());
    block.push(b' ');
    block.extend_from_slice(key);
    block.push(b'=');
    block.extend_from_slice(value);
    block.push(b'\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn records_read_back_at_every_length() {
        for length in (0..1100).chain(9980..10_010) {
            let mut block = Vec::new();
            let value = vec![b'v'; length];
            put_record(&mut block, b"key", &value);
            put_record(&mut block, b"next", b"\n=\0");
            let records = Records(&block).collect::<Result<Vec<_>, _>>().unwrap();
            assert_eq!(records, [(&b"key"[..], &value[..]), (b"next", b"\n=\0")], "{length}");
        }
    }

    #[test]
    fn refuses_malformed_records() {
        let bad: [&[u8]; 14] = [
            b"x",
            b"6 a=b\n\0",
            b"06 a=b\n",
            b"7 a=b\n",
            b"5 a=b\n",
            b"6 a-b\n",
            b"5 =b\n",
            b"-6 a=b\n",
            b" 6 a=b\n",
            b"6  a=b\n",
            b"99999999999999999999999 a=b\n",
            b"18446744073709551615 a=b\n",
            b"0 \n",
            b"6 \0=b\n",
        ];
        for bytes in bad {
            assert!(Records(bytes).any(|record| record.is_err()), "{}", bytes.escape_ascii());
        }
        let reason = Attributes::default().apply(b"12 uid=-1234\n").unwrap_err();
        assert!(matches!(reason, TarErrorKind::Pax { .. } | TarErrorKind::Number { .. }));
    }
}
