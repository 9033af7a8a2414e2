//! One 512-byte header block, read and written.

use super::{BLOCK_BYTES, TarErrorKind, number};

/// Where each field lies, the same in v7, ustar and GNU headers.
mod field {
    use std::ops::Range;

    pub const NAME: Range<usize> = 0..100;
    pub const MODE: Range<usize> = 100..108;
    pub const UID: Range<usize> = 108..116;
    pub const GID: Range<usize> = 116..124;
    pub const SIZE: Range<usize> = 124..136;
    pub const MODIFIED: Range<usize> = 136..148;
    pub const CHECKSUM: Range<usize> = 148..156;
    pub const TYPEFLAG: usize = 156;
    pub const LINK_TARGET: Range<usize> = 157..257;
    pub const MAGIC_AND_VERSION: Range<usize> = 257..265;
    pub const MAJOR: Range<usize> = 329..337;
    pub const MINOR: Range<usize> = 337..345;
    pub const PREFIX: Range<usize> = 345..500;
    /// The prefix as the star archiver has it: times follow within what is the prefix elsewhere.
    pub const STAR_PREFIX: Range<usize> = 345..476;
    pub const STAR_TRAILER: Range<usize> = 508..512;
}

/// The numbers that most writers put into octal fields of 7 and 11 digits are below these.
pub(super) const OCTAL_7: u64 = 0o777_7777;
pub(super) const OCTAL_11: u64 = 0o777_7777_7777;

/// Which dialect a header's magic announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// No magic: no prefix, no devices beyond what the old fields hold.
    V7,
    /// POSIX, PAX included.
    Ustar,
    /// POSIX-like with a shorter prefix.
    Star,
    /// GNU: other fields where POSIX has the prefix.
    Gnu,
}

/// A header block whose checksum was found right.
pub(super) struct Header {
    block: [u8; BLOCK_BYTES],
}

impl Header {
    /// Checks the block's checksum, which is the sum of its bytes, signed or unsigned, its own field as spaces.
    pub(super) fn checked(block: &[u8; BLOCK_BYTES]) -> Result<Self, TarErrorKind> {
        let recorded =
            number::unsigned(&block[field::CHECKSUM], "checksum").map_err(|_| TarErrorKind::Checksum)?;
        let (unsigned, signed) = sums(block);
        if u64::from(unsigned) != recorded && i64::from(signed) != i64::try_from(recorded).unwrap_or(-1) {
            return Err(TarErrorKind::Checksum);
        }
        Ok(Self { block: *block })
    }

    pub(super) fn block(&self) -> &[u8; BLOCK_BYTES] {
        &self.block
    }

    pub(super) fn typeflag(&self) -> u8 {
        self.block[field::TYPEFLAG]
    }

    pub(super) fn dialect(&self) -> Dialect {
        let magic = &self.block[field::MAGIC_AND_VERSION];
        if magic == b"ustar  \0" {
            Dialect::Gnu
        } else if !magic.starts_with(b"ustar\0") {
            Dialect::V7
        } else if &self.block[field::STAR_TRAILER] == b"tar\0" {
            Dialect::Star
        } else {
            Dialect::Ustar
        }
    }

    /// Gives prefix and name joined.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.block[field::NAME]);
        let prefix = match self.dialect() {
            Dialect::V7 | Dialect::Gnu => &[],
            Dialect::Ustar => until_nul(&self.block[field::PREFIX]),
            Dialect::Star => until_nul(&self.block[field::STAR_PREFIX]),
        };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    /// Whether the header has the whole mark of POSIX or of GNU tar, version included.
    pub(super) fn is_marked(&self) -> bool {
        matches!(&self.block[field::MAGIC_AND_VERSION], b"ustar\x0000" | b"ustar  \0")
    }

    /// Refuses an unmarked header that has something where the mark would make it a prefix: Python obeys it all the same, and the
    /// `tar` crate looks at the version, too. Archives of the oldest writers have zeros there.
    pub(super) fn check_prefix(&self) -> Result<(), TarErrorKind> {
        if !self.is_marked() && self.block[field::PREFIX.start] != 0 {
            return Err(TarErrorKind::Name {
                field: "prefix",
                reason: "stands in a header not marked as ustar",
            });
        }
        Ok(())
    }

    pub(super) fn link_target(&self) -> &[u8] {
        until_nul(&self.block[field::LINK_TARGET])
    }

    pub(super) fn mode(&self) -> Result<u32, TarErrorKind> {
        let mode = number::unsigned(&self.block[field::MODE], "mode")?;
        // Some writers include the file type's bits; the mask leaves 12 bits.
        Ok(u32::try_from(mode & 0o7777).unwrap_or_default())
    }

    pub(super) fn uid(&self) -> Result<u32, TarErrorKind> {
        number::owner(number::unsigned(&self.block[field::UID], "uid")?, "uid")
    }

    pub(super) fn gid(&self) -> Result<u32, TarErrorKind> {
        number::owner(number::unsigned(&self.block[field::GID], "gid")?, "gid")
    }

    pub(super) fn size(&self) -> Result<u64, TarErrorKind> {
        number::unsigned(&self.block[field::SIZE], "size")
    }

    pub(super) fn modified_seconds(&self) -> Result<i64, TarErrorKind> {
        number::signed(&self.block[field::MODIFIED], "mtime")
    }

    /// Gives major and minor, which must be numbers that Linux can express.
    pub(super) fn device(&self) -> Result<(u32, u32), TarErrorKind> {
        let major = number::unsigned(&self.block[field::MAJOR], "device major number")?;
        let minor = number::unsigned(&self.block[field::MINOR], "device minor number")?;
        checked_device(major, minor)
    }
}

