//! Merges an unpacked layer into a whole tree: what overlayfs shows, done once and for all.

use std::os::fd::{AsFd, BorrowedFd};

use plywood_graphdriver::DriverResult;
use rustix::fs::AtFlags;

use crate::copy::describe;
use crate::fail::Attempt;
use crate::markers::{OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::metadata::{is_folder, modified, set_modified};
use crate::resolve::Node;
use crate::{folder, path, xattr};

/// Moves all of `upper`, whose deletions have the OCI form, into `root`, on the same file system. The root gets what the
/// upper's root is. Afterwards `upper` is an empty skeleton, good for removal.
///
/// # Errors
/// The first failure; both trees are then good for removal only.
pub fn merge(upper: BorrowedFd<'_>, root: BorrowedFd<'_>) -> DriverResult<()> {
    merge_folder(Node::itself(upper), Node::itself(root), b"")
}

fn merge_folder(upper: Node<'_>, root: Node<'_>, shown: &[u8]) -> DriverResult<()> {
    folder::check_depth(shown)?;
    let stat = upper.stat().attempt("look up", shown)?;
    let from = upper.open_folder().attempt("open", shown)?;
    let to = root.open_folder().attempt("open", shown)?;
    let _permit = folder::Permit::hold(from.as_fd()).attempt("open", shown)?;
    let permit = folder::Permit::hold(to.as_fd()).attempt("open", shown)?;
    let names = folder::sorted_names(from.as_fd()).attempt("list", shown)?;
    if names.iter().any(|name| name == OPAQUE_MARKER) {
        folder::empty(root, shown)?;
    }
    for name in &names {
        let below = path::join(shown, name);
        if let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX) {
            if name != OPAQUE_MARKER {
                folder::remove_all(Node::new(&to, hidden))?;
            }
            continue;
        }
        merge_node(Node::new(&from, name), Node::new(&to, name), &below)?;
    }
    // It gets the upper's mode, not its old one again.
    permit.forget();
    replace_attributes(root).attempt("replace attributes", shown)?;
    // What moving did to the upper's time is in nobody's interest: the stat is from before.
    describe(upper, root, &stat, |_| true).attempt("merge metadata", shown)
}

fn merge_node(source: Node<'_>, target: Node<'_>, shown: &[u8]) -> DriverResult<()> {
    let stat = source.stat().attempt("look up", shown)?;
    let there = target.find().attempt("look up", shown)?;
    match (is_folder(&stat), there.is_some_and(|there| is_folder(&there))) {
        (true, true) => return merge_folder(source, target, shown),
        (true, false) => {
            folder::remove_all(target)?;
            strip_markers(source, shown)?;
        }
        (false, true) => folder::remove_all(target)?,
        (false, false) => {}
    }
    // To move a folder to another one changes its '..', which it must permit.
    let opened = if is_folder(&stat) { Some(source.open_folder().attempt("open", shown)?) } else { None };
    let permit = opened.as_ref().map(|opened| folder::Permit::hold(opened.as_fd()));
    let _permit = permit.transpose().attempt("open", shown)?;
    rustix::fs::renameat(source.folder, source.name, target.folder, target.name).attempt("move", shown)
}

/// Removes the markers in a folder that has nothing below it to hide.
fn strip_markers(node: Node<'_>, shown: &[u8]) -> DriverResult<()> {
    let stat = node.stat().attempt("look up", shown)?;
    let opened = node.open_folder().attempt("open", shown)?;
    let _permit = folder::Permit::hold(opened.as_fd()).attempt("open", shown)?;
    let mut stripped = false;
    for name in folder::names(opened.as_fd()).attempt("list", shown)? {
        let inner = Node::new(&opened, &name);
        if name.starts_with(WHITEOUT_PREFIX) {
            rustix::fs::unlinkat(inner.folder, inner.name, AtFlags::empty())
                .attempt("remove marker", shown)?;
            stripped = true;
        } else if is_folder(&inner.stat().attempt("look up", shown)?) {
            strip_markers(inner, &path::join(shown, &name))?;
        }
    }
    if stripped {
        set_modified(node, modified(&stat)).attempt("set times", shown)?;
    }
    Ok(())
}

/// A folder that a layer describes has the attributes that this layer gives it, and no others.
fn replace_attributes(node: Node<'_>) -> rustix::io::Result<()> {
    for (name, _) in xattr::read_all(node)? {
        if xattr::carried(&name, None).is_some() {
            xattr::remove(node, &name)?;
        }
    }
    Ok(())
}
