//! The maps of sparse files, in the four ways GNU tar writes them.

use super::entry::Segment;
use super::{BLOCK_BYTES, TarErrorKind, number};

fn invalid(reason: &'static str) -> TarErrorKind {
    TarErrorKind::Sparse { reason }
}

/// A map that was checked.
#[derive(Debug)]
pub(super) struct Map {
    /// Ascending, apart, none empty, within `size_bytes`.
    pub(super) segments: Vec<Segment>,
    /// The size of the file with its holes.
    pub(super) size_bytes: u64,
    /// The sum of all segments.
    pub(super) stored_bytes: u64,
}

impl Map {
    /// Checks that segments ascend, do not overlap and stay within the size; drops empty ones, which GNU tar writes
    /// to mark a hole at the end.
    pub(super) fn checked(mut segments: Vec<Segment>, size_bytes: u64) -> Result<Self, TarErrorKind> {
        number::size(size_bytes, "size of a sparse file")?;
        let (mut end, mut stored_bytes) = (0, 0);
        for segment in &segments {
            if segment.offset < end {
                return Err(invalid("its ranges overlap or are not in order"));
            }
            end = segment.offset.checked_add(segment.length).ok_or_else(|| invalid("a range overflows"))?;
            if end > size_bytes {
                return Err(invalid("a range lies past the size"));
            }
            // The ranges are apart and within the size: their sum cannot overflow.
            stored_bytes += segment.length;
        }
        segments.retain(|segment| segment.length > 0);
        Ok(Self { segments, size_bytes, stored_bytes })
    }
}

/// Collects `GNU.sparse.` records of formats 0.0, 0.1 and 1.0.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseRecords {
    present: bool,
    major: Option<u64>,
    minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    blocks: Option<u64>,
    /// Format 0.1: all numbers at once.
    map: Option<Vec<Segment>>,
    /// Format 0.0: a record for each number.
    pairs: Vec<Segment>,
    offset: Option<u64>,
}

/// Where the map of a PAX sparse file is.
#[derive(Debug)]
pub(super) enum PaxSparse {
    /// In the records.
    Known(Map),
    /// At the start of the payload; the file has this size.
    InPayload { size_bytes: u64 },
}

impl SparseRecords {
    /// Takes a record, its key without `GNU.sparse.`.
    pub(super) fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarErrorKind> {
        self.present = true;
        match key {
            b"major" => self.major = Some(number::decimal(value, "GNU.sparse.major")?),
            b"minor" => self.minor = Some(number::decimal(value, "GNU.sparse.minor")?),
            b"name" => self.name = super::pax::name(value, "GNU.sparse.name")?,
            b"size" | b"realsize" => {
                let size = number::decimal(value, "GNU.sparse.realsize")?;
                if self.size.is_some_and(|known| known != size) {
                    return Err(invalid("it has two sizes"));
                }
                self.size = Some(size);
            }
            b"numblocks" => self.blocks = Some(number::decimal(value, "GNU.sparse.numblocks")?),
            b"map" => self.map = Some(comma_separated(value)?),
            b"offset" => {
                let offset = number::decimal(value, "GNU.sparse.offset")?;
                if self.offset.replace(offset).is_some() {
                    return Err(invalid("an offset without a length"));
                }
            }
            b"numbytes" => {
                let length = number::decimal(value, "GNU.sparse.numbytes")?;
                let offset = self.offset.take().ok_or_else(|| invalid("a length without an offset"))?;
                self.pairs.push(Segment { offset, length });
            }
            _ => return Err(invalid("a GNU.sparse record that is not known")),
        }
        Ok(())
    }

    /// Checks that no range is left half-read.
    pub(super) fn check_complete(&self) -> Result<(), TarErrorKind> {
        if self.offset.is_some() {
            return Err(invalid("an offset without a length"));
        }
        Ok(())
    }

