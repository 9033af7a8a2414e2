//! What a layer's tar says, entry by entry: written out of two trees, read out of a tar, and done to a tree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use plywood_archive::tar::{Entry, Kind, Limits, TarReader, TarWriter, Timestamp};
use plywood_graphdriver::ChangeKind;
use rustix::io::Errno;

use super::compare::{Changes, Index, carried};
use super::operation::{join, split};
use super::tree::{Content, Inode, ROOT, Tree, What, file};
use crate::listing::{Item, Listing, Node};

/// The names that mean deletions (OCI image spec, layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// One entry of a layer's tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// What was at the path is gone.
    Whiteout(Vec<u8>),
    /// What was in the folder at the path is gone.
    Opaque(Vec<u8>),
    /// This is there. Further names of an inode have [`Node::SameAs`] and no attributes.
    Item(Item),
}

impl Member {
    /// What it is about.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match self {
            Self::Whiteout(path) | Self::Opaque(path) | Self::Item(Item { path, .. }) => path,
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whiteout(path) => write!(formatter, "whiteout of /{}", path.escape_ascii()),
            Self::Opaque(path) => write!(formatter, "opaque /{}", path.escape_ascii()),
            Self::Item(item) => item.fmt(formatter),
        }
    }
}

/// A tar, read: its members, and what is in its files.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// In the order of the tar.
    pub all: Vec<Member>,
    /// By path.
    pub contents: HashMap<Vec<u8>, Content>,
}

/// How the same changes may be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Style {
    /// Folders that did not change themselves are not described.
    pub implied: bool,
    /// A folder that lost all it had is said to be opaque.
    pub opaque: bool,
}

impl Style {
    /// As drivers write it: all folders, and each deletion.
    pub const PLAIN: Self = Self { implied: false, opaque: false };
}

/// Writes changes down as members: what `child` has, and what it has no longer.
#[must_use]
pub fn members(changes: &Changes, parent: Option<&Listing>, child: &Listing, style: Style) -> Vec<Member> {
    let nothing = Listing(Vec::new());
    let (old, new) = (Index::of(parent.unwrap_or(&nothing)), Index::of(child));
    let opaque = if style.opaque { emptied(parent.unwrap_or(&nothing), &new) } else { BTreeSet::new() };
    let mut written = Vec::new();
    let mut first_names: HashMap<&[u8], Vec<u8>> = HashMap::new();
    for change in changes.all.values() {
        let Some(item) = new.item(&change.path) else {
            if split(&change.path).is_some_and(|(folder, _)| !opaque.contains(folder)) {
                written.push(Member::Whiteout(change.path.clone()));
            }
            continue;
        };
        let unchanged = |old: &Item| old.node == Node::Folder && old == item;
        let implied = style.implied
            && change.kind == ChangeKind::Modified
            && old.item(&item.path).is_some_and(unchanged);
        if !implied {
            let inode = if let Node::SameAs(first) = &item.node { first } else { &item.path };
            let described = match first_names.get(&inode[..]) {
                Some(first) => Item { node: Node::SameAs(first.clone()), xattrs: Vec::new(), ..item.clone() },
                None => Item { node: new.node(item).clone(), xattrs: carried(item), ..item.clone() },
            };
            first_names.entry(inode).or_insert_with(|| item.path.clone());
            written.push(Member::Item(described));
        }
        if opaque.contains(&change.path) {
            written.push(Member::Opaque(change.path.clone()));
        }
    }
    written
}

/// The folders below the root that had something in them and have none of it any more.
fn emptied(parent: &Listing, new: &Index<'_>) -> BTreeSet<Vec<u8>> {
    let mut kept: BTreeMap<&[u8], bool> = BTreeMap::new();
    for item in &parent.0 {
        if let Some((folder, _)) = split(&item.path) {
            *kept.entry(folder).or_default() |= new.item(&item.path).is_some();
        }
    }
    let is_folder = |path: &[u8]| new.item(path).is_some_and(|item| item.node == Node::Folder);
    kept.into_iter()
        .filter(|(path, kept)| !path.is_empty() && !kept && is_folder(path))
        .map(|(path, _)| path.to_vec())
        .collect()
}

