//! What differs between two whole trees, found by looking at all of both.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plywood_graphdriver::{Change, ChangeKind};

use super::operation::{Attribute, split};
use crate::listing::{Item, Listing, Node};

/// A listing that can be looked things up in.
#[derive(Debug)]
pub struct Index<'a> {
    items: HashMap<&'a [u8], &'a Item>,
    /// All names of each inode with several, by each of them.
    groups: HashMap<&'a [u8], BTreeSet<&'a [u8]>>,
}

impl<'a> Index<'a> {
    /// Reads a listing.
    #[must_use]
    pub fn of(listing: &'a Listing) -> Self {
        let items = listing.0.iter().map(|item| (&item.path[..], item)).collect();
        let mut by_first: HashMap<&[u8], BTreeSet<&[u8]>> = HashMap::new();
        for item in &listing.0 {
            if let Node::SameAs(first) = &item.node {
                by_first.entry(first).or_default().extend([&first[..], &item.path]);
            }
        }
        let groups =
            by_first.values().flat_map(|names| names.iter().map(|name| (*name, names.clone()))).collect();
        Self { items, groups }
    }

    /// The item at a path.
    #[must_use]
    pub fn item(&self, path: &[u8]) -> Option<&'a Item> {
        self.items.get(path).copied()
    }

    /// What is at a path that an item has, be it a further name of something else.
    #[must_use]
    pub fn node(&self, item: &'a Item) -> &'a Node {
        match &item.node {
            Node::SameAs(first) => &self.items[&first[..]].node,
            node => node,
        }
    }

    fn is_folder(&self, path: &[u8]) -> bool {
        self.item(path).is_some_and(|item| item.node == Node::Folder)
    }

    fn names(&self, path: &'a [u8]) -> BTreeSet<&'a [u8]> {
        self.groups.get(path).cloned().unwrap_or_else(|| BTreeSet::from([path]))
    }
}

/// A path as it is sorted: a folder before what is in it, and that before its next sibling.
pub type Key = Vec<Vec<u8>>;

/// The key of a path.
#[must_use]
pub fn key(path: &[u8]) -> Key {
    if path.is_empty() { Vec::new() } else { path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect() }
}

/// The changes from a tree to another, root included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Each with the path in it, in their order.
    pub all: BTreeMap<Key, Change>,
    /// Files that are as they were but for their other names, or whose names changed so that their being one file can be seen
    /// from the other names alone: a driver may tell them as modified, and need not.
    pub optional: BTreeSet<Vec<u8>>,
}

/// Compares two trees; without a parent everything is new.
#[must_use]
pub fn changes(parent: Option<&Listing>, child: &Listing) -> Changes {
    let nothing = Listing(Vec::new());
    let (old, new) = (Index::of(parent.unwrap_or(&nothing)), Index::of(child));
    let mut found = Changes { all: BTreeMap::new(), optional: BTreeSet::new() };
    for item in &child.0 {
        let path = &item.path[..];
        let Some(before) = old.item(path) else {
            found.add(path, ChangeKind::Added);
            continue;
        };
        let (linked, was_linked) = (new.names(path), old.names(path));
        if differs(&old, before, &new, item) || !linked.is_subset(&was_linked) {
            found.add(path, ChangeKind::Modified);
        } else if linked.len() > 1 || was_linked.len() > 1 {
            found.optional.insert(path.to_vec());
        }
    }
    for item in &parent.unwrap_or(&nothing).0 {
        let gone = new.item(&item.path).is_none();
        if gone && split(&item.path).is_some_and(|(folder, _)| new.is_folder(folder)) {
            found.add(&item.path, ChangeKind::Deleted);
        }
    }
    found.complete();
    found
}

fn differs<'a>(old: &Index<'a>, before: &'a Item, new: &Index<'a>, now: &'a Item) -> bool {
    let metadata = |item: &Item| (item.mode, item.uid, item.gid, item.modified);
    metadata(before) != metadata(now) || old.node(before) != new.node(now) || carried(before) != carried(now)
}

/// The attributes of an item that a layer carries.
#[must_use]
pub fn carried(item: &Item) -> Vec<(Vec<u8>, Vec<u8>)> {
    item.xattrs.iter().filter(|(name, _)| Attribute::is_carried(name)).cloned().collect()
}

/// A tree without what no layer carries.
#[must_use]
pub fn all_carried(listing: &Listing) -> Listing {
    Listing(listing.0.iter().map(|item| Item { xattrs: carried(item), ..item.clone() }).collect())
}

impl Changes {
    fn add(&mut self, path: &[u8], kind: ChangeKind) {
        self.all.insert(key(path), Change { path: path.to_vec(), kind });
    }

    /// Adds the folders in which something changed, the root left out.
    fn complete(&mut self) {
        let paths: Vec<Vec<u8>> = self.all.values().map(|change| change.path.clone()).collect();
        for path in paths {
            let mut at = &path[..];
            while let Some((folder, _)) = split(at) {
                if !folder.is_empty() {
                    let changed = || Change { path: folder.to_vec(), kind: ChangeKind::Modified };
                    self.all.entry(key(folder)).or_insert_with(changed);
                }
                at = folder;
            }
        }
    }

    /// The same with those of the optional ones that were told.
    #[must_use]
    pub fn with<'p>(&self, told: impl Iterator<Item = &'p [u8]>) -> Self {
        let mut with = self.clone();
        for path in told.filter(|path| self.optional.contains(*path)) {
            with.add(path, ChangeKind::Modified);
        }
        with.complete();
        with
    }

    /// The same with all that is optional.
    #[must_use]
    pub fn with_all(&self) -> Self {
        self.with(self.optional.iter().map(Vec::as_slice))
    }

    /// As a driver tells them: the root is left out.
    #[must_use]
    pub fn told(&self) -> Vec<Change> {
        self.all.values().filter(|change| !change.path.is_empty()).cloned().collect()
    }
}