    /// Gives the map or says where it is; `None` where no record speaks of a sparse file.
    pub(super) fn take(&mut self, segments_limit: usize) -> Result<Option<PaxSparse>, TarErrorKind> {
        if !self.present {
            return Ok(None);
        }
        let size_bytes = self.size.ok_or_else(|| invalid("its size is missing"))?;
        let in_records = self.blocks.is_some() || self.map.is_some() || !self.pairs.is_empty();
        match (self.major, self.minor) {
            (Some(1), Some(0)) if !in_records => Ok(Some(PaxSparse::InPayload { size_bytes })),
            (Some(1), Some(0)) => Err(invalid("it has two maps")),
            (None | Some(0), None | Some(0 | 1)) => {
                let segments = self.take_segments(segments_limit)?;
                Ok(Some(PaxSparse::Known(Map::checked(segments, size_bytes)?)))
            }
            _ => Err(invalid("its format is not known")),
        }
    }

    fn take_segments(&mut self, segments_limit: usize) -> Result<Vec<Segment>, TarErrorKind> {
        let pairs = std::mem::take(&mut self.pairs);
        let segments = match self.map.take() {
            Some(_) if !pairs.is_empty() => return Err(invalid("it has two maps")),
            Some(map) => map,
            None => pairs,
        };
        let blocks = self.blocks.ok_or_else(|| invalid("the count of its ranges is missing"))?;
        if blocks != segments.len() as u64 {
            return Err(invalid("the count of its ranges is wrong"));
        }
        within_limit(segments.len() as u64, segments_limit)?;
        Ok(segments)
    }
}

fn within_limit(segments: u64, limit: usize) -> Result<(), TarErrorKind> {
    if segments > limit as u64 {
        return Err(TarErrorKind::Limit { what: "ranges of a sparse file", limit: limit as u64 });
    }
    Ok(())
}

fn comma_separated(value: &[u8]) -> Result<Vec<Segment>, TarErrorKind> {
    let mut segments = Vec::new();
    if value.is_empty() {
        return Ok(segments);
    }
    let mut numbers = value.split(|byte| *byte == b',').map(|text| number::decimal(text, "GNU.sparse.map"));
    while let Some(offset) = numbers.next() {
        let length = numbers.next().ok_or_else(|| invalid("an offset without a length"))?;
        segments.push(Segment { offset: offset?, length: length? });
    }
    Ok(segments)
}

/// Reads the map of format 1.0 block by block: a count, then offset and length of each range, a line each.
#[derive(Debug, Default)]
pub(super) struct MapText {
    count: Option<u64>,
    offset: Option<u64>,
    segments: Vec<Segment>,
    line: Vec<u8>,
}

impl MapText {
    /// Takes the next block; says whether the map is complete, the rest of the block being padding.
    pub(super) fn block(
        &mut self,
        block: &[u8; BLOCK_BYTES],
        segments_limit: usize,
    ) -> Result<bool, TarErrorKind> {
        for byte in block {
            if *byte != b'\n' {
                // decimal() refuses what is no digit; this bounds the line before it is complete.
                if self.line.len() >= 20 {
                    return Err(invalid("a number in its map is too long"));
                }
                self.line.push(*byte);
                continue;
            }
            let value = number::decimal(&self.line, "number in a sparse map")?;
            self.line.clear();
            if self.number(value, segments_limit)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn number(&mut self, value: u64, segments_limit: usize) -> Result<bool, TarErrorKind> {
        match (self.count, self.offset.take()) {
            (None, _) => {
                within_limit(value, segments_limit)?;
                self.count = Some(value);
            }
            (Some(_), None) => self.offset = Some(value),
            (Some(_), Some(offset)) => self.segments.push(Segment { offset, length: value }),
        }
        Ok(self.offset.is_none() && self.count == Some(self.segments.len() as u64))
    }

    pub(super) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }
}

/// Writes a map of format 1.0, padded to whole blocks. A hole at the end is marked by an empty range, as GNU tar
/// sets the size of what it unpacks from the last range.
pub(super) fn map_text(segments: &[Segment], size_bytes: u64) -> Vec<u8> {
    let end = segments.last().map_or(0, |last| last.offset + last.length);
    let hole = (end < size_bytes || segments.is_empty()).then_some(Segment { offset: size_bytes, length: 0 });
    let count = segments.len() + usize::from(hole.is_some());
    let mut text = format!("{count}\n").into_bytes();
    for segment in segments.iter().chain(&hole) {
        text.extend_from_slice(format!("{}\n{}\n", segment.offset, segment.length).as_bytes());
    }
    text.resize(text.len().next_multiple_of(BLOCK_BYTES), 0);
    text
}

/// Reads the map of an old GNU `S` header and its extension blocks.
#[derive(Debug)]
pub(super) struct OldGnuMap {
    segments: Vec<Segment>,
    size_bytes: u64,
    extended: bool,
    ended: bool,
}

impl OldGnuMap {
    /// Reads the four ranges, the size and the extension mark of the header.
    pub(super) fn of_header(block: &[u8; BLOCK_BYTES]) -> Result<Self, TarErrorKind> {
        let size_bytes = number::unsigned(&block[483..495], "size of a sparse file")?;
        let mut map = Self { segments: Vec::new(), size_bytes, extended: block[482] != 0, ended: false };
        map.ranges(&block[386..482])?;
        Ok(map)
    }

