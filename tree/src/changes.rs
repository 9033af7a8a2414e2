//! How a layer's tree differs from the tree of its parents.
//!
//! One comparison serves every driver. It walks the layer's own folder, sorted, and asks the stack below about what it finds
//! there: of an upper layer that is little, of a whole tree it is all of it.

use std::iter::Peekable;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::vec::IntoIter;

use plywood_archive::tar::Timestamp;
use plywood_graphdriver::{Change, ChangeKind, DriverResult};
use rustix::fs::{FileType, Stat};

use crate::fail::Attempt;
use crate::linked::Links;
use crate::markers::Markers;
use crate::metadata::{Metadata, file_type, is_folder, status_changed};
use crate::resolve::{Node, open_folder};
use crate::stack::{Found, Stack};
use crate::{file, folder, path, xattr};

/// The tree that is compared with the stack below it.
#[derive(Debug, Clone, Copy)]
pub enum Layer<'a> {
    /// An upper layer: what is not in it is as below.
    Upper(BorrowedFd<'a>, Markers),
    /// A whole tree, made as a copy of the one below. Files whose status (`st_ctime`) did not change since the time given
    /// are the copies; without a time every file is looked into.
    Whole(BorrowedFd<'a>, Option<Timestamp>),
}

impl<'a> Layer<'a> {
    pub(crate) fn root(self) -> BorrowedFd<'a> {
        match self {
            Self::Upper(root, _) | Self::Whole(root, _) => root,
        }
    }

    fn markers(self) -> Markers {
        match self {
            Self::Upper(_, markers) => markers,
            Self::Whole(..) => Markers::Whole,
        }
    }

    /// Whether a file with the metadata of the one below may have been written to.
    fn may_differ(self, stat: &Stat) -> bool {
        match self {
            Self::Upper(..) | Self::Whole(_, None) => true,
            Self::Whole(_, Some(copied)) => status_changed(stat) >= copied,
        }
    }
}

/// One difference.
#[derive(Debug)]
pub struct Difference<'a> {
    /// The clean path; empty for the root.
    pub path: &'a [u8],
    /// What happened to it.
    pub kind: ChangeKind,
    /// The node in the layer and its stat; none for what is deleted.
    pub node: Option<(Node<'a>, &'a Stat)>,
}

/// Visits every difference between a layer and the stack below it, sorted by path, folders before what is in them.
/// A folder in which something changed is visited as modified even if it did not change itself.
///
/// # Errors
/// Those of reading the trees, and the visitor's.
pub fn differences(
    layer: Layer<'_>,
    below: &mut Stack,
    visit: &mut dyn FnMut(&Difference<'_>) -> DriverResult<()>,
) -> DriverResult<()> {
    let root = open_folder(layer.root(), b"").attempt("open layer", b"")?;
    let stat = rustix::fs::fstat(&root).attempt("look up", b"")?;
    let _permit = folder::Permit::hold(root.as_fd()).attempt("open layer", b"")?;
    let found = below.find(b"")?;
    let mut walk = Walk { layer, below, visit, ancestors: Vec::new(), links: Links::new(layer) };
    let (kind, differs) = match &found {
        Some(found) => (ChangeKind::Modified, walk.metadata_differs(Node::new(&root, b"."), &stat, found)?),
        None => (ChangeKind::Added, true),
    };
    let complete = layer.markers() == Markers::Whole;
    walk.ancestors.push(Ancestor { folder: Rc::new(root), path: Vec::new(), stat, kind, visited: false });
    if differs {
        walk.visit_ancestors()?;
    } else if let Some(root) = walk.ancestors.last_mut() {
        // The root is visited for what it is, never for what is in it.
        root.visited = true;
    }
    walk.folder(complete, found.is_some())
}

/// Visits the changed paths as people see them: the root is left out.
///
/// # Errors
/// As [`differences`].
pub fn changes(
    layer: Layer<'_>,
    below: &mut Stack,
    visit: &mut dyn FnMut(Change) -> DriverResult<()>,
) -> DriverResult<()> {
    differences(layer, below, &mut |difference| {
        if difference.path.is_empty() {
            return Ok(());
        }
        visit(Change { path: difference.path.to_vec(), kind: difference.kind })
    })
}

/// A folder that the walk is in.
struct Ancestor {
    folder: Rc<OwnedFd>,
    path: Vec<u8>,
    stat: Stat,
    kind: ChangeKind,
    visited: bool,
}

struct Walk<'a, 'v> {
    layer: Layer<'a>,
    below: &'a mut Stack,
    visit: &'v mut dyn FnMut(&Difference<'_>) -> DriverResult<()>,
    ancestors: Vec<Ancestor>,
    links: Links<'a>,
}

