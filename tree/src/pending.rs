//! What an apply could not know without the layers below, kept in a file beside the layer until it is settled.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::BorrowedFd;

use plywood_graphdriver::{DriverError, DriverResult};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::fail::Attempt;
use crate::path;
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
    /// A hard link to a file of the layers below; an empty file holds its place.
    Link { link: Vec<u8>, target: Vec<u8> },
    /// A name that this layer deletes, which the layers below need not have.
    Whiteout(Vec<u8>),
    /// The root hides all that the layers below have.
    OpaqueRoot,
}

/// Collects items while a layer is unpacked. Holds eight bytes in memory for each implied folder, and the paths of links to
/// files below.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    items: Spool<'a>,
    /// Hashes of the paths that no entry described yet. Two paths of one hash would share their fate: with a random
    /// 64-bit hash that does not happen.
    undescribed: HashSet<u64>,
    hasher: RandomState,
    /// The links whose placeholders are in place, and their targets: a later entry may take the place, or link to it. (The
    /// number of the placeholder's inode would not tell: it may come again at once.)
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    count: u64,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(layer: BorrowedFd<'a>) -> Self {
        Self {
            items: Spool::new(layer),
            undescribed: HashSet::new(),
            hasher: RandomState::new(),
            links: BTreeMap::new(),
            count: 0,
        }
    }

    pub(crate) fn implied(&mut self, path: &[u8]) -> DriverResult<()> {
        self.undescribed.insert(self.hasher.hash_one(path));
        self.push(b'I', path)
    }

    pub(crate) fn fresh(&mut self, path: &[u8]) -> DriverResult<()> {
        self.undescribed.insert(self.hasher.hash_one(path));
        self.push(b'F', path)
    }

    /// An entry described a folder that was there.
    pub(crate) fn described(&mut self, path: &[u8]) {
        self.undescribed.remove(&self.hasher.hash_one(path));
    }

    pub(crate) fn whiteout(&mut self, path: &[u8]) -> DriverResult<()> {
        self.push(b'W', path)
    }

    /// A placeholder is at `link`.
    pub(crate) fn link(&mut self, link: &[u8], target: &[u8]) {
        self.links.insert(link.to_vec(), target.to_vec());
    }

    /// The target below of the link whose placeholder is at a path.
    pub(crate) fn link_target(&self, path: &[u8]) -> Option<&[u8]> {
        self.links.get(path).map(Vec::as_slice)
    }

    /// What is at a path is about to be removed, and with it the placeholders there and below.
    pub(crate) fn gone(&mut self, path: &[u8]) {
        self.links.remove(path);
        let below = path::join(path, b"");
        while let Some((link, _)) = self.links.range(below.clone()..).next()
            && link.starts_with(&below)
        {
            let link = link.clone();
            self.links.remove(&link);
        }
    }

    pub(crate) fn opaque_root(&mut self) -> DriverResult<()> {
        self.push(b'R', b"")
    }

    fn push(&mut self, kind: u8, path: &[u8]) -> DriverResult<()> {
        self.count += 1;
        self.items.push(&[&[kind], path].concat()).attempt("note for settling", path)
    }

    /// Writes the file, if there is anything to be settled; one of an earlier unpacking goes.
    pub(crate) fn write(mut self, layer: BorrowedFd<'_>) -> DriverResult<()> {
        for (link, target) in std::mem::take(&mut self.links) {
            let length = u32::try_from(link.len()).unwrap_or(u32::MAX).to_le_bytes();
            self.push(b'L', &[&length[..], &link, &target].concat())?;
        }
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
        b'W' => Item::Whiteout(rest.to_vec()),
        b'R' => Item::OpaqueRoot,
        b'L' => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (link, target) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            Item::Link { link: link.to_vec(), target: target.to_vec() }
        }
        _ => return None,
    })
}

fn malformed() -> DriverError {
    DriverError::new(plywood_graphdriver::ErrorKind::Corrupt, "read notes", "the layer's notes are damaged")
}
