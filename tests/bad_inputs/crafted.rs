//! Tars that no writer would write: any header with any bytes in any field.

use std::ops::Range;

pub const BLOCK: usize = 512;

pub const NAME: Range<usize> = 0..100;
pub const MODE: Range<usize> = 100..108;
pub const UID: Range<usize> = 108..116;
pub const GID: Range<usize> = 116..124;
pub const SIZE: Range<usize> = 124..136;
pub const CHECKSUM: Range<usize> = 148..156;
pub const TYPEFLAG: usize = 156;
pub const LINK_TARGET: Range<usize> = 157..257;
pub const MAGIC: Range<usize> = 257..265;
pub const MAJOR: Range<usize> = 329..337;
pub const MINOR: Range<usize> = 337..345;
pub const PREFIX: Range<usize> = 345..500;

/// One header block; its checksum is right unless it is spoilt on purpose.
#[derive(Clone)]
pub struct Header([u8; BLOCK]);

impl Header {
    /// A ustar header of mode 0644, root's, from the epoch, with no size. Long names are cut.
    pub fn new(typeflag: u8, name: &str) -> Self {
        let mut header = Self([0; BLOCK]);
        header.0[TYPEFLAG] = typeflag;
        header.0[MAGIC].copy_from_slice(b"ustar\x0000");
        header.put(NAME, name.as_bytes()).octal(MODE, 0o644).octal(UID, 0).octal(GID, 0).octal(SIZE, 0);
        header.octal(136..148, 0).octal(MAJOR, 0).octal(MINOR, 0);
        header
    }

    /// Puts bytes at the start of a field and zeros after them.
    pub fn put(&mut self, field: Range<usize>, bytes: &[u8]) -> &mut Self {
        self.0[field.clone()].fill(0);
        let length = bytes.len().min(field.len());
        self.0[field.start..field.start + length].copy_from_slice(&bytes[..length]);
        self
    }

    pub fn octal(&mut self, field: Range<usize>, value: u64) -> &mut Self {
        let text = format!("{value:0width$o}", width = field.len() - 1);
        self.put(field, text.as_bytes())
    }

    /// Base-256: two's complement, big-endian, the highest bit set.
    pub fn base_256(&mut self, field: Range<usize>, value: i128) -> &mut Self {
        let bytes = value.to_be_bytes();
        let length = field.len().min(bytes.len());
        let sign = if value < 0 { 0xff } else { 0 };
        self.0[field.clone()].fill(sign);
        self.0[field.end - length..field.end].copy_from_slice(&bytes[bytes.len() - length..]);
        self.0[field.start] |= 0x80;
        self
    }

    pub fn link_to(&mut self, target: &str) -> &mut Self {
        self.put(LINK_TARGET, target.as_bytes())
    }

    /// GNU's own magic.
    pub fn gnu(&mut self) -> &mut Self {
        self.put(MAGIC, b"ustar  \0")
    }

    pub fn block(&self) -> [u8; BLOCK] {
        let mut block = self.0;
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// A tar under construction.
#[derive(Clone, Default)]
pub struct Crafted(Vec<u8>);

impl Crafted {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A header and what follows it, filled up to whole blocks; the header's size is left as it is.
    pub fn entry(self, header: &Header, payload: &[u8]) -> Self {
        let filled = payload.len().next_multiple_of(BLOCK);
        let mut tar = self.raw(&header.block()).raw(payload);
        tar.0.resize(tar.0.len() + filled - payload.len(), 0);
        tar
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.file_with(name, content, |header| header)
    }

    /// A file whose header is changed at last.
    pub fn file_with(
        self,
        name: &str,
        content: &[u8],
        change: impl FnOnce(&mut Header) -> &mut Header,
    ) -> Self {
        let mut header = Header::new(b'0', name);
        header.octal(SIZE, content.len() as u64);
        change(&mut header);
        self.entry(&header, content)
    }

    pub fn folder(self, name: &str, mode: u64) -> Self {
        self.entry(Header::new(b'5', name).octal(MODE, mode), b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(Header::new(b'2', name).octal(MODE, 0o777).link_to(target), b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(Header::new(b'1', name).link_to(target), b"")
    }

    /// A character (`3`) or block (`4`) device.
    pub fn device(self, typeflag: u8, name: &str, numbers: (u64, u64)) -> Self {
        self.entry(Header::new(typeflag, name).octal(MAJOR, numbers.0).octal(MINOR, numbers.1), b"")
    }

    /// A PAX header for the entry that comes next.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut block = Vec::new();
        for (key, value) in records {
            put_record(&mut block, key, value);
        }
        self.extension(b'x', &block)
    }

    /// An extension header of any kind with its data: `x`, `g`, `L`, `K`.
    pub fn extension(self, typeflag: u8, data: &[u8]) -> Self {
        let mut header = Header::new(typeflag, "extension");
        header.octal(SIZE, data.len() as u64);
        if typeflag.is_ascii_uppercase() {
            header.gnu();
        }
        self.entry(&header, data)
    }

    /// The tar as it is, without an end.
    pub fn cut(self) -> Vec<u8> {
        self.0
    }

    /// The tar with its end: two blocks of zeros.
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 2 * BLOCK]).0
    }
}

/// `length key=value\n`, where the length counts itself.
fn put_record(block: &mut Vec<u8>, key: &str, value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let length = (body + 1..body + 20).find(|length| body + length.to_string().len() == *length).unwrap();
    block.extend_from_slice(format!("{length} {key}=").as_bytes());
    block.extend_from_slice(value);
    block.push(b'\n');
}
