//! Folders that were renamed: their parts in lower layers are elsewhere, as `overlay.redirect` says.

use std::os::fd::AsFd;
use std::sync::Arc;

use plywood_tree::resolve::Node as RealNode;
use plywood_tree::xattr;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::Union;
use super::formats::{self, attribute};
use super::node::{Node, Place};
use super::real_folder::RealFolder;
use crate::request::Answer;

type Sources = Vec<Arc<RealFolder>>;

impl Union {
    /// The parts that the layers below `real` have of a folder that says where they are: an absolute path, or a name beside.
    pub(super) fn redirected(
        &self,
        node: &Arc<Node>,
        real: &Arc<RealFolder>,
        value: &[u8],
    ) -> Answer<Sources> {
        let deeper = |sources: &mut Sources| sources.retain(|source| source.layer > real.layer);
        let mut sources = if value.starts_with(b"/") {
            self.layers.roots()
        } else {
            match node.any_name() {
                Some(name) => name.parent.real_folders()?.to_vec(),
                None => return Ok(Vec::new()),
            }
        };
        deeper(&mut sources);
        for name in value.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            if name == b"." || name == b".." {
                tracing::warn!(path = %String::from_utf8_lossy(&real.path()), "a redirect that leads out is not followed");
                return Ok(Vec::new());
            }
            sources = self.descend(&sources, name)?;
        }
        Ok(sources)
    }

    /// What layers together show at a name, if it is a folder.
    fn descend(&self, sources: &[Arc<RealFolder>], name: &[u8]) -> Answer<Sources> {
        let mut found: Sources = Vec::new();
        for source in sources {
            let opened = source.open(&self.folders)?;
            let node = RealNode { folder: opened.as_fd(), name };
            match node.find()? {
                None => continue,
                Some(stat) if formats::kind_of(stat.st_mode) == FileType::Directory => {}
                Some(_) => break,
            }
            let child = source.child(name);
            let marks = formats::marks(&*child.open(&self.folders)?)?;
            found.push(child);
            if marks.opaque || marks.redirect.is_some() {
                break;
            }
        }
        Ok(found)
    }

    /// Writes into a folder's upper part where its lower parts are, before it gets another name. A folder without lower parts
    /// is made opaque, for there may be some at the new place.
    pub(super) fn write_redirect(&self, node: &Arc<Node>) -> Answer<()> {
        let Place::Merged(folders) = node.place() else { return Err(Errno::NOTDIR) };
        let upper = folders.first().ok_or(Errno::STALE)?.open(&self.folders)?;
        let real = RealNode::itself(upper.as_fd());
        match folders.get(1) {
            Some(lower) => xattr::set(real, &attribute(self.namespace(), "redirect"), &lower.path()),
            None => xattr::set(real, &attribute(self.namespace(), "opaque"), b"y"),
        }
    }
}
