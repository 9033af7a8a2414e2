//! Further names, and what symbolic links say.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use super::Union;
use super::folder::Shown;
use super::lookup::{Held, real_parent};
use super::node::{Name, Node, Place};
use super::remove::has_whiteout;
use crate::request::{Answer, NodeId};

impl Union {
    pub(super) fn add_link(&self, node: NodeId, parent: NodeId, name: &[u8]) -> Answer<Held> {
        self.check_name(name)?;
        let (node, parent) = (self.table.get(node)?, self.table.get(parent)?);
        if node.is_folder() {
            return Err(Errno::PERM);
        }
        let work = self.work()?;
        self.copy_up(&node, u64::MAX)?;
        self.copy_up(&parent, 0)?;
        let mut folder = self.filled(&parent)?;
        let at = folder.find(name);
        if folder.removed {
            return Err(Errno::NOENT);
        }
        if at.is_some_and(|index| folder.entry(index).live) {
            return Err(Errno::EXIST);
        }
        let upper = real_parent(&parent, 0)?;
        let opened = upper.open(&self.folders)?;
        if has_whiteout(&folder, at) {
            let staged = work.free_name();
            self.link_real(&node, work.stage(), staged.as_bytes())?;
            rustix::fs::renameat(work.stage(), &staged, &*opened, name)
                .inspect_err(|_| work.discard(&staged))?;
        } else {
            self.link_real(&node, &*opened, name)?;
        }
        if self.has_origin(&node) {
            self.mark_impure(&upper, &mut folder)?;
        }
        let stat = self.real_stat(&*opened, name, 0)?;
        let shown = Name::new(&parent, name);
        if matches!(node.place(), Place::Held { .. }) {
            node.state.write().place = Place::In { folder: upper, name: Arc::clone(&shown.name) };
        }
        folder.put(name, Shown { node: node.id, ino: stat.st_ino, layer: 0, kind: node.kind });
        Self::add_name(&node, shown);
        self.register(&node, (0, stat.st_ino));
        drop(folder);
        let node = self.table.hold(node.id).ok_or(Errno::STALE)?;
        let attributes = self.show(&node, &node.state.read(), &stat);
        Ok(Held { node, attributes })
    }

    fn link_real(&self, node: &Arc<Node>, to: impl std::os::fd::AsFd, name: &[u8]) -> Answer<()> {
        match node.place() {
            Place::In { folder, name: from } => {
                rustix::fs::linkat(&*folder.open(&self.folders)?, &*from, to, name, AtFlags::empty())
            }
            Place::Held { file, .. } => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, path, to, name, AtFlags::SYMLINK_FOLLOW)
            }
            Place::Merged(_) => Err(Errno::PERM),
        }
    }

    /// Whether a file's number is not that of its real object: then it was copied up.
    pub(super) fn has_origin(&self, node: &Arc<Node>) -> bool {
        let shown = node.state.read().ino;
        self.stat(node).map_or(true, |stat| self.layers.number(0, stat.st_ino) != shown)
    }

    pub(super) fn link_target(&self, node: NodeId) -> Answer<Vec<u8>> {
        let node = self.table.get(node)?;
        let target = match node.place() {
            Place::In { folder, name } => {
                rustix::fs::readlinkat(&*folder.open(&self.folders)?, &*name, Vec::new())?
            }
            // The empty name means the link that the descriptor holds.
            Place::Held { file, .. } => rustix::fs::readlinkat(&*file, "", Vec::new())?,
            Place::Merged(_) => return Err(Errno::INVAL),
        };
        Ok(target.into_bytes())
    }
}
