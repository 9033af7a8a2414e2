//! Reads a tar entry by entry.

use std::io::BufRead;

use super::entry::{Entry, Kind, Timestamp};
use super::extensions::{Extended, Pending};
use super::header::{Dialect, Header};
use super::limits::Limits;
use super::observer::Observer;
use super::pax::Attributes;
use super::sparse::{Map, MapText, OldGnuMap, PaxSparse};
use super::stream::{Stream, padding};
use super::{BLOCK_BYTES, TarError, TarErrorKind};

/// Reads a tar strictly, entry by entry, and shows every byte: payload to the caller, all else to the observer.
///
/// - Nothing is set aside for a size that is only declared; memory is bounded by [`Limits`].
/// - Links, directories, devices and FIFOs have no payload, whatever their header's size says.
/// - The archive ends at two zero blocks, at a lone zero block that is the last one, or at the end of the stream
///   between entries; a stream of no bytes is an empty archive.
/// - After an error every further call fails.
///
/// ```
/// use plywood_archive::tar::{Limits, TarReader};
///
/// let mut reader = TarReader::new(&[0_u8; 1024][..], Limits::default(), ());
/// assert!(reader.next_entry()?.is_none());
/// reader.finish()?;
/// # Ok::<(), plywood_archive::tar::TarError>(())
/// ```
pub struct TarReader<R, O> {
    stream: Stream<R, O>,
    limits: Limits,
    global: Attributes,
    /// Entries returned and global headers read.
    counted: u64,
    current: Current,
    next_ordinal: u64,
    state: State,
}

/// The entry that is being read, for its payload and for errors.
#[derive(Default)]
struct Current {
    ordinal: u64,
    position: u64,
    /// Empty while not known.
    path: Vec<u8>,
    payload_bytes: u64,
    remaining_bytes: u64,
    padding_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Entries,
    Ended,
    Failed,
}

impl<R: BufRead, O: Observer> TarReader<R, O> {
    /// Starts at the first byte of `reader`; reads nothing yet.
    pub fn new(reader: R, limits: Limits, observer: O) -> Self {
        Self {
            stream: Stream::new(reader, observer),
            limits,
            global: Attributes::default(),
            counted: 0,
            current: Current::default(),
            next_ordinal: 0,
            state: State::Entries,
        }
    }

