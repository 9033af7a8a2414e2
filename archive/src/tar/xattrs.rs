//! Extended attributes: which of the records count, and how libarchive encodes what PAX keys cannot hold.

use std::collections::HashSet;

use super::TarErrorKind;
use super::entry::Xattrs;
use super::limits::Limits;
use super::pax::Attributes;

/// Gives the extended attributes, each name once, within limits. `LIBARCHIVE.xattr.` records count only where there
/// is no `SCHILY.xattr.` record: libarchive writes both, and Go and Docker read only the latter.
pub(super) fn resolve(attributes: &mut Attributes, limits: &Limits) -> Result<Xattrs, TarErrorKind> {
    let mut xattrs = std::mem::take(&mut attributes.xattrs);
    let mut inherited = attributes.inherited_xattrs;
    if xattrs.is_empty() && !attributes.encoded_xattrs.is_empty() {
        inherited = 0;
        for (name, value) in std::mem::take(&mut attributes.encoded_xattrs) {
            let malformed =
                || TarErrorKind::Pax { reason: "a LIBARCHIVE.xattr record is not encoded rightly" };
            let name = url_decoded(&name).filter(|name| !name.is_empty()).ok_or_else(malformed)?;
            xattrs.push((name, base64_decoded(&value).ok_or_else(malformed)?));
        }
    }
    if xattrs.len() > 1 || inherited > 0 {
        xattrs = each_once(xattrs, inherited);
    }
    check(&xattrs, limits)?;
    Ok(xattrs)
}

/// Keeps the last of each name; an empty value takes back a global record. Linear, as a header may hold 50,000.
fn each_once(xattrs: Xattrs, inherited: usize) -> Xattrs {
    let global: HashSet<Vec<u8>> = xattrs[..inherited].iter().map(|(name, _)| name.clone()).collect();
    let mut seen = HashSet::new();
    let mut kept: Xattrs = Vec::with_capacity(xattrs.len());
    for (index, (name, value)) in xattrs.into_iter().enumerate().rev() {
        let takes_back = value.is_empty() && index >= inherited && global.contains(&name);
        if seen.insert(name.clone()) && !takes_back {
            kept.push((name, value));
        }
    }
    kept.reverse();
    kept
}

fn check(xattrs: &Xattrs, limits: &Limits) -> Result<(), TarErrorKind> {
    let within = |bytes: usize, limit: usize, what| {
        if bytes > limit { Err(TarErrorKind::Limit { what, limit: limit as u64 }) } else { Ok(()) }
    };
    let mut sum = 0;
    for (name, value) in xattrs {
        if name.contains(&0) {
            return Err(TarErrorKind::Name { field: "extended attribute's name", reason: "holds a NUL" });
        }
        within(name.len(), limits.xattr_name_bytes, "bytes in an extended attribute's name")?;
        within(value.len(), limits.xattr_value_bytes, "bytes in an extended attribute's value")?;
        sum += name.len() + value.len();
    }
    within(sum, limits.xattr_entry_bytes, "bytes of extended attributes")
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes without padding, as libarchive does.
pub(super) fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..=group.len() {
            text.push(BASE64[(bits >> (18 - 6 * index)) as usize & 63]);
        }
    }
    text
}

/// Decodes with or without padding; `None` where the text is no base64.
fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    if text.len() - end > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(end * 3 / 4);
    for group in text[..end].chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let mut bits: u32 = 0;
        for index in 0..4 {
            let sextet = match group.get(index) {
                Some(letter) => BASE64.iter().position(|known| known == letter)?,
                None => 0,
            };
            bits = (bits << 6) | u32::try_from(sextet).ok()?;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

/// Encodes what a PAX key cannot hold, and the percent sign.
pub(super) fn url_encoded(name: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len());
    for byte in name {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'=') {
            text.push(*byte);
        } else {
            text.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    text
}

fn url_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |index: usize| char::from(*text.get(index)?).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut index = 0;
    while index < text.len() {
        if text[index] == b'%' {
            bytes.push(u8::try_from((digit(index + 1)? << 4) | digit(index + 2)?).ok()?);
            index += 3;
        } else {
            bytes.push(text[index]);
            index += 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn encodings_read_back() {
        for length in 0..64_u8 {
            let bytes: Vec<u8> = (0..length).map(|index| index.wrapping_mul(37) ^ length).collect();
            assert_eq!(base64_decoded(&base64(&bytes)).unwrap(), bytes);
            assert_eq!(url_decoded(&url_encoded(&bytes)).unwrap(), bytes);
        }
        assert_eq!(base64(b"any"), b"YW55");
        assert_eq!(base64_decoded(b"YQ==").unwrap(), b"a");
        assert!(base64_decoded(b"Y").is_none() && base64_decoded(b"Y!==").is_none());
        assert!(base64_decoded(b"YQ===").is_none() && url_decoded(b"a%2").is_none());
    }

    #[test]
    fn the_last_of_a_name_counts_and_empty_takes_back_what_is_global() {
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let all = vec![pair("g", "1"), pair("h", "2"), pair("g", ""), pair("a", "3"), pair("a", "")];
        assert_eq!(each_once(all, 2), [pair("h", "2"), pair("a", "")]);
    }
}
