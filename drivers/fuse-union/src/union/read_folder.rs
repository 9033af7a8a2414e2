//! Listing folders.

use std::sync::Arc;

use rustix::fs::FileType;

use super::Union;
use super::folder::Entry as Listed;
use super::node::Node;
use crate::request::{Answer, FolderEntry, FolderSink, NodeId};

/// Cookies of `.` and `..`; the entry with the index 0 comes after them.
const FIRST: u64 = 2;

impl Union {
    pub(super) fn list_folder(
        &self,
        node: NodeId,
        from: u64,
        plus: bool,
        sink: &mut dyn FolderSink,
    ) -> Answer<()> {
        let node = self.table.get(node)?;
        let mut folder = self.filled(&node)?;
        if !Self::list_dots(&node, from, sink) || folder.removed {
            return Ok(());
        }
        let first = usize::try_from(from.saturating_sub(FIRST)).unwrap_or(usize::MAX);
        for index in first..folder.entries().len() {
            if !folder.entry(index).live {
                continue;
            }
            if !sink.fits(folder.entry(index).name.len()) {
                break;
            }
            let held = if plus { self.hold(&node, &mut folder, index).ok() } else { None };
            let entry = held.as_ref().map(super::lookup::Held::entry);
            let listed = folder.entry(index);
            let ino = entry
                .map_or_else(|| self.layers.number(listed.layer, listed.ino), |entry| entry.attributes.ino);
            let shown =
                FolderEntry { name: &listed.name, ino, kind: d_type(listed), next: index as u64 + FIRST + 1 };
            sink.push(&shown, entry.as_ref());
        }
        Ok(())
    }

    /// Answers whether both had room, or were read before.
    fn list_dots(node: &Arc<Node>, from: u64, sink: &mut dyn FolderSink) -> bool {
        let above = node.any_name().map(|name| name.parent);
        let above = above.as_ref().unwrap_or(node);
        for (next, name, of) in [(1, &b"."[..], node), (2, b"..", above)] {
            if from < next {
                if !sink.fits(name.len()) {
                    return false;
                }
                let ino = of.state.read().ino;
                sink.push(&FolderEntry { name, ino, kind: DIRECTORY, next }, None);
            }
        }
        true
    }
}

/// `DT_DIR` (dirent.h).
const DIRECTORY: u8 = 4;

/// `d_type` is the type's bits of the mode.
fn d_type(entry: &Listed) -> u8 {
    match entry.kind {
        FileType::Unknown => 0,
        kind => u8::try_from(kind.as_raw_mode() >> 12).unwrap_or_default(),
    }
}