/// Writes members as a tar; `tree` has what is in the files.
#[must_use]
pub fn write(members: &[Member], tree: &Tree) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for member in members {
        let entry = match member {
            Member::Whiteout(path) => marker(path, |name| [WHITEOUT, name].concat()),
            Member::Opaque(path) => Entry::new(join(path, OPAQUE), Kind::Regular),
            Member::Item(item) => described(item),
        };
        writer.append(&entry).expect("what the oracle makes can be written");
        let content = tree.content(&entry.path).filter(|_| entry.kind == Kind::Regular);
        if let Some(content) = content {
            writer.write_payload(content.bytes()).expect("memory takes all");
        }
    }
    writer.finish().expect("memory takes all")
}

fn marker(path: &[u8], name: impl FnOnce(&[u8]) -> Vec<u8>) -> Entry {
    let (folder, deleted) = split(path).expect("the root is not deleted");
    Entry::new(join(folder, &name(deleted)), Kind::Regular)
}

fn described(item: &Item) -> Entry {
    let device = |number| (rustix::fs::major(number), rustix::fs::minor(number));
    let mut size_bytes = 0;
    let kind = match &item.node {
        Node::Folder => Kind::Directory,
        Node::File { size_bytes: size, .. } => {
            size_bytes = *size;
            Kind::Regular
        }
        Node::SameAs(target) => Kind::HardLink { target: target.clone() },
        Node::Symlink(target) => Kind::Symlink { target: target.clone() },
        Node::CharacterDevice(number) => {
            Kind::CharDevice { major: device(*number).0, minor: device(*number).1 }
        }
        Node::BlockDevice(number) => Kind::BlockDevice { major: device(*number).0, minor: device(*number).1 },
        Node::Fifo | Node::Socket => Kind::Fifo,
    };
    let path = match (&item.node, item.path.is_empty()) {
        (_, true) => b"./".to_vec(),
        (Node::Folder, false) => [&item.path[..], b"/"].concat(),
        _ => item.path.clone(),
    };
    let Item { mode, uid, gid, modified, .. } = *item;
    Entry { mode, uid, gid, modified, size_bytes, xattrs: item.xattrs.clone(), ..Entry::new(path, kind) }
}

/// Reads a tar that a driver wrote.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(tar: &[u8]) -> Result<Members, String> {
    let mut reader = TarReader::new(tar, Limits::default(), ());
    let mut read = Members::default();
    while let Some(entry) = reader.next_entry().map_err(|error| format!("its diff is no tar: {error}"))? {
        let mut stored = Vec::new();
        loop {
            let bytes = reader.payload().map_err(|error| format!("its diff is cut off: {error}"))?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len();
            stored.extend_from_slice(bytes);
            reader.consume(count);
        }
        read.add(&entry, &stored)?;
    }
    Ok(read)
}

impl Members {
    fn add(&mut self, entry: &Entry, stored: &[u8]) -> Result<(), String> {
        let path = clean(entry)?;
        let (folder, name) = split(&path).unwrap_or((b"", b""));
        if let Some(deleted) = name.strip_prefix(WHITEOUT) {
            let blank = Entry {
                position: entry.position,
                ordinal: entry.ordinal,
                ..Entry::new(path.clone(), Kind::Regular)
            };
            if *entry != blank {
                return Err(format!("its diff has a whiteout that says more than that: {entry:?}"));
            }
            let whiteout = Member::Whiteout(join(folder, deleted));
            self.all.push(if name == OPAQUE { Member::Opaque(folder.to_vec()) } else { whiteout });
            return Ok(());
        }
        let node = match &entry.kind {
            Kind::Regular => {
                let content = Content::new(unpacked(entry, stored));
                let node = file(&content);
                self.contents.insert(path.clone(), content);
                node
            }
            Kind::HardLink { target } => Node::SameAs(target.clone()),
            Kind::Symlink { target } => Node::Symlink(target.clone()),
            Kind::Directory => Node::Folder,
            Kind::CharDevice { major, minor } => Node::CharacterDevice(rustix::fs::makedev(*major, *minor)),
            Kind::BlockDevice { major, minor } => Node::BlockDevice(rustix::fs::makedev(*major, *minor)),
            Kind::Fifo => Node::Fifo,
        };
        let Entry { mode, uid, gid, modified, .. } = *entry;
        let mut xattrs = entry.xattrs.clone();
        xattrs.sort();
        self.all.push(Member::Item(Item { path, node, mode, uid, gid, modified, xattrs }));
        Ok(())
    }