/// Linux has 12 bits of major and 20 bits of minor number; more would be cut to another device.
pub(super) fn checked_device(major: u64, minor: u64) -> Result<(u32, u32), TarErrorKind> {
    let narrow = |value: u64, bits: u32, field| match u32::try_from(value) {
        Ok(value) if value >> bits == 0 => Ok(value),
        _ => Err(TarErrorKind::Number { field, reason: "too large" }),
    };
    Ok((narrow(major, 12, "device major number")?, narrow(minor, 20, "device minor number")?))
}

/// Sums the block's bytes taken as unsigned (POSIX) and as signed (old writers).
fn sums(block: &[u8; BLOCK_BYTES]) -> (u32, i32) {
    let mut unsigned: u32 = 0;
    let mut high: u32 = 0;
    for byte in block {
        unsigned += u32::from(*byte);
        high += u32::from(byte >> 7);
    }
    for byte in &block[field::CHECKSUM] {
        unsigned = unsigned + u32::from(b' ') - u32::from(*byte);
        high -= u32::from(byte >> 7);
    }
    // 512 bytes of 255 fit 18 bits: the conversion is exact.
    (unsigned, unsigned.cast_signed() - 256 * high.cast_signed())
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The fields of a ustar header to be written; numbers are clamped to what their field holds.
pub(super) struct Fields<'a> {
    pub(super) name: &'a [u8],
    pub(super) prefix: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) modified_seconds: i64,
    pub(super) typeflag: u8,
    pub(super) link_target: &'a [u8],
    pub(super) device: (u32, u32),
}

impl Fields<'_> {
    /// Writes the block, checksum included. Names longer than their field are cut.
    pub(super) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        put_text(&mut block[field::NAME], self.name);
        put_octal(&mut block[field::MODE], u64::from(self.mode & 0o7777));
        put_octal(&mut block[field::UID], u64::from(self.uid).min(OCTAL_7));
        put_octal(&mut block[field::GID], u64::from(self.gid).min(OCTAL_7));
        put_octal(&mut block[field::SIZE], self.size.min(OCTAL_11));
        let modified = u64::try_from(self.modified_seconds).unwrap_or(0).min(OCTAL_11);
        put_octal(&mut block[field::MODIFIED], modified);
        block[field::TYPEFLAG] = self.typeflag;
        put_text(&mut block[field::LINK_TARGET], self.link_target);
        block[field::MAGIC_AND_VERSION].copy_from_slice(b"ustar\x0000");
        put_octal(&mut block[field::MAJOR], u64::from(self.device.0));
        put_octal(&mut block[field::MINOR], u64::from(self.device.1));
        put_text(&mut block[field::PREFIX], self.prefix);
        let (checksum, _) = sums(&block);
        // Six digits, NUL, space: what every writer since v7 does.
        put_octal(&mut block[field::CHECKSUM.start..field::CHECKSUM.end - 1], u64::from(checksum));
        block[field::CHECKSUM.end - 1] = b' ';
        block
    }
}

fn put_text(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

/// Writes octal digits with leading zeros and a NUL.
fn put_octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' | u8::try_from(value & 7).unwrap_or_default();
        value >>= 3;
    }
}

/// Splits a path into ustar's prefix and name; `None` where it does not fit.
pub(super) fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= field::NAME.len() {
        return Some((&[], path));
    }
    // The first slash that leaves a short enough name; later ones only lengthen the prefix.
    let first = path.len() - field::NAME.len() - 1;
    let slash = first + path[first..].iter().position(|byte| *byte == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (!prefix.is_empty() && prefix.len() <= field::PREFIX.len() && !name.is_empty()).then_some((prefix, name))
}

/// The longest link target that fits a header.
pub(super) const LINK_TARGET_BYTES: usize = 100;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn sample(name: &[u8]) -> [u8; BLOCK_BYTES] {
        let fields = Fields {
            name,
            prefix: b"",
            mode: 0o644,
            uid: 1,
            gid: 2,
            size: 3,
            modified_seconds: 4,
            typeflag: b'0',
            link_target: b"",
            device: (0, 0),
        };
        fields.encode()
    }

    #[test]
    fn accepts_both_checksums_and_no_other() {
        assert!(Header::checked(&sample(b"plain")).is_ok());
        let mut block = sample(b"h\xc3\xa9");
        let (_, signed) = sums(&block);
        put_octal(&mut block[148..155], u64::try_from(signed).unwrap());
        assert!(Header::checked(&block).is_ok());
        block[0] ^= 1;
        assert!(matches!(Header::checked(&block), Err(TarErrorKind::Checksum)));
    }

    #[test]
    fn splits_only_where_the_halves_fit_and_join_again() {
        let long = |left: usize, right: usize| [vec![b'a'; left], b"/".to_vec(), vec![b'b'; right]].concat();
        for path in [long(155, 100), long(1, 100), long(100, 1)] {
            let (prefix, name) = split_path(&path).unwrap();
            assert_eq!([prefix, b"/", name].concat(), path);
        }
        for path in [long(156, 100), long(0, 100), long(10, 101), long(120, 0), vec![b'a'; 101]] {
            assert!(split_path(&path).is_none(), "{}", path.escape_ascii());
        }
        assert_eq!(split_path(&[b'a'; 100]).unwrap(), (&[][..], &[b'a'; 100][..]));
    }
}
