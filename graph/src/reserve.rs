//! Space and inodes set aside, so that on a full disk a store can still free some: deleting takes a lease's file, rows in the write-ahead
//! log and `SQLite`'s shared index before it gives anything back.
//!
//! The reserve is a few files. Whoever frees something gives them up first where the file system has next to nothing left, and
//! makes them again afterwards. Imports never get at it.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, StatVfs};
use rustix::io::Errno;

use crate::GraphError;
use crate::folder::Folder;

/// The reserve's folder in the store's root.
const FOLDER: &str = "reserve";
/// Files of the reserve: each is an inode, and together they hold [`FILE_BYTES`] times as much.
const FILES: u32 = 8;
/// The index of the log takes 32 KiB, a deletion some pages of 4 KiB in the log.
const FILE_BYTES: u64 = 128 << 10;
/// With less than this left, the reserve is given up.
const LITTLE_BYTES: u64 = 512 << 10;
/// With fewer inodes than this left, the reserve is given up.
const FEW_INODES: u64 = 16;
/// The reserve is made where at least this is left besides.
const PLENTY_BYTES: u64 = 4 << 20;

/// The reserve of a store; without one where there was no space to make its folder.
#[derive(Debug)]
pub(crate) struct Reserve {
    folder: Option<Folder>,
    was_spent: AtomicBool,
}

/// The room that giving up the reserve made. Dropping it takes back what can be.
#[derive(Debug)]
#[must_use]
pub(crate) struct Room<'a>(Option<&'a Folder>);

impl Reserve {
    /// Opens the reserve of the store in `root`, and makes what is missing of it where there is plenty of space.
    pub(crate) fn open(root: &Folder) -> Self {
        let folder = match root.child(FOLDER) {
            Ok(folder) => Some(folder),
            Err(error) => {
                tracing::debug!(%error, "no reserve");
                None
            }
        };
        Self { folder, was_spent: AtomicBool::new(false) }
    }

    /// The reserve of the store at `root`, where it has one. Makes nothing.
    pub(crate) fn existing(root: &Path) -> Self {
        Self { folder: Folder::open(&root.join(FOLDER)).ok(), was_spent: AtomicBool::new(false) }
    }

    /// Makes what is missing, where there is plenty of space.
    pub(crate) fn fill(&self) {
        if let Some(folder) = &self.folder {
            fill(folder, PLENTY_BYTES);
        }
    }

    /// Gives up the reserve where next to nothing is left: for whoever frees something.
    pub(crate) fn make_room(&self) -> Room<'_> {
        let Some(folder) = &self.folder else { return Room(None) };
        if has_left(folder, LITTLE_BYTES, FEW_INODES) {
            return Room(None);
        }
        self.was_spent.store(true, Ordering::Relaxed);
        for number in 0..FILES {
            if let Err(error) = folder.remove_file(&number.to_string()) {
                tracing::warn!(%error, "the reserve cannot be given up");
            }
        }
        Room(Some(folder))
    }
}

impl Drop for Reserve {
    /// The write-ahead log and its index, which took some of it, are gone by now.
    fn drop(&mut self) {
        if let Some(folder) = self.folder.as_ref().filter(|_| self.was_spent.load(Ordering::Relaxed)) {
            fill(folder, 0);
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            fill(folder, 0);
        }
    }
}

/// Makes the files that are missing, as long as `besides` is left, and some inodes if that is anything.
fn fill(folder: &Folder, besides: u64) {
    let inodes = if besides == 0 { 1 } else { FEW_INODES };
    for number in 0..FILES {
        let name = number.to_string();
        match folder.open_existing(&name) {
            Ok(None) if has_left(folder, besides + FILE_BYTES, inodes) => {}
            Ok(_) => continue,
            Err(_) => return,
        }
        if let Err(error) = make(folder, &name) {
            tracing::debug!(%error, "the reserve stays smaller");
            // Part of a file is better than none: it still is an inode.
            return;
        }
    }
}

fn make(folder: &Folder, name: &str) -> Result<(), GraphError> {
    let mut file = folder.create_file(name)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP) => {
            // Zeros might be compressed to nothing.
            let mut noise = 1_u32;
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise.to_be_bytes()[0]
            })
            .take(usize::try_from(FILE_BYTES).unwrap_or(0))
            .collect();
            file.write_all(&bytes)
                .map_err(GraphError::io::<std::io::Error>("write", folder.path().join(name)))
        }
        Err(error) => Err(GraphError::io("reserve", folder.path().join(name))(error)),
    }
}

/// Whether the file system has so much left. One that does not say is taken to have it.
fn has_left(folder: &Folder, bytes: u64, inodes: u64) -> bool {
    let Ok(StatVfs { f_bavail, f_frsize, f_files, f_favail, .. }) = rustix::fs::fstatvfs(folder.descriptor())
    else {
        return true;
    };
    // File systems that make inodes as they go, such as btrfs, count none.
    f_bavail.saturating_mul(f_frsize) >= bytes && (f_files == 0 || f_favail >= inodes)
}

/// Whether nothing is left at all: what `SQLite` then says is hard to understand.
pub(crate) fn is_full(folder: &Folder) -> bool {
    !has_left(folder, 1, 1)
}