    /// Does what the members say to a tree, which becomes the child's.
    ///
    /// # Errors
    /// What cannot be done, in words.
    pub fn apply(&self, tree: &mut Tree) -> Result<(), String> {
        for member in &self.all {
            let done = match member {
                Member::Whiteout(path) => remove(tree, path),
                Member::Opaque(path) => empty(tree, path),
                Member::Item(item) => self.item(tree, item),
            };
            let shown = member.path().escape_ascii();
            done.map_err(|error| format!("its diff cannot be applied: /{shown}: {error}"))?;
        }
        Ok(())
    }

    fn item(&self, tree: &mut Tree, item: &Item) -> Result<(), Errno> {
        let what = match &item.node {
            Node::SameAs(target) => return link(tree, target, &item.path),
            Node::Folder => match tree.find(&item.path) {
                Ok(there) if tree.inode(there).is_folder() => {
                    describe(tree.inode_mut(there), item);
                    return Ok(());
                }
                _ => What::Folder(BTreeMap::new()),
            },
            Node::File { .. } => What::File(self.contents[&item.path].clone()),
            Node::Symlink(target) => What::Symlink(target.clone()),
            Node::Fifo => What::Fifo,
            Node::CharacterDevice(number) => What::Character(*number),
            Node::BlockDevice(number) => What::Block(*number),
            Node::Socket => return Err(Errno::OPNOTSUPP),
        };
        let (folder, name) = tree.place(&item.path)?;
        tree.remove(folder, name);
        let mut made = Inode::new(what, 0, Timestamp::default());
        describe(&mut made, item);
        tree.add(folder, name, made);
        Ok(())
    }
}

fn describe(inode: &mut Inode, item: &Item) {
    (inode.mode, inode.uid, inode.gid, inode.modified) = (item.mode, item.uid, item.gid, item.modified);
    inode.xattrs = item.xattrs.iter().cloned().collect();
}

fn remove(tree: &mut Tree, path: &[u8]) -> Result<(), Errno> {
    tree.find(path)?;
    let (folder, name) = tree.place(path)?;
    tree.remove(folder, name);
    Ok(())
}

fn empty(tree: &mut Tree, path: &[u8]) -> Result<(), Errno> {
    let folder = tree.find(path)?;
    let names: Vec<Vec<u8>> = tree.entries(folder)?.keys().cloned().collect();
    for name in names {
        tree.remove(folder, &name);
    }
    Ok(())
}

fn link(tree: &mut Tree, target: &[u8], path: &[u8]) -> Result<(), Errno> {
    let inode = tree.find(target)?;
    let (folder, name) = tree.place(path)?;
    if inode == ROOT {
        return Err(Errno::PERM);
    }
    if tree.child(folder, name) != Some(inode) {
        tree.remove(folder, name);
        tree.link(folder, name, inode);
    }
    Ok(())
}

/// The path of an entry without what tells folders in a tar.
fn clean(entry: &Entry) -> Result<Vec<u8>, String> {
    let folder = entry.kind == Kind::Directory;
    let path = if folder { entry.path.strip_suffix(b"/") } else { Some(&entry.path[..]) };
    match path {
        Some(b".") if folder => Ok(Vec::new()),
        Some(path) if !path.is_empty() && !path.starts_with(b"/") => Ok(path.to_vec()),
        _ => Err(format!("its diff has an entry of a strange path: {entry:?}")),
    }
}

fn unpacked(entry: &Entry, stored: &[u8]) -> Vec<u8> {
    let Some(segments) = &entry.sparse else { return stored.to_vec() };
    let mut bytes = vec![0; usize::try_from(entry.size_bytes).expect("the oracle's files are small")];
    let mut rest = stored;
    for segment in segments {
        let at = usize::try_from(segment.offset).expect("the oracle's files are small");
        let length = usize::try_from(segment.length).expect("the oracle's files are small");
        let (data, after) = rest.split_at(length);
        bytes[at..at + length].copy_from_slice(data);
        rest = after;
    }
    bytes
}
