//! Tar blocks made by hand, and reading a whole archive.

use plywood_archive::tar::{Entry, Limits, TarError, TarReader};

/// A header that a test can spoil before its checksum is put in.
pub struct Block(pub [u8; 512]);

impl Block {
    pub fn new(name: &[u8], typeflag: u8, size: u64) -> Self {
        let mut block = Self([0; 512]);
        block.0[..name.len()].copy_from_slice(name);
        block
            .octal(100, 8, 0o644)
            .octal(108, 8, 1000)
            .octal(116, 8, 1000)
            .octal(124, 12, size)
            .octal(136, 12, 7);
        block.0[156] = typeflag;
        block.0[257..265].copy_from_slice(b"ustar\x0000");
        block
    }

    pub fn octal(&mut self, offset: usize, width: usize, value: u64) -> &mut Self {
        let text = format!("{value:0digits$o}\0", digits = width - 1);
        self.bytes(offset, text.as_bytes())
    }

    pub fn bytes(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn finish(&mut self) -> Vec<u8> {
        self.bytes(148, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        self.bytes(148, text.as_bytes());
        self.0.to_vec()
    }
}

pub fn header(name: &[u8], typeflag: u8, size: u64) -> Vec<u8> {
    Block::new(name, typeflag, size).finish()
}

pub fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(512), 0);
    padded
}

pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let length = (body + 1..body + 9).find(|length| body + length.to_string().len() == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// An extension header with its data.
pub fn extension(typeflag: u8, data: &[u8]) -> Vec<u8> {
    [header(b"extension", typeflag, data.len() as u64), padded(data)].concat()
}

pub fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value.as_bytes())).collect();
    extension(b'x', &data)
}

pub fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    [header(name, b'0', content.len() as u64), padded(content)].concat()
}

pub fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

/// Reads all entries with their stored payloads.
pub fn read_all(bytes: &[u8], limits: Limits) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(bytes, limits, ());
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut payload = Vec::new();
        loop {
            let bytes = reader.payload()?;
            if bytes.is_empty() {
                break;
            }
            payload.extend_from_slice(bytes);
            let count = bytes.len();
            reader.consume(count);
        }
        assert_eq!(payload.len() as u64, reader.payload_bytes());
        assert_eq!(entry.payload_bytes(), reader.payload_bytes());
        all.push((entry, payload));
    }
    reader.finish()?;
    Ok(all)
}

pub fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    read_all(bytes, Limits::default())
}

/// A content as it is once unpacked, holes filled.
pub fn expanded(entry: &Entry, payload: &[u8]) -> Vec<u8> {
    let Some(segments) = &entry.sparse else {
        return payload.to_vec();
    };
    let mut content = vec![0; usize::try_from(entry.size_bytes).unwrap()];
    let mut rest = payload;
    for segment in segments {
        let (start, length) =
            (usize::try_from(segment.offset).unwrap(), usize::try_from(segment.length).unwrap());
        content[start..start + length].copy_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    content
}
