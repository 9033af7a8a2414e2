//! Names to inodes.

use std::os::fd::AsFd;
use std::sync::Arc;

use parking_lot::MutexGuard;
use plywood_tree::resolve::Node as RealNode;
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;
use smallvec::{SmallVec, smallvec};

use super::Union;
use super::folder::Folder;
use super::formats;
use super::node::{Name, Node, Place, State};
use super::override_stat;
use super::real::Real;
use super::real_folder::{LayerNumber, RealFolder};
use crate::request::{Answer, Attributes, Entry, NodeId};

/// An inode with the reference that the caller of a look-up owes.
pub(super) struct Held {
    pub(super) node: Arc<Node>,
    pub(super) attributes: Attributes,
}

impl Held {
    pub(super) fn entry(&self) -> Entry {
        Entry { node: self.node.id, attributes: self.attributes }
    }
}

impl Union {
    pub(super) fn look_up(&self, parent: NodeId, name: &[u8]) -> Answer<Option<Entry>> {
        if name.len() > 255 {
            return Err(Errno::NAMETOOLONG);
        }
        let parent = self.table.get(parent)?;
        let mut folder = self.filled(&parent)?;
        let Some(index) = folder.find_live(name) else { return Ok(None) };
        Ok(Some(self.hold(&parent, &mut folder, index)?.entry()))
    }

    /// A folder's content, filled and locked.
    pub(super) fn filled<'a>(&self, node: &'a Arc<Node>) -> Answer<MutexGuard<'a, Folder>> {
        let mut folder = node.folder()?.lock();
        self.load(node, &mut folder)?;
        Ok(folder)
    }

    /// The inode of an entry, with one more reference.
    pub(super) fn hold(&self, parent: &Arc<Node>, folder: &mut Folder, index: usize) -> Answer<Held> {
        if let Some(node) = self.table.hold(folder.entry(index).node) {
            let attributes = self.attributes_of(&node).inspect_err(|_| self.table.release(&node, 1))?;
            return Ok(Held { node, attributes });
        }
        let real = real_parent(parent, folder.entry(index).layer)?;
        let entry = folder.entry(index);
        let held = if entry.kind == FileType::Directory {
            self.new_folder(parent, &real, entry)?
        } else {
            self.new_leaf(parent, &real, entry, folder.impure)?
        };
        folder.entry_mut(index).node = held.node.id;
        Ok(held)
    }

    fn new_folder(
        &self,
        parent: &Arc<Node>,
        real: &Arc<RealFolder>,
        entry: &super::folder::Entry,
    ) -> Answer<Held> {
        let mut folders = vec![real.child(&entry.name)];
        for layer in entry.merged.iter().flat_map(|merged| merged.iter().skip(1)) {
            folders.push(real_parent(parent, *layer)?.child(&entry.name));
        }
        let opened = real.open(&self.folders)?;
        let stat = self.real_stat(&opened, &entry.name, real.layer)?;
        // The number of a merged folder is that of its part in the first lower layer.
        let numbered = match &entry.merged {
            Some(merged) if self.layers.is_upper(entry.layer) => {
                merged.get(1).copied().unwrap_or(entry.layer)
            }
            _ => entry.layer,
        };
        let state = State {
            names: smallvec![Name::new(parent, &entry.name)],
            ino: self.layers.number(numbered, entry.ino),
            place: Place::Merged(folders.into()),
            hidden_links: 0,
            objects: SmallVec::new(),
        };
        Ok(self.enter(FileType::Directory, state, &stat))
    }

    fn new_leaf(
        &self,
        parent: &Arc<Node>,
        real: &Arc<RealFolder>,
        entry: &super::folder::Entry,
        impure: bool,
    ) -> Answer<Held> {
        let opened = real.open(&self.folders)?;
        let stat = self.real_stat(&opened, &entry.name, real.layer)?;
        let name = Name::new(parent, &entry.name);
        let place = Place::In { folder: Arc::clone(real), name: Arc::clone(&name.name) };
        let origin = if impure && self.layers.is_upper(real.layer) {
            formats::origin_number(RealNode { folder: opened.as_fd(), name: &entry.name })?
        } else {
            None
        };
        // Handles are of the first lower layer's file system, as far as we write them.
        let ino = origin.map_or_else(
            || self.layers.number(real.layer, stat.st_ino),
            |ino| self.layers.number(real.layer, ino),
        );
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut state =
            State { names: smallvec![name.clone()], ino, place, hidden_links: 0, objects: SmallVec::new() };
        if stat.st_nlink < 2 {
            return Ok(self.enter(kind, state, &stat));
        }
        // One object with several names is one inode.
        let object = (real.layer, stat.st_ino);
        let mut objects = self.table.objects(object).lock();
        if let Some(node) = objects.get(&object).and_then(|id| self.table.hold(*id)) {
            drop(objects);
            Self::add_name(&node, name);
            let attributes = self.attributes_of(&node).inspect_err(|_| self.table.release(&node, 1))?;
            return Ok(Held { node, attributes });
        }
        state.objects.push(object);
        if !self.layers.is_upper(real.layer) {
            state.hidden_links = self.link_groups.hidden(object);
        }
        let held = self.enter(kind, state, &stat);
        objects.insert(object, held.node.id);
        Ok(held)
    }

    /// Makes an inode known.
    pub(super) fn enter(&self, kind: FileType, state: State, stat: &Stat) -> Held {
        let node = Node::new(self.table.next_id(), kind, state);
        self.table.insert(&node);
        self.note_growth();
        let attributes = self.show(&node, &node.state.read(), stat);
        Held { node, attributes }
    }

    /// Notes that an inode has another name.
    pub(super) fn add_name(node: &Arc<Node>, name: Name) {
        let mut state = node.state.write();
        if state.names.iter().any(|known| known.is(&name.parent, &name.name)) {
            return;
        }
        name.parent.references.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        state.names.push(name);
    }

    /// Notes that a name of an inode is gone.
    pub(super) fn drop_name(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &[u8]) {
        let mut state = node.state.write();
        if let Some(index) = state.names.iter().position(|known| known.is(parent, name)) {
            state.names.swap_remove(index);
            drop(state);
            self.table.release(parent, 1);
        }
    }

    /// The stat of something in a real folder, with what its layer says of owners and modes.
    pub(super) fn real_stat(&self, folder: impl AsFd, name: &[u8], layer: LayerNumber) -> Answer<Stat> {
        let mut stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if let Some(form) = self.layers.layer(layer).override_stat {
            let real = Real::Named(RealNode { folder: folder.as_fd(), name });
            override_stat::apply(form, &real, &mut stat)?;
        }
        Ok(stat)
    }
}

/// The part that a layer has of a merged folder.
pub(super) fn real_parent(parent: &Arc<Node>, layer: LayerNumber) -> Answer<Arc<RealFolder>> {
    let folders = parent.real_folders()?;
    folders.iter().find(|folder| folder.layer == layer).cloned().ok_or(Errno::STALE)
}
