//! Copy-up of folders: the folder itself, not what is in it.

use std::os::fd::AsFd;
use std::sync::Arc;

use plywood_tree::resolve::Node as RealNode;
use rustix::fs::{Mode, RenameFlags};
use rustix::io::Errno;

use super::Union;
use super::lookup::real_parent;
use super::node::{Name, Node, Place};
use super::real::Real;
use super::real_folder::LayerNumber;
use super::work::Work;
use crate::request::Answer;

impl Union {
    /// Makes a folder's upper part, and those of the folders above it.
    pub(super) fn copy_up_folder(&self, node: &Arc<Node>) -> Answer<()> {
        // From the top down, so that a deep tree takes no piece of stack for each level.
        let mut missing = vec![Arc::clone(node)];
        while let Some(lowest) = missing.last() {
            let Some(name) = lowest.any_name() else { break };
            if self.is_upper(&name.parent) {
                break;
            }
            missing.push(name.parent);
        }
        missing.iter().rev().try_for_each(|folder| self.copy_up_one(folder))
    }

    fn copy_up_one(&self, node: &Arc<Node>) -> Answer<()> {
        let work = self.work()?;
        let _copying = node.copying.lock();
        while !self.is_upper(node) {
            // One that was removed takes nothing any more.
            let name = node.any_name().ok_or(Errno::NOENT)?;
            if !self.is_upper(&name.parent) {
                return self.copy_up_folder(&name.parent).and_then(|()| self.copy_up_as(work, node, &name));
            }
            self.copy_up_as(work, node, &name)?;
        }
        Ok(())
    }

    fn copy_up_as(&self, work: &Work, node: &Arc<Node>, name: &Name) -> Answer<()> {
        let mut above = self.filled(&name.parent)?;
        if !node.state.read().names.iter().any(|known| known.is(&name.parent, &name.name)) {
            return Ok(());
        }
        let folders = node.real_folders()?;
        let lower = folders.first().ok_or(Errno::STALE)?;
        let opened = lower.open(&self.folders)?;
        let stat = self.stat(node)?;
        let staged = work.free_name();
        rustix::fs::mkdirat(work.stage(), &staged, Mode::RWXU)?;
        let target = Real::Named(RealNode { folder: work.stage(), name: staged.as_bytes() });
        let parent = real_parent(&name.parent, 0)?;
        let placed =
            self.describe(&target, RealNode::itself(opened.as_fd()), &stat, lower.layer).and_then(|()| {
                self.keeping_times(&parent, |upper| {
                    let flags = RenameFlags::NOREPLACE;
                    rustix::fs::renameat_with(work.stage(), &staged, upper, &*name.name, flags)
                })
            });
        placed.inspect_err(|_| work.discard(&staged))?;
        let mut all = vec![parent.child(&name.name)];
        all.extend(folders.iter().cloned());
        if let Some(index) = above.find_live(&name.name) {
            let entry = above.entry_mut(index);
            let layers: Vec<LayerNumber> = all.iter().map(|folder| folder.layer).collect();
            entry.layer = 0;
            entry.merged = Some(layers.into());
        }
        node.state.write().place = Place::Merged(all.into());
        Ok(())
    }
}
