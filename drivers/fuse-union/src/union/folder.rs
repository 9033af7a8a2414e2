//! What a folder of the merged tree holds.
//!
//! Loaded once from all layers, then kept true by what is done through us: nobody else writes. An entry's place in the
//! vector is its cookie for reading the folder, so entries never move; those of removed names are used again.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use rustix::fs::FileType;

use super::real_folder::LayerNumber;
use crate::request::NodeId;

/// A name that some layer knows.
pub(super) struct Entry {
    pub(super) name: Box<[u8]>,
    /// The inode, if it was looked up; it may be forgotten since.
    pub(super) node: NodeId,
    /// The real inode number, as the layer's folder lists it.
    pub(super) ino: u64,
    /// The layer that shows it.
    pub(super) layer: LayerNumber,
    /// All layers that have a part of a merged folder, if more than one, topmost first.
    pub(super) merged: Option<Box<[LayerNumber]>>,
    pub(super) kind: FileType,
    /// Something has the name. Else it is free, and the entry stays for what the two flags below say.
    pub(super) live: bool,
    /// The upper layer has a whiteout at the name.
    pub(super) whiteout: bool,
    /// A layer below the upper one shows something at the name: removing it takes a whiteout.
    pub(super) below: bool,
}

/// What files that are made in a folder get from it.
#[derive(Clone, Copy)]
pub(super) struct Inheritance {
    /// The folder has a default access control list, which counts instead of the umask.
    pub(super) access_control_list: bool,
    /// The group, where the folder has the set-group-id bit.
    pub(super) group: Option<u32>,
}

/// The names of a folder.
#[derive(Default)]
pub(super) struct Folder {
    pub(super) loaded: bool,
    /// It was removed; nothing can be made in it.
    pub(super) removed: bool,
    /// The upper layer's part may hold files that were copied up, whose numbers are those of their origins.
    pub(super) impure: bool,
    pub(super) inheritance: Option<Inheritance>,
    entries: Vec<Entry>,
    index: HashTable<u32>,
    free: Vec<u32>,
    live: usize,
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = FxBuildHasher.build_hasher();
    hasher.write(name);
    hasher.finish()
}

fn at(index: u32) -> usize {
    index as usize
}

impl Folder {
    /// Forgets all names.
    pub(super) fn clear(&mut self) {
        *self = Self { removed: self.removed, ..Self::default() };
    }

    /// How many names there are.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// All entries; those that are not live too.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with a name, whether something has it or not.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let same = |index: &u32| *self.entries[at(*index)].name == *name;
        self.index.find(hash(name), same).map(|index| at(*index))
    }

    /// The entry of something that is there.
    pub(super) fn find_live(&self, name: &[u8]) -> Option<usize> {
        self.find(name).filter(|index| self.entries[*index].live)
    }

    /// The entry at an index that [`find`](Self::find) or [`add`](Self::add) gave.
    pub(super) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// As [`entry`](Self::entry).
    pub(super) fn entry_mut(&mut self, index: usize) -> &mut Entry {
        &mut self.entries[index]
    }

    /// Adds an entry whose name is not there.
    pub(super) fn add(&mut self, entry: Entry) -> usize {
        self.live += usize::from(entry.live);
        let hashed = hash(&entry.name);
        let index = if let Some(index) = self.free.pop() {
            self.entries[at(index)] = entry;
            index
        } else {
            self.entries.push(entry);
            // A folder with 2^32 names does not fit into memory.
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        };
        let entries = &self.entries;
        self.index.insert_unique(hashed, index, |index| hash(&entries[at(*index)].name));
        at(index)
    }

    /// Gives a name to something.
    pub(super) fn put(&mut self, name: &[u8], new: Shown) -> usize {
        let index = match self.find(name) {
            Some(index) => index,
            None => self.add(Entry::free(name)),
        };
        let entry = &mut self.entries[index];
        self.live += usize::from(!entry.live);
        entry.live = true;
        entry.whiteout = false;
        entry.node = new.node;
        entry.ino = new.ino;
        entry.layer = new.layer;
        entry.kind = new.kind;
        entry.merged = None;
        index
    }

    /// Takes a name from what has it. `whiteout` says that the upper layer has one now.
    pub(super) fn remove(&mut self, name: &[u8], whiteout: bool) {
        let Some(index) = self.find(name) else { return };
        let entry = &mut self.entries[index];
        self.live -= usize::from(entry.live);
        entry.live = false;
        entry.node = 0;
        entry.whiteout = whiteout;
        entry.merged = None;
        if !entry.below && !whiteout {
            let same = |found: &u32| at(*found) == index;
            if let Ok(found) = self.index.find_entry(hash(name), same) {
                self.free.push(found.remove().0);
                self.entries[index].name = Box::default();
            }
        }
    }
}

/// What a name shows from now on.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) node: NodeId,
    pub(super) ino: u64,
    pub(super) layer: LayerNumber,
    pub(super) kind: FileType,
}

impl Entry {
    fn free(name: &[u8]) -> Self {
        Self {
            name: name.into(),
            node: 0,
            ino: 0,
            layer: 0,
            merged: None,
            kind: FileType::Unknown,
            live: false,
            whiteout: false,
            below: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        Shown { node: 2, ino: 3, layer: 0, kind: FileType::RegularFile }
    }

    #[test]
    fn entries_keep_their_places_and_free_ones_are_used_again() {
        let mut folder = Folder::default();
        let places: Vec<usize> = [&b"a"[..], b"b", b"c"].map(|name| folder.put(name, shown())).into();
        folder.remove(b"b", false);
        assert_eq!((folder.live(), folder.find(b"b")), (2, None));
        assert_eq!(folder.find_live(b"c"), Some(places[2]));
        assert_eq!(folder.put(b"d", shown()), places[1]);
        assert_eq!(folder.find_live(b"a"), Some(places[0]));
    }

    #[test]
    fn a_name_with_something_below_stays_known() {
        let mut folder = Folder::default();
        let index = folder.put(b"a", shown());
        folder.entry_mut(index).below = true;
        folder.remove(b"a", true);
        let found = folder.find(b"a").map(|index| folder.entry(index));
        assert!(found.is_some_and(|entry| entry.whiteout && entry.below && !entry.live));
        assert_eq!((folder.live(), folder.find_live(b"a")), (0, None));
    }
}