impl Walk<'_, '_> {
    /// Compares the innermost ancestor's content. `complete` says that what it lacks is deleted, `was_there` that the
    /// folder is there below.
    fn folder(&mut self, complete: bool, was_there: bool) -> DriverResult<()> {
        let Some(ancestor) = self.ancestors.last() else { return Ok(()) };
        let shown = ancestor.path.clone();
        let markers = self.layer.markers();
        let mut names = folder::sorted_names(ancestor.folder.as_fd()).attempt("list", &shown)?;
        names.retain(|name| !markers.is_marker_name(name));
        let mut hidden = match markers {
            Markers::Oci => folder::whiteouts(ancestor.folder.as_fd()).attempt("list", &shown)?,
            _ => Vec::new(),
        };
        if complete && was_there {
            hidden.extend(self.below.list(&shown)?);
        }
        hidden.sort_unstable();
        hidden.dedup();
        for (name, in_layer) in union(names, hidden) {
            let at = path::join(&shown, &name);
            if in_layer {
                self.present(&name, at, complete, was_there)?;
            } else if was_there && self.below.find(&at)?.is_some() {
                self.report(&at, ChangeKind::Deleted, None)?;
            }
        }
        Ok(())
    }

    /// A name that the layer itself has.
    fn present(&mut self, name: &[u8], at: Vec<u8>, complete: bool, was_there: bool) -> DriverResult<()> {
        let Some(ancestor) = self.ancestors.last() else { return Ok(()) };
        let held = Rc::clone(&ancestor.folder);
        let node = Node::new(&held, name);
        let stat = node.stat().attempt("look up", &at)?;
        let found = if was_there { self.below.find(&at)? } else { None };
        if self.layer.markers().is_whiteout_device(&stat) {
            return if found.is_some() { self.report(&at, ChangeKind::Deleted, None) } else { Ok(()) };
        }
        let kind = if found.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        if is_folder(&stat) {
            return self.enter(node, stat, at, kind, complete, found.as_ref());
        }
        let differs = match &found {
            Some(found) => self.leaf_differs(node, &stat, found, &at)?,
            None => true,
        };
        if differs { self.report(&at, kind, Some((node, &stat))) } else { Ok(()) }
    }

    fn enter(
        &mut self,
        node: Node<'_>,
        stat: Stat,
        at: Vec<u8>,
        kind: ChangeKind,
        complete: bool,
        found: Option<&Found>,
    ) -> DriverResult<()> {
        folder::check_depth(&at)?;
        let opened = node.open_folder().attempt("open", &at)?;
        let was_folder = found.is_some_and(|found| is_folder(&found.stat));
        let opaque = self.layer.markers().is_opaque(&opened).attempt("look up opaque", &at)?;
        let differs = match found {
            Some(found) if was_folder => self.metadata_differs(node, &stat, found)?,
            _ => true,
        };
        let _permit = folder::Permit::hold(opened.as_fd()).attempt("open", &at)?;
        self.ancestors.push(Ancestor { folder: Rc::new(opened), path: at, stat, kind, visited: false });
        if differs {
            self.visit_ancestors()?;
        }
        self.folder(complete || opaque, was_folder)?;
        self.ancestors.pop();
        Ok(())
    }

