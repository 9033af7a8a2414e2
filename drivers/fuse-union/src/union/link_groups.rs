//! Hard links across copy-up.
//!
//! All visible names that a file has in its lower layer are given to the copy, so that they stay names of one file, in this
//! mount, in the next, and in what is exported of the upper layer. (The kernel's `index=on` keeps the other names in the lower
//! layer, and only says in its work folder that they mean the copy.)

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use plywood_tree::resolve::Node as RealNode;
use plywood_tree::{folder, path};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Union;
use super::lookup::real_parent;
use super::node::{Name, Node, Object, Place};
use super::real_folder::{LayerNumber, RealFolder};
use crate::request::Answer;

/// The paths of files with several names in a layer, by their numbers.
type Paths = HashMap<u64, Vec<Vec<u8>>>;

/// Merged folders by the layer and the path of a part.
type Moved = HashMap<(LayerNumber, Vec<u8>), Arc<Node>>;

/// What is known of files with several names.
#[derive(Default)]
pub(super) struct LinkGroups {
    /// Filled by a walk over the layer when first asked for. Lower layers do not change.
    layers: Mutex<HashMap<LayerNumber, Arc<Paths>>>,
    /// Folders whose parts in lower layers have other paths than they have in the merged tree.
    moved: Mutex<Moved>,
    /// How many names of a lower file were removed or replaced since the mount.
    hidden: Mutex<HashMap<Object, u32>>,
    /// Folders that were moved before this mount are known.
    found_moved: Mutex<bool>,
}

impl LinkGroups {
    /// Notes that a name of a lower file with several is hidden now.
    pub(super) fn note_hidden(&self, object: Object) {
        *self.hidden.lock().entry(object).or_default() += 1;
    }

    /// How many names of a lower file are hidden.
    pub(super) fn hidden(&self, object: Object) -> u32 {
        self.hidden.lock().get(&object).copied().unwrap_or_default()
    }

    fn moved(&self, layer: LayerNumber, real_path: &[u8]) -> Option<Arc<Node>> {
        self.moved.lock().get(&(layer, real_path.to_vec())).cloned()
    }
}

impl Union {
    /// Notes that a merged folder has this real part, though not at its path. The folder is kept in memory from then on.
    pub(super) fn note_moved(&self, node: &Arc<Node>, part: &RealFolder) {
        let Some(held) = self.table.hold(node.id) else { return };
        if let Some(before) = self.link_groups.moved.lock().insert((part.layer, part.path()), held) {
            self.table.release(&before, 1);
        }
    }

    /// Finds the folders that were moved in mounts before this one. Their paths in the upper layer are those that they show.
    fn find_moved(&self) -> Answer<()> {
        let mut found = self.link_groups.found_moved.lock();
        if *found {
            return Ok(());
        }
        let root = self.layers.layer(0).root.open(&self.folders)?;
        for path in walk_redirects(&root)? {
            let mut at = self.table.hold(self.root.id).ok_or(Errno::STALE)?;
            for name in path.split(|byte| *byte == b'/') {
                let next = {
                    let mut above = self.filled(&at)?;
                    match above.find_live(name) {
                        Some(index) => Some(self.hold(&at, &mut above, index)?.node),
                        None => None,
                    }
                };
                let Some(next) = next else { break };
                self.table.release(&at, 1);
                at = next;
            }
            // Filling it notes its parts.
            if at.is_folder() {
                drop(self.filled(&at)?);
            }
            self.table.release(&at, 1);
        }
        *found = true;
        Ok(())
    }

    /// Gives the copy of a lower file the other names that the file has. The caller holds its `copying` lock.
    pub(super) fn link_group_up(&self, node: &Arc<Node>, object: Object) -> Answer<()> {
        self.find_moved()?;
        let paths = self.paths(object.0)?;
        for path in paths.get(&object.1).into_iter().flatten() {
            let (above, name) = path::split(path).ok_or(Errno::STALE)?;
            if let Some(parent) = self.find_folder(object.0, above)? {
                let linked = self.link_name_up(node, object, &parent, name);
                self.table.release(&parent, 1);
                linked?;
            }
        }
        // Names of the copy that were not looked up yet lead to this inode.
        let copy = self.stat(node)?;
        if copy.st_nlink > 1 {
            self.register(node, (0, copy.st_ino));
        }
        Ok(())
    }

    /// Makes further names of a real object lead to an inode.
    pub(super) fn register(&self, node: &Arc<Node>, object: Object) {
        self.table.objects(object).lock().insert(object, node.id);
        let mut state = node.state.write();
        if !state.objects.contains(&object) {
            state.objects.push(object);
        }
    }

