//! Tar headers as bytes, written without Plywood's own writer.

use std::ops::Range;

pub const BLOCK: usize = 512;
pub const NAME: Range<usize> = 0..100;
pub const MODE: Range<usize> = 100..108;
pub const UID: Range<usize> = 108..116;
pub const GID: Range<usize> = 116..124;
pub const SIZE: Range<usize> = 124..136;
pub const MODIFIED: Range<usize> = 136..148;
pub const CHECKSUM: Range<usize> = 148..156;
pub const TYPEFLAG: usize = 156;
pub const LINK_TARGET: Range<usize> = 157..257;
pub const MAGIC: Range<usize> = 257..265;
pub const MAJOR: Range<usize> = 329..337;
pub const MINOR: Range<usize> = 337..345;
pub const PREFIX: Range<usize> = 345..500;

/// A header block under construction.
#[derive(Clone)]
pub struct Header([u8; BLOCK]);

impl Header {
    /// A ustar header with these names and no numbers; names that are too long are cut.
    pub fn new(typeflag: u8, name: &[u8]) -> Self {
        let mut header = Self([0; BLOCK]);
        header.0[TYPEFLAG] = typeflag;
        header.put(NAME, name).put(MAGIC, b"ustar\x0000");
        for field in [MODE, UID, GID, SIZE, MODIFIED, MAJOR, MINOR] {
            header.octal(field, 0);
        }
        header
    }

    pub fn gnu(&mut self) -> &mut Self {
        self.put(MAGIC, b"ustar  \0").put(PREFIX, b"")
    }

    /// Puts bytes at the start of a field and zeros after them.
    pub fn put(&mut self, field: Range<usize>, bytes: &[u8]) -> &mut Self {
        let length = bytes.len().min(field.len());
        self.0[field.clone()].fill(0);
        self.0[field.start..field.start + length].copy_from_slice(&bytes[..length]);
        self
    }

    pub fn octal(&mut self, field: Range<usize>, value: u64) -> &mut Self {
        let text = format!("{value:0digits$o}", digits = field.len() - 1);
        self.put(field, text.as_bytes())
    }

    /// Base-256: two's complement, big-endian, the highest bit set.
    pub fn base_256(&mut self, field: Range<usize>, value: i64) -> &mut Self {
        let bytes = i128::from(value).to_be_bytes();
        let length = field.len();
        self.0[field.clone()].copy_from_slice(&bytes[bytes.len() - length..]);
        self.0[field.start] |= 0x80;
        self
    }

    /// Octal where the field holds it, else base-256.
    pub fn number(&mut self, field: Range<usize>, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(small) if small < 1 << (3 * (field.len() - 1)) => self.octal(field, small),
            _ => self.base_256(field, value),
        }
    }

    /// The block with its checksum.
    pub fn block(&self) -> [u8; BLOCK] {
        let mut block = self.0;
        put_checksum(&mut block);
        block
    }
}

/// Puts the checksum that the block's bytes have.
pub fn put_checksum(block: &mut [u8]) {
    block[CHECKSUM].fill(b' ');
    let sum: u32 = block[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Fills the last block with zeros.
pub fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(BLOCK), 0);
    padded
}

/// A PAX record: its length, which counts itself, key and value.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let length = (body + 1..body + 9).find(|length| body + length.to_string().len() == *length).unwrap();
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

/// An extension header (`x`, `g`, `L`, `K`) with its data.
pub fn extension(typeflag: u8, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new(typeflag, b"././@Extension");
    header.octal(SIZE, data.len() as u64);
    if matches!(typeflag, b'L' | b'K') {
        header.gnu();
    }
    [&header.block()[..], &padded(data)].concat()
}