    /// Says whether a further block of ranges follows.
    pub(super) fn is_extended(&self) -> bool {
        self.extended
    }

    /// Reads the 21 ranges of an extension block.
    pub(super) fn extension(&mut self, block: &[u8; BLOCK_BYTES], limit: usize) -> Result<(), TarErrorKind> {
        self.extended = block[504] != 0;
        self.ranges(&block[..504])?;
        within_limit(self.segments.len() as u64, limit)
    }

    fn ranges(&mut self, bytes: &[u8]) -> Result<(), TarErrorKind> {
        for range in bytes.chunks_exact(24) {
            if range[0] == 0 {
                self.ended = true;
                continue;
            }
            if self.ended {
                return Err(invalid("a range follows the end of its map"));
            }
            let offset = number::unsigned(&range[..12], "sparse offset")?;
            let length = number::unsigned(&range[12..], "sparse length")?;
            self.segments.push(Segment { offset, length });
        }
        Ok(())
    }

    pub(super) fn checked(self) -> Result<Map, TarErrorKind> {
        Map::checked(self.segments, self.size_bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn segments(pairs: &[(u64, u64)]) -> Vec<Segment> {
        pairs.iter().map(|(offset, length)| Segment { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn maps_are_checked() {
        let map = Map::checked(segments(&[(0, 5), (5, 0), (10, 5), (20, 0)]), 20).unwrap();
        assert_eq!((map.segments, map.stored_bytes), (segments(&[(0, 5), (10, 5)]), 10));
        for bad in [
            &[(0, 5), (4, 5)][..],
            &[(10, 1), (0, 1)],
            &[(0, 21)],
            &[(21, 0)],
            &[(u64::MAX, 2)],
            &[(1, u64::MAX)],
        ] {
            assert!(Map::checked(segments(bad), 20).is_err(), "{bad:?}");
        }
        assert!(Map::checked(Vec::new(), 1 << 63).is_err());
    }

    #[test]
    fn map_text_reads_back() {
        for pairs in [&[][..], &[(0, 7)], &[(0, 1), (5, 5), (1000, 1 << 40)]] {
            let size = 1 << 41;
            let text = map_text(&segments(pairs), size);
            let mut reader = MapText::default();
            let blocks: Vec<&[u8; BLOCK_BYTES]> =
                text.chunks(BLOCK_BYTES).map(|b| b.try_into().unwrap()).collect();
            for (index, block) in blocks.iter().enumerate() {
                assert_eq!(reader.block(block, 100).unwrap(), index + 1 == blocks.len());
            }
            assert_eq!(Map::checked(reader.into_segments(), size).unwrap().segments, segments(pairs));
        }
    }

    #[test]
    fn map_text_is_bounded() {
        let mut block = [b'1'; BLOCK_BYTES];
        assert!(MapText::default().block(&block, 100).is_err());
        block[..4].copy_from_slice(b"101\n");
        assert!(matches!(MapText::default().block(&block, 100), Err(TarErrorKind::Limit { .. })));
        block[..2].copy_from_slice(b"x\n");
        assert!(MapText::default().block(&block, 100).is_err());
    }
}