    fn link_name_up(&self, node: &Arc<Node>, object: Object, parent: &Arc<Node>, name: &[u8]) -> Answer<()> {
        let shows = |entry: &super::folder::Entry| {
            entry.layer == object.0 && entry.ino == object.1 && entry.kind == node.kind
        };
        let visible = {
            let above = self.filled(parent)?;
            above.find_live(name).is_some_and(|index| shows(above.entry(index)))
        };
        if !visible {
            return Ok(());
        }
        self.copy_up(parent, 0)?;
        let mut above = self.filled(parent)?;
        let Some(index) = above.find_live(name).filter(|index| shows(above.entry(*index))) else {
            return Ok(());
        };
        let upper = real_parent(parent, 0)?;
        let Place::In { folder, name: copy } = node.place() else { return Ok(()) };
        let source = folder.open(&self.folders)?;
        self.keeping_times(&upper, |opened| {
            rustix::fs::linkat(&*source, &*copy, opened, name, AtFlags::empty())
        })?;
        self.mark_impure(&upper, &mut above)?;
        let entry = above.entry_mut(index);
        entry.layer = 0;
        entry.node = node.id;
        drop(above);
        Self::add_name(node, Name::new(parent, name));
        Ok(())
    }

    /// The merged folder that shows a lower layer's folder, with one more reference; nothing where it is hidden.
    fn find_folder(&self, layer: LayerNumber, real_path: &[u8]) -> Answer<Option<Arc<Node>>> {
        let mut at = self.table.hold(self.root.id).ok_or(Errno::STALE)?;
        let mut shown = b"".to_vec();
        for name in real_path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            shown.push(b'/');
            shown.extend_from_slice(name);
            let next = self.step(&at, layer, &shown, name);
            self.table.release(&at, 1);
            match next? {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    fn step(
        &self,
        at: &Arc<Node>,
        layer: LayerNumber,
        real_path: &[u8],
        name: &[u8],
    ) -> Answer<Option<Arc<Node>>> {
        if let Some(moved) = self.link_groups.moved(layer, real_path) {
            let shown = !moved.state.read().names.is_empty();
            return Ok(if shown { self.table.hold(moved.id) } else { None });
        }
        let child = {
            let mut folder = self.filled(at)?;
            match folder.find_live(name) {
                Some(index) if folder.entry(index).kind == FileType::Directory => {
                    self.hold(at, &mut folder, index)?.node
                }
                _ => return Ok(None),
            }
        };
        let loaded = self.filled(&child).map(drop);
        let folders = loaded.and_then(|()| child.real_folders());
        let shows = folders.is_ok_and(|folders| {
            folders.iter().any(|folder| folder.layer == layer && folder.path() == real_path)
        });
        if shows {
            return Ok(Some(child));
        }
        self.table.release(&child, 1);
        Ok(None)
    }

    fn paths(&self, layer: LayerNumber) -> Answer<Arc<Paths>> {
        let mut layers = self.link_groups.layers.lock();
        if let Some(known) = layers.get(&layer) {
            return Ok(Arc::clone(known));
        }
        let root = self.layers.layer(layer).root.open(&self.folders)?;
        let found = Arc::new(walk(&root)?);
        layers.insert(layer, Arc::clone(&found));
        Ok(found)
    }
}

/// The paths of all folders of the upper layer that say where their lower parts are.
fn walk_redirects(root: &OwnedFd) -> Answer<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut pending = vec![Vec::new()];
    while let Some(at) = pending.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = rustix::fs::ResolveFlags::NO_SYMLINKS | rustix::fs::ResolveFlags::NO_XDEV;
        let shown = if at.is_empty() { b".".to_vec() } else { at.clone() };
        let Ok(opened) = rustix::fs::openat2(root, &shown, flags, Mode::empty(), resolve) else { continue };
        if super::formats::marks(&opened)?.redirect.is_some() {
            found.push(at.clone());
        }
        for name in folder::names(opened.as_fd())? {
            if FileType::from_raw_mode(RealNode::new(&opened, &name).stat()?.st_mode) == FileType::Directory {
                pending.push(path::join(&at, &name));
            }
        }
    }
    Ok(found)
}

/// Finds all files with several names in a layer.
fn walk(root: &OwnedFd) -> Answer<Paths> {
    let mut found = Paths::new();
    let mut pending = vec![Vec::new()];
    while let Some(at) = pending.pop() {
        let opened = if at.is_empty() {
            rustix::io::fcntl_dupfd_cloexec(root, 0)?
        } else {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = rustix::fs::ResolveFlags::NO_SYMLINKS | rustix::fs::ResolveFlags::NO_XDEV;
            match rustix::fs::openat2(root, &at, flags, Mode::empty(), resolve) {
                // What we may not list, or what is mounted there, is in no layer that we could have linked from.
                Err(Errno::ACCESS | Errno::XDEV | Errno::NAMETOOLONG) => continue,
                other => other?,
            }
        };
        for name in folder::names(opened.as_fd())? {
            let stat = RealNode::new(&opened, &name).stat()?;
            let below = path::join(&at, &name);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                pending.push(below);
            } else if stat.st_nlink > 1 {
                found.entry(stat.st_ino).or_default().push(below);
            }
        }
    }
    Ok(found)
}
