//! What an apply could not know without the layers below, kept in a file beside the layer until it is settled.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::BorrowedFd;

use plywood_graphdriver::{DriverError, DriverResult};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::fail::Attempt;
use crate::spool::{Spool, read_record};

/// The file's name in the layer's folder.
const NAME: &str = "pending";

/// One thing to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A folder that no entry described: it has the metadata that the layers below have for it.
    Implied(Vec<u8>),
    /// The same, but an entry described it after all: only where its files belong is open.
    Described(Vec<u8>),
    /// A folder that no entry described and that hides the layers below.
    Fresh(Vec<u8>),
    /// A hard link to a file of the layers below, and the inode that holds its place.
    Link { link: Vec<u8>, target: Vec<u8>, placeholder: u64 },
    /// What was at this path, and below it, gave way to a later entry. An inode's number may come again at once, so
    /// it does not tell a link's placeholder from what took its place.
    Gone(Vec<u8>),
    /// The root hides all that the layers below have.
    OpaqueRoot,
}

/// Collects items while a layer is unpacked. Holds eight bytes in memory for each implied folder.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    items: Spool<'a>,
    /// Hashes of the paths that no entry described yet. Two paths of one hash would share their fate: with a random
    /// 64-bit hash that does not happen.
    undescribed: HashSet<u64>,
    hasher: RandomState,
    count: u64,
    has_links: bool,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(layer: BorrowedFd<'a>) -> Self {
        Self {
            items: Spool::new(layer),
            undescribed: HashSet::new(),
            hasher: RandomState::new(),
            count: 0,
            has_links: false,
        }
    }

    pub(crate) fn implied(&mut self, path: &[u8]) -> DriverResult<()> {
        self.undescribed.insert(self.hasher.hash_one(path));
        self.push(b'I', &[path])
    }

    pub(crate) fn fresh(&mut self, path: &[u8]) -> DriverResult<()> {
        self.undescribed.insert(self.hasher.hash_one(path));
        self.push(b'F', &[path])
    }

    /// An entry described a folder that was there.
    pub(crate) fn described(&mut self, path: &[u8]) {
        self.undescribed.remove(&self.hasher.hash_one(path));
    }

    pub(crate) fn link(&mut self, link: &[u8], target: &[u8], placeholder: u64) -> DriverResult<()> {
        self.has_links = true;
        let length = u32::try_from(link.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.push(b'L', &[&placeholder.to_le_bytes(), &length, link, target])
    }

    /// What is at a path is about to be removed, and with it the placeholders of links there and below.
    pub(crate) fn gone(&mut self, path: &[u8]) -> DriverResult<()> {
        if self.has_links { self.push(b'G', &[path]) } else { Ok(()) }
    }

    pub(crate) fn opaque_root(&mut self) -> DriverResult<()> {
        self.push(b'R', &[])
    }

    fn push(&mut self, kind: u8, parts: &[&[u8]]) -> DriverResult<()> {
        let mut record = vec![kind];
        for part in parts {
            record.extend_from_slice(part);
        }
        self.count += 1;
        self.items.push(&record).attempt("note for settling", b"")
    }

    /// Writes the file, if there is anything to be settled; one of an earlier unpacking goes.
    pub(crate) fn write(self, layer: BorrowedFd<'_>) -> DriverResult<()> {
        if self.count == 0 {
            return discard(layer);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(layer, NAME, flags, Mode::RUSR | Mode::WUSR).attempt("write notes", b"")?;
        let mut writer = BufWriter::new(File::from(file));
        let (undescribed, hasher) = (self.undescribed, self.hasher);
        self.items
            .drain::<io::Error>(|record| {
                let Some((kind, path)) = record.split_first() else { return Ok(()) };
                let described = matches!(kind, b'I' | b'F') && !undescribed.contains(&hasher.hash_one(path));
                let kind = if described { b'D' } else { *kind };
                let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
                writer.write_all(&length.to_le_bytes())?;
                writer.write_all(&[kind])?;
                writer.write_all(path)
            })
            .and_then(|()| writer.flush())
            .attempt("write notes", b"")
    }
}

/// Visits what is to be settled, in the order it was noted. Answers whether there is a file.
pub(crate) fn visit(
    layer: BorrowedFd<'_>,
    mut item: impl FnMut(Item) -> DriverResult<()>,
) -> DriverResult<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(layer, NAME, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error).attempt("read notes", b""),
    };
    let mut reader = BufReader::new(file);
    let mut record = Vec::new();
    while read_record(&mut reader, &mut record).attempt("read notes", b"")? {
        item(parse(&record).ok_or_else(malformed)?)?;
    }
    Ok(true)
}

/// Removes the file: all is settled.
pub(crate) fn discard(layer: BorrowedFd<'_>) -> DriverResult<()> {
    match rustix::fs::unlinkat(layer, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).attempt("remove notes", b""),
    }
}

fn parse(record: &[u8]) -> Option<Item> {
    let (kind, rest) = record.split_first()?;
    Some(match kind {
        b'I' => Item::Implied(rest.to_vec()),
        b'D' => Item::Described(rest.to_vec()),
        b'F' => Item::Fresh(rest.to_vec()),
        b'G' => Item::Gone(rest.to_vec()),
        b'R' => Item::OpaqueRoot,
        b'L' => {
            let (placeholder, rest) = rest.split_first_chunk::<8>()?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (link, target) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let placeholder = u64::from_le_bytes(*placeholder);
            Item::Link { link: link.to_vec(), target: target.to_vec(), placeholder }
        }
        _ => return None,
    })
}

fn malformed() -> DriverError {
    DriverError::new(plywood_graphdriver::ErrorKind::Corrupt, "read notes", "the layer's notes are damaged")
}