    /// Passes over what is left of the current entry and gives the next one, `None` at the end of the archive.
    ///
    /// # Errors
    ///
    /// [`TarError`] for an archive that is malformed, ambiguous, cut off or beyond a limit, and where stream or
    /// observer fail.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.guarded(Self::advance)
    }

    /// Gives unread bytes of the current entry's payload, straight from the stream's buffer; empty at its end.
    ///
    /// # Errors
    ///
    /// [`TarError`] where the stream fails or ends within the payload.
    pub fn payload(&mut self) -> Result<&[u8], TarError> {
        let count = self.guarded(Self::payload_available)?;
        // Buffered already: nothing is read here.
        match self.stream.available() {
            Ok(bytes) => Ok(&bytes[..count]),
            Err(kind) => Err(self.current.error(kind)),
        }
    }

    /// Marks `count` bytes that [`payload`](Self::payload) gave as read.
    pub fn consume(&mut self, count: usize) {
        let count = usize::try_from(self.current.remaining_bytes).map_or(count, |left| left.min(count));
        self.current.remaining_bytes -= count as u64;
        self.stream.consume_payload(count);
    }

    /// Reads what is left of the current entry's payload and drops it.
    ///
    /// # Errors
    ///
    /// As [`payload`](Self::payload).
    pub fn skip_payload(&mut self) -> Result<(), TarError> {
        self.guarded(Self::pass_payload)
    }

    /// Passes what is left of the current entry's payload to the observer, as if it were structure: for payloads
    /// that are kept nowhere else.
    ///
    /// # Errors
    ///
    /// As [`payload`](Self::payload); also where the observer fails.
    pub fn observe_payload(&mut self) -> Result<(), TarError> {
        self.guarded(|reader| {
            let remaining = std::mem::take(&mut reader.current.remaining_bytes);
            reader.stream.skip(remaining, "a payload")
        })
    }

    /// Gives the observer.
    pub fn observer_mut(&mut self) -> &mut O {
        self.stream.observer_mut()
    }

    /// Gives the size of the current entry's payload as stored: for a sparse file the sum of its segments.
    pub fn payload_bytes(&self) -> u64 {
        self.current.payload_bytes
    }

    /// Gives the count of bytes read so far.
    pub fn position(&self) -> u64 {
        self.stream.position()
    }

    /// Reads to the end of the stream and gives reader and observer back. Entries not yet read are read, checked and
    /// dropped, their payload unseen; what follows the end of the archive goes to the observer.
    ///
    /// # Errors
    ///
    /// As [`next_entry`](Self::next_entry).
    pub fn finish(mut self) -> Result<(R, O), TarError> {
        while self.next_entry()?.is_some() {}
        self.guarded(|reader| reader.stream.drain(reader.limits.trailing_bytes))?;
        Ok(self.stream.into_parts())
    }

    /// Runs `action` unless something failed before, and says where it failed.
    fn guarded<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T, TarErrorKind>,
    ) -> Result<T, TarError> {
        if self.state == State::Failed {
            return Err(self.current.error(TarErrorKind::Refused));
        }
        action(self).map_err(|kind| {
            self.state = State::Failed;
            self.current.error(kind)
        })
    }

    fn payload_available(&mut self) -> Result<usize, TarErrorKind> {
        if self.current.remaining_bytes == 0 {
            return Ok(0);
        }
        match self.stream.available()?.len() {
            0 => Err(TarErrorKind::Truncated { within: "a payload" }),
            count => Ok(usize::try_from(self.current.remaining_bytes).map_or(count, |left| left.min(count))),
        }
    }

    fn pass_payload(&mut self) -> Result<(), TarErrorKind> {
        while self.current.remaining_bytes > 0 {
            let count = self.payload_available()?;
            self.consume(count);
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Entry>, TarErrorKind> {
        self.pass_payload()?;
        let padding = std::mem::take(&mut self.current.padding_bytes);
        self.stream.skip(padding, "the padding of a payload")?;
        self.current.start(self.next_ordinal, self.stream.position());
        if self.state == State::Ended {
            return Ok(None);
        }
        let mut pending = Pending::default();
        loop {
            let block = self.stream.block("a header")?;
            let Some(block) = block.filter(|block| !is_zero(block)) else {
                self.end(block.is_some(), &pending)?;
                return Ok(None);
            };
            let header = Header::checked(&block)?;
            if !self.extension(&header, &mut pending)? {
                return self.entry(&header, pending).map(Some);
            }
        }
    }

    /// Settles the end of the archive: the end of the stream, or a zero block and what follows it.
    fn end(&mut self, at_zero_block: bool, pending: &Pending) -> Result<(), TarErrorKind> {
        if !pending.is_empty() {
            return Err(TarErrorKind::Extension { reason: "the archive ends after an extension header" });
        }
        if at_zero_block {
            let second = self.stream.block("the end marker")?;
            if second.is_some_and(|block| !is_zero(&block)) {
                return Err(TarErrorKind::LoneZeroBlock);
            }
        }
        self.state = State::Ended;
        Ok(())
    }

    /// Takes an extension header in; says whether it was one.
    fn extension(&mut self, header: &Header, pending: &mut Pending) -> Result<bool, TarErrorKind> {
        match header.typeflag() {
            b'x' => {
                let records = self.extension_data(header, self.limits.pax_bytes, "bytes of PAX records")?;
                pending.pax(&records, &self.global)?;
            }
            b'g' => {
                if !pending.is_empty() {
                    return Err(TarErrorKind::Extension {
                        reason: "a global header stands between an entry and its extension header",
                    });
                }
                self.count()?;
                let records = self.extension_data(header, self.limits.pax_bytes, "bytes of PAX records")?;
                self.global.apply_global(&records)?;
                if self.global.held_bytes() > self.limits.pax_bytes {
                    return Err(over("bytes of global PAX records", self.limits.pax_bytes));
                }
            }
            b'L' => {
                let text = self.extension_data(header, self.limits.path_bytes + 1, "bytes of path")?;
                pending.long_path(text)?;
            }
            b'K' => {
                let text = self.extension_data(header, self.limits.path_bytes + 1, "bytes of link target")?;
                pending.long_target(text)?;
            }
            _ => return Ok(false),
        }
        // The `tar` crate takes it for an entry.
        if !header.is_marked() {
            return Err(TarErrorKind::Extension {
                reason: "an extension header is not marked as ustar or GNU",
            });
        }
        Ok(true)
    }

    fn extension_data(
        &mut self,
        header: &Header,
        limit: usize,
        what: &'static str,
    ) -> Result<Vec<u8>, TarErrorKind> {
        let length = header.size()?;
        if length > limit as u64 {
            return Err(over(what, limit));
        }
        self.stream.extension(length, "an extension header")
    }

    fn count(&mut self) -> Result<(), TarErrorKind> {
        self.counted += 1;
        if self.counted > self.limits.entries {
            return Err(TarErrorKind::Limit { what: "entries", limit: self.limits.entries });
        }
        Ok(())
    }

    /// Reads the entry that `header` belongs to, up to its payload.
    fn entry(&mut self, header: &Header, pending: Pending) -> Result<Entry, TarErrorKind> {
        header.check_prefix()?;
        let mut extended = pending.resolve(&self.global);
        let path = extended.path(header, &self.limits)?;
        self.current.path.extend_from_slice(&path);
        self.count()?;
        let kind = self.kind(header, &path, &mut extended)?;
        let mut entry = Entry::new(path, kind);
        entry.position = self.current.position;
        entry.ordinal = self.current.ordinal;
        entry.mode = header.mode()?;
        entry.uid = extended.attributes.uid.map_or_else(|| header.uid(), Ok)?;
        entry.gid = extended.attributes.gid.map_or_else(|| header.gid(), Ok)?;
        entry.modified = match extended.attributes.modified {
            Some(modified) => modified,
            None => Timestamp { seconds: header.modified_seconds()?, nanoseconds: 0 },
        };
        entry.xattrs = extended.xattrs(&self.limits)?;
        self.size(header, &mut extended, &mut entry)?;
        self.next_ordinal += 1;
        Ok(entry)
    }

    fn kind(&self, header: &Header, path: &[u8], extended: &mut Extended) -> Result<Kind, TarErrorKind> {
        Ok(match header.typeflag() {
            // v7 knows no directories but by the slash; Python looks for it in the header, Go in the extension.
            0 if path.ends_with(b"/") != header.path().ends_with(b"/") => {
                return Err(TarErrorKind::Extension {
                    reason: "it is a folder by its header or by its extension only",
                });
            }
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::Regular,
            b'1' => Kind::HardLink { target: extended.target(header, true, &self.limits)? },
            b'2' => Kind::Symlink { target: extended.target(header, false, &self.limits)? },
            b'3' | b'4' => {
                let (major, minor) = header.device()?;
                if header.typeflag() == b'3' {
                    Kind::CharDevice { major, minor }
                } else {
                    Kind::BlockDevice { major, minor }
                }
            }
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            typeflag => return Err(TarErrorKind::Type { typeflag: char::from(typeflag) }),
        })
    }

    /// Settles sizes and the sparse map, and makes the payload the next thing to read.
    fn size(
        &mut self,
        header: &Header,
        extended: &mut Extended,
        entry: &mut Entry,
    ) -> Result<(), TarErrorKind> {
        let pax = extended.attributes.sparse.take(self.limits.sparse_segments)?;
        if entry.kind != Kind::Regular {
            return match pax {
                None => Ok(()),
                Some(_) => Err(TarErrorKind::Sparse { reason: "it is no regular file" }),
            };
        }
        let stored = extended.attributes.size.map_or_else(|| header.size(), Ok)?;
        let map = match (header.typeflag(), pax) {
            (b'S', None) if !extended.has_own && header.dialect() == Dialect::Gnu => {
                Some((self.old_gnu_map(header)?, stored))
            }
            (b'S', _) => {
                return Err(TarErrorKind::Sparse { reason: "a GNU sparse header among others than GNU's" });
            }
            (_, Some(PaxSparse::Known(map))) => Some((map, stored)),
            (_, Some(PaxSparse::InPayload { size_bytes })) => Some(self.map_in_payload(stored, size_bytes)?),
            (_, None) => None,
        };
        let payload_bytes = map.as_ref().map_or(stored, |(_, left)| *left);
        entry.size_bytes = payload_bytes;
        if let Some((map, _)) = map {
            if map.stored_bytes != payload_bytes {
                return Err(TarErrorKind::Sparse { reason: "its ranges do not sum up to what is stored" });
            }
            entry.size_bytes = map.size_bytes;
            entry.sparse = Some(map.segments);
        }
        self.current.payload_bytes = payload_bytes;
        self.current.remaining_bytes = payload_bytes;
        self.current.padding_bytes = padding(payload_bytes);
        Ok(())
    }

    fn old_gnu_map(&mut self, header: &Header) -> Result<Map, TarErrorKind> {
        let mut map = OldGnuMap::of_header(header.block())?;
        while map.is_extended() {
            let block = self.map_block()?;
            map.extension(&block, self.limits.sparse_segments)?;
        }
        map.checked()
    }

    /// Reads the map at the start of a payload; gives it and what is left of the payload, in bytes.
    fn map_in_payload(&mut self, mut stored: u64, size_bytes: u64) -> Result<(Map, u64), TarErrorKind> {
        let mut text = MapText::default();
        loop {
            stored = stored
                .checked_sub(BLOCK_BYTES as u64)
                .ok_or(TarErrorKind::Sparse { reason: "its map is longer than what is stored" })?;
            let block = self.map_block()?;
            if text.block(&block, self.limits.sparse_segments)? {
                return Ok((Map::checked(text.into_segments(), size_bytes)?, stored));
            }
        }
    }

    fn map_block(&mut self) -> Result<[u8; BLOCK_BYTES], TarErrorKind> {
        let within = "a sparse map";
        self.stream.block(within)?.ok_or(TarErrorKind::Truncated { within })
    }
}

impl Current {
    fn start(&mut self, ordinal: u64, position: u64) {
        self.ordinal = ordinal;
        self.position = position;
        self.path.clear();
        self.payload_bytes = 0;
    }

    fn error(&self, kind: TarErrorKind) -> TarError {
        let path = (!self.path.is_empty()).then(|| self.path.clone());
        TarError { ordinal: self.ordinal, position: self.position, path, kind }
    }
}

fn over(what: &'static str, limit: usize) -> TarErrorKind {
    TarErrorKind::Limit { what, limit: limit as u64 }
}

fn is_zero(block: &[u8; BLOCK_BYTES]) -> bool {
    *block == [0; BLOCK_BYTES]
}
