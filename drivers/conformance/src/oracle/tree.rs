//! A tree in memory: inodes, and the names that folders give them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use plywood_archive::digest::Digest;
use plywood_archive::tar::Timestamp;
use rustix::io::Errno;

use super::operation::{join, split};
use crate::listing::{Item, Listing, Node};

/// The number of an inode.
pub type Number = u32;

/// The root's.
pub const ROOT: Number = 0;

/// Whether a file of the parents with several names stays one file when it is written to under one of them.
///
/// On overlayfs without `index=on` it does not: "Hard links: when a file with multiple hard links is copied up, then this will
/// 'break' the link" (Documentation/filesystems/overlayfs.rst, "Non-standard behavior").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardLinks {
    /// It stays one, as on every other file system.
    Kept,
    /// The name written to gets a file of its own.
    Broken,
}

/// The content of a file, hashed once.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    bytes: Arc<[u8]>,
    digest: Digest,
}

impl Content {
    /// Hashes and keeps `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { digest: Digest::of(&bytes), bytes: bytes.into() }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.bytes.len())
    }
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A folder, and what is in it.
    Folder(BTreeMap<Vec<u8>, Number>),
    /// A regular file.
    File(Content),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device.
    Character(u64),
    /// A block device.
    Block(u64),
}

/// A file of any type.
#[derive(Debug, Clone)]
pub struct Inode {
    /// What it is.
    pub what: What,
    /// Permission, setuid, setgid and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The modification time.
    pub modified: Timestamp,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many names it has.
    pub names: u32,
    /// It is the parents', and was not written to in this layer.
    pub inherited: bool,
}

impl Inode {
    /// A new one of root's, with one name.
    #[must_use]
    pub fn new(what: What, mode: u32, modified: Timestamp) -> Self {
        Self { what, mode, uid: 0, gid: 0, modified, xattrs: BTreeMap::new(), names: 1, inherited: false }
    }

    /// Whether it is a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        matches!(self.what, What::Folder(_))
    }
}

/// A whole tree.
#[derive(Clone)]
pub struct Tree {
    inodes: BTreeMap<Number, Inode>,
    next: Number,
}

impl Tree {
    /// The empty tree that a layer without parents begins as.
    #[must_use]
    pub fn empty() -> Self {
        let root = Inode::new(What::Folder(BTreeMap::new()), 0o755, Timestamp::default());
        Self { inodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1 }
    }

