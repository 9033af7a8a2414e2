//! Makes way for an entry where an earlier one of the same layer stands.

use std::fs::File;
use std::os::fd::AsFd;

use plywood_graphdriver::DriverResult;
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::Unpacker;
use super::parents::Parent;
use super::recipe_tap::RecipeTap;
use crate::fail::Attempt;
use crate::metadata::{file_type, is_folder};
use crate::resolve::Node;
use crate::{file, folder, path};

/// What stood in an entry's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A folder, and the entry is one: it is left.
    Folder,
    /// Something that is gone now; a folder in its place hides the layers below.
    Cleared,
}

impl Unpacker<'_> {
    /// Clears the way for an entry at `name`, keeping what the recipe still needs of what stood there.
    pub(super) fn clear(
        &mut self,
        parent: &Parent,
        name: &[u8],
        for_folder: bool,
        tap: &mut RecipeTap<'_>,
    ) -> DriverResult<Way> {
        let shown = path::join(&parent.path, name);
        let node = Node::new(&parent.folder, name);
        let Some(stat) = node.find().attempt("look up", &shown)? else { return Ok(Way::Cleared) };
        if is_folder(&stat) && for_folder {
            return Ok(Way::Folder);
        }
        displace(node, &stat, &shown, tap)?;
        self.pending.gone(&shown);
        if is_folder(&stat) {
            folder::remove_all(node)?;
            self.parents.forget();
        } else {
            rustix::fs::unlinkat(node.folder, node.name, AtFlags::empty()).attempt("replace", &shown)?;
            if file_type(&stat) == FileType::Symlink {
                self.parents.forget();
            }
        }
        Ok(Way::Cleared)
    }

    /// Makes an entry by `make`, clearing its name first where something of this layer has it, and its whiteout.
    pub(super) fn make_in_place<T>(
        &mut self,
        parent: &Parent,
        name: &[u8],
        tap: &mut RecipeTap<'_>,
        operation: &'static str,
        make: impl Fn(Node<'_>) -> rustix::io::Result<T>,
    ) -> DriverResult<T> {
        let node = Node::new(&parent.folder, name);
        let made = match make(node) {
            Err(Errno::EXIST) => {
                self.clear(parent, name, false, tap)?;
                make(node)
            }
            other => other,
        };
        let made = made.attempt(operation, &path::join(&parent.path, name))?;
        self.drop_whiteout(node)?;
        Ok(made)
    }

    /// Removes an earlier whiteout of a name that an entry has now; answers whether there was one.
    pub(super) fn drop_whiteout(&mut self, node: Node<'_>) -> DriverResult<bool> {
        // In overlayfs' form the whiteout had the name itself.
        if !self.has_whiteouts || self.markers.overlay().is_some() {
            return Ok(false);
        }
        self.markers.remove_whiteout(node).attempt("replace whiteout", node.name)
    }
}

/// Tells the recipe what the files at and below a node hold, before they go.
fn displace(node: Node<'_>, stat: &Stat, shown: &[u8], tap: &mut RecipeTap<'_>) -> DriverResult<()> {
    if !tap.wanted() {
        return Ok(());
    }
    match file_type(stat) {
        FileType::RegularFile if stat.st_size > 0 => {
            let mut content = File::from(file::open_readable(node).attempt("open replaced file", shown)?);
            let length = u64::try_from(stat.st_size).unwrap_or_default();
            tap.displaced(shown, length, &mut content).attempt("keep replaced file", shown)
        }
        FileType::Directory => {
            let opened = node.open_folder().attempt("open replaced folder", shown)?;
            for name in folder::sorted_names(opened.as_fd()).attempt("list replaced folder", shown)? {
                let inner = Node::new(&opened, &name);
                let stat = inner.stat().attempt("look up", shown)?;
                displace(inner, &stat, &path::join(shown, &name), tap)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
