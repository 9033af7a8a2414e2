//! Removing names. What is in a lower layer gets a whiteout and is not touched.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use plywood_tree::resolve::Node as RealNode;
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;

use super::Union;
use super::folder::Folder;
use super::lookup::real_parent;
use super::node::{Node, Place};
use super::work::Work;
use crate::request::{Answer, NodeId};

impl Union {
    pub(super) fn remove_leaf(&self, parent: NodeId, name: &[u8]) -> Answer<()> {
        let parent = self.table.get(parent)?;
        let work = self.work()?;
        self.copy_up(&parent, 0)?;
        let mut folder = self.filled(&parent)?;
        let index = folder.find_live(name).ok_or(Errno::NOENT)?;
        if folder.entry(index).kind == FileType::Directory {
            return Err(Errno::ISDIR);
        }
        let (layer, below) = (folder.entry(index).layer, folder.entry(index).below);
        let node = self.table.hold(folder.entry(index).node);
        let opened = real_parent(&parent, 0)?.open(&self.folders)?;
        let upper = self.layers.is_upper(layer);
        let removed = if upper {
            let kept =
                node.as_ref().map_or(Ok(()), |node| Self::keep_reachable(node, &parent, name, &opened));
            kept.and_then(|()| {
                if below {
                    work.replace_by_whiteout(opened.as_fd(), name)
                } else {
                    rustix::fs::unlinkat(&*opened, name, AtFlags::empty())
                }
            })
        } else {
            work.add_whiteout(opened.as_fd(), name)
        };
        if removed.is_ok() {
            folder.remove(name, below || !upper);
        }
        drop(folder);
        if let Some(node) = node {
            if removed.is_ok() {
                self.forget_leaf(&node, &parent, name, upper);
            }
            self.table.release(&node, 1);
        }
        removed
    }

    /// Notes that a name of a leaf is gone.
    pub(super) fn forget_leaf(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &[u8], upper: bool) {
        self.drop_name(node, parent, name);
        if !upper {
            let mut state = node.state.write();
            state.hidden_links += 1;
            for object in &state.objects {
                self.link_groups.note_hidden(*object);
            }
        }
    }

    /// Makes sure that a file of the upper layer is still found when this name is gone: by another one, or by a descriptor.
    pub(super) fn keep_reachable(
        node: &Arc<Node>,
        parent: &Arc<Node>,
        name: &[u8],
        opened: &OwnedFd,
    ) -> Answer<()> {
        let mut state = node.state.write();
        let Place::In { name: real, folder } = &state.place else { return Ok(()) };
        let is_this =
            **real == *name && real_parent(parent, 0).is_ok_and(|upper| Arc::ptr_eq(&upper, folder));
        if !is_this {
            return Ok(());
        }
        let other = state.names.iter().find(|known| !known.is(parent, name)).cloned();
        let other = other.and_then(|other| Some((real_parent(&other.parent, 0).ok()?, other.name)));
        let place = if let Some((folder, name)) = other {
            Place::In { folder, name }
        } else {
            let held = RealNode { folder: opened.as_fd(), name }.open(OFlags::PATH)?;
            Place::Held { file: Arc::new(held), layer: 0 }
        };
        state.place = place;
        Ok(())
    }

    pub(super) fn remove_merged_folder(&self, parent: NodeId, name: &[u8]) -> Answer<()> {
        let parent = self.table.get(parent)?;
        let work = self.work()?;
        self.copy_up(&parent, 0)?;
        let mut folder = self.filled(&parent)?;
        let index = folder.find_live(name).ok_or(Errno::NOENT)?;
        if folder.entry(index).kind != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        let below = folder.entry(index).below;
        let node = self.hold(&parent, &mut folder, index)?.node;
        let opened = real_parent(&parent, 0)?.open(&self.folders)?;
        let removed = self.empty_folder(&node).and_then(|whiteouts| {
            if self.is_upper(&node) {
                dispose_folder(work, &opened, name, below, whiteouts)
            } else {
                work.add_whiteout(opened.as_fd(), name)
            }
        });
        if removed.is_ok() {
            folder.remove(name, below);
        }
        drop(folder);
        if removed.is_ok() {
            self.forget_folder(&node, &parent, name)?;
        }
        self.table.release(&node, 1);
        removed
    }

    /// Checks that a folder shows nothing, and keeps it open for those who are in it. Answers whether its upper part holds
    /// whiteouts. The kernel keeps everybody from making something in it meanwhile.
    pub(super) fn empty_folder(&self, node: &Arc<Node>) -> Answer<bool> {
        let folder = self.filled(node)?;
        if folder.live() > 0 {
            return Err(Errno::NOTEMPTY);
        }
        let whiteouts = folder.entries().iter().any(|entry| entry.whiteout);
        drop(folder);
        if let Some(first) = node.real_folders()?.first() {
            first.pin(&self.folders)?;
        }
        Ok(whiteouts)
    }

    /// Notes that a folder is gone.
    pub(super) fn forget_folder(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &[u8]) -> Answer<()> {
        node.folder()?.lock().removed = true;
        self.drop_name(node, parent, name);
        Ok(())
    }
}

/// Removes a folder of the upper layer that shows nothing, and leaves a whiteout where something is below.
fn dispose_folder(work: &Work, opened: &OwnedFd, name: &[u8], below: bool, whiteouts: bool) -> Answer<()> {
    if below {
        return work.replace_folder_by_whiteout(opened.as_fd(), name);
    }
    if !whiteouts {
        match rustix::fs::unlinkat(opened, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            other => return other,
        }
    }
    let staged = work.free_name();
    rustix::fs::renameat(opened, name, work.stage(), &staged)?;
    work.discard(&staged);
    Ok(())
}

/// As [`dispose_folder`], for what a rename brought to the name of its source.
pub(super) fn dispose(work: &Work, opened: &OwnedFd, name: &[u8], below: bool) -> Answer<()> {
    dispose_folder(work, opened, name, below, true)
}

/// Whether a folder's entry at an index has an upper whiteout; for names without entry there is none.
pub(super) fn has_whiteout(folder: &Folder, index: Option<usize>) -> bool {
    index.is_some_and(|index| folder.entry(index).whiteout)
}