    fn report(&mut self, at: &[u8], kind: ChangeKind, node: Option<(Node<'_>, &Stat)>) -> DriverResult<()> {
        self.visit_ancestors()?;
        (self.visit)(&Difference { path: at, kind, node })
    }

    /// Visits the folders the walk is in that were not visited yet.
    fn visit_ancestors(&mut self) -> DriverResult<()> {
        for ancestor in &mut self.ancestors {
            if !ancestor.visited {
                ancestor.visited = true;
                let node = Some((Node::new(&ancestor.folder, b"."), &ancestor.stat));
                (self.visit)(&Difference { path: &ancestor.path, kind: ancestor.kind, node })?;
            }
        }
        Ok(())
    }

    fn leaf_differs(&mut self, node: Node<'_>, stat: &Stat, found: &Found, at: &[u8]) -> DriverResult<bool> {
        let old = &found.stat;
        let regular = file_type(stat) == FileType::RegularFile;
        if file_type(stat) != file_type(old)
            || stat.st_rdev != old.st_rdev
            || (regular && stat.st_size != old.st_size)
        {
            return Ok(true);
        }
        if Metadata::of(stat) != Metadata::of(old) {
            return Ok(true);
        }
        let written = self.layer.may_differ(stat);
        // Moving a folder gives a file in it another name and leaves its status alone.
        if self.links.differ(self.below, stat, old, at, written)? {
            return Ok(true);
        }
        if !written {
            return Ok(false);
        }
        Ok(self.xattrs_differ(node, found).attempt("read extended attributes", at)?
            || content_differs(node, stat, found).attempt("compare", at)?)
    }

    fn metadata_differs(&self, node: Node<'_>, stat: &Stat, found: &Found) -> DriverResult<bool> {
        if Metadata::of(stat) != Metadata::of(&found.stat) {
            return Ok(true);
        }
        Ok(self.layer.may_differ(stat)
            && self.xattrs_differ(node, found).attempt("read extended attributes", node.name)?)
    }

    fn xattrs_differ(&self, node: Node<'_>, found: &Found) -> rustix::io::Result<bool> {
        let new = carried_xattrs(node, self.layer.markers())?;
        Ok(new != carried_xattrs(found.node(), self.below.markers())?)
    }
}

fn content_differs(node: Node<'_>, stat: &Stat, found: &Found) -> std::io::Result<bool> {
    match file_type(stat) {
        FileType::RegularFile => {
            let (new, old) = (file::open_readable(node)?, file::open_readable(found.node())?);
            Ok(!file::same_content(&new, &old)?)
        }
        FileType::Symlink => {
            let new = rustix::fs::readlinkat(node.folder, node.name, Vec::new())?;
            Ok(new != rustix::fs::readlinkat(found.node().folder, &found.name, Vec::new())?)
        }
        _ => Ok(false),
    }
}

/// The attributes of a node that a layer carries, under the names it carries them.
pub(crate) fn carried_xattrs(node: Node<'_>, markers: Markers) -> rustix::io::Result<Vec<xattr::Xattr>> {
    let all = xattr::read_all(node)?.into_iter();
    Ok(all.filter_map(|(name, value)| Some((xattr::carried(&name, markers.overlay())?, value))).collect())
}

/// The sorted names of both lists, each with whether the first has it.
fn union(names: Vec<Vec<u8>>, others: Vec<Vec<u8>>) -> impl Iterator<Item = (Vec<u8>, bool)> {
    let mut names: Peekable<IntoIter<Vec<u8>>> = names.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    std::iter::from_fn(move || match (names.peek(), others.peek()) {
        (Some(name), Some(other)) if other < name => others.next().map(|other| (other, false)),
        (Some(name), Some(other)) => {
            if other == name {
                others.next();
            }
            names.next().map(|name| (name, true))
        }
        (Some(_), None) => names.next().map(|name| (name, true)),
        (None, _) => others.next().map(|other| (other, false)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_union_is_sorted_and_prefers_the_layer() {
        let list = |text: &str| text.bytes().map(|byte| vec![byte]).collect::<Vec<_>>();
        let both: Vec<_> = union(list("bdf"), list("abcdz")).collect();
        let expected: Vec<_> =
            [("a", false), ("b", true), ("c", false), ("d", true), ("f", true), ("z", false)]
                .map(|(n, l)| (n.into(), l))
                .into();
        assert_eq!(both, expected);
    }
}