    /// The tree that a layer on top of this one begins as.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let mut copy = self.clone();
        copy.inodes.values_mut().for_each(|inode| inode.inherited = true);
        copy
    }

    /// An inode that is there.
    #[must_use]
    pub fn inode(&self, number: Number) -> &Inode {
        &self.inodes[&number]
    }

    /// An inode that is there, to be changed.
    pub fn inode_mut(&mut self, number: Number) -> &mut Inode {
        self.inodes.get_mut(&number).expect("inodes live as long as they have names")
    }

    /// What is in a folder.
    ///
    /// # Errors
    /// `ELOOP` for a symbolic link, which nothing follows; `ENOTDIR` for any other file.
    pub fn entries(&self, number: Number) -> Result<&BTreeMap<Vec<u8>, Number>, Errno> {
        match &self.inode(number).what {
            What::Folder(entries) => Ok(entries),
            What::Symlink(_) => Err(Errno::LOOP),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn entries_mut(&mut self, number: Number) -> &mut BTreeMap<Vec<u8>, Number> {
        match &mut self.inode_mut(number).what {
            What::Folder(entries) => entries,
            other => panic!("{other:?} is no folder"),
        }
    }

    /// The inode at a path, of whatever type.
    ///
    /// # Errors
    /// `ENOENT`, and those of [`entries`](Self::entries).
    pub fn find(&self, path: &[u8]) -> Result<Number, Errno> {
        let mut at = ROOT;
        if !path.is_empty() {
            for name in path.split(|byte| *byte == b'/') {
                at = *self.entries(at)?.get(name).ok_or(Errno::NOENT)?;
            }
        }
        Ok(at)
    }

    /// The folder of a path, and the name in it.
    ///
    /// # Errors
    /// `EINVAL` for the root, and those of [`find`](Self::find).
    pub fn place<'p>(&self, path: &'p [u8]) -> Result<(Number, &'p [u8]), Errno> {
        let (folder, name) = split(path).ok_or(Errno::INVAL)?;
        let folder = self.find(folder)?;
        self.entries(folder)?;
        Ok((folder, name))
    }

    /// The inode that a folder has under a name.
    #[must_use]
    pub fn child(&self, folder: Number, name: &[u8]) -> Option<Number> {
        self.entries(folder).ok()?.get(name).copied()
    }

    /// Puts a new inode at a free name.
    pub fn add(&mut self, folder: Number, name: &[u8], inode: Inode) -> Number {
        let number = self.next;
        self.next += 1;
        self.inodes.insert(number, inode);
        self.entries_mut(folder).insert(name.to_vec(), number);
        number
    }

    /// Gives an inode that is there one more name, which is free.
    pub fn link(&mut self, folder: Number, name: &[u8], number: Number) {
        self.inode_mut(number).names += 1;
        self.entries_mut(folder).insert(name.to_vec(), number);
    }

    /// Takes a name away, and what it names if it has no other, with all that is in it.
    pub fn remove(&mut self, folder: Number, name: &[u8]) {
        let Some(number) = self.entries_mut(folder).remove(name) else { return };
        self.inode_mut(number).names -= 1;
        if self.inode(number).names > 0 {
            return;
        }
        let inside: Vec<Vec<u8>> =
            self.entries(number).map(|entries| entries.keys().cloned().collect()).unwrap_or_default();
        for inner in inside {
            self.remove(number, &inner);
        }
        self.inodes.remove(&number);
    }

    /// Moves a name to another that is free.
    pub fn rename(&mut self, from: (Number, &[u8]), to: (Number, &[u8])) {
        if let Some(number) = self.entries_mut(from.0).remove(from.1) {
            self.entries_mut(to.0).insert(to.1.to_vec(), number);
        }
    }

    /// Makes what a name names the layer's own, as copying up does: see [`HardLinks`]. Gives its number from then on.
    pub fn own(&mut self, folder: Number, name: &[u8], links: HardLinks) -> Number {
        let number = self.child(folder, name).expect("only what is there is written to");
        let inode = self.inode_mut(number);
        if inode.is_folder() || links == HardLinks::Kept || !inode.inherited {
            return number;
        }
        inode.inherited = false;
        if inode.names == 1 {
            return number;
        }
        inode.names -= 1;
        inode.inherited = true;
        let copy = Inode { names: 1, inherited: false, ..inode.clone() };
        self.add(folder, name, copy)
    }

    /// Every path, in the order of a listing, with its inode.
    #[must_use]
    pub fn paths(&self) -> Vec<(Vec<u8>, Number)> {
        let mut found = vec![(Vec::new(), ROOT)];
        self.collect(ROOT, b"", &mut found);
        found
    }

    fn collect(&self, folder: Number, path: &[u8], found: &mut Vec<(Vec<u8>, Number)>) {
        let Ok(entries) = self.entries(folder) else { return };
        for (name, number) in entries {
            let at = join(path, name);
            found.push((at.clone(), *number));
            self.collect(*number, &at, found);
        }
    }

    /// The tree written down.
    #[must_use]
    pub fn listing(&self) -> Listing {
        let mut first: HashMap<Number, Vec<u8>> = HashMap::new();
        let item = |(path, number): (Vec<u8>, Number)| {
            let inode = self.inode(number);
            let mut node = node(&inode.what);
            if inode.names > 1 {
                if let Some(first) = first.get(&number) {
                    node = Node::SameAs(first.clone());
                } else {
                    first.insert(number, path.clone());
                }
            }
            let xattrs = inode.xattrs.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            let Inode { mode, uid, gid, modified, .. } = *inode;
            Item { path, node, mode, uid, gid, modified, xattrs }
        };
        Listing(self.paths().into_iter().map(item).collect())
    }

    /// The content of the file at a path, if there is one.
    #[must_use]
    pub fn content(&self, path: &[u8]) -> Option<&Content> {
        match &self.inode(self.find(path).ok()?).what {
            What::File(content) => Some(content),
            _ => None,
        }
    }

    /// Whether an attribute is in it that no layer carries.
    #[must_use]
    pub fn has_foreign(&self) -> bool {
        let foreign = |name: &Vec<u8>| !super::operation::Attribute::is_carried(name);
        self.inodes.values().any(|inode| inode.xattrs.keys().any(foreign))
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.listing().lines()).finish()
    }
}

/// The content up to which a listing shows it, as `crate::listing` has it.
const SHOWN_BYTES: usize = 4096;

fn node(what: &What) -> Node {
    match what {
        What::Folder(_) => Node::Folder,
        What::File(content) => file(content),
        What::Symlink(target) => Node::Symlink(target.clone()),
        What::Fifo => Node::Fifo,
        What::Character(device) => Node::CharacterDevice(*device),
        What::Block(device) => Node::BlockDevice(*device),
    }
}

/// A file as a listing has it.
#[must_use]
pub fn file(content: &Content) -> Node {
    let shown = content.bytes.len() <= SHOWN_BYTES;
    Node::File {
        size_bytes: content.bytes.len() as u64,
        digest: content.digest,
        content: shown.then(|| content.bytes.to_vec()),
    }
}
