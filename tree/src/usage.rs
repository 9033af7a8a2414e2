//! What a tree takes.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use plywood_graphdriver::{DriverResult, Usage};
use rustix::fs::{FileType, Stat};

use crate::changes::{Layer, differences};
use crate::fail::Attempt;
use crate::markers::Markers;
use crate::metadata::{file_type, is_folder};
use crate::resolve::Node;
use crate::stack::Stack;
use crate::{folder, path};

/// Counts the bytes and inodes below a folder, itself and markers left out; an inode with several names counts once.
///
/// # Errors
/// Those of walking the tree.
pub fn usage(root: BorrowedFd<'_>, markers: Markers) -> DriverResult<Usage> {
    let mut counted = Usage::default();
    count(root, markers, b"", &mut HashSet::new(), &mut counted)?;
    Ok(counted)
}

fn count(
    root: BorrowedFd<'_>,
    markers: Markers,
    shown: &[u8],
    linked: &mut HashSet<(u64, u64)>,
    counted: &mut Usage,
) -> DriverResult<()> {
    folder::check_depth(shown)?;
    let _permit = folder::Permit::hold(root).attempt("open", shown)?;
    for name in folder::names(root).attempt("list", shown)? {
        let node = Node { folder: root, name: &name };
        let below = path::join(shown, &name);
        let stat = node.stat().attempt("look up", &below)?;
        if markers.is_marker_name(&name) || markers.is_whiteout_device(&stat) {
            continue;
        }
        if is_folder(&stat) {
            let opened = node.open_folder().attempt("open", &below)?;
            count(opened.as_fd(), markers, &below, linked, counted)?;
        }
        add(&stat, linked, counted);
    }
    Ok(())
}

/// Counts what in a layer differs from the stack below it, as [`usage`] counts a tree: a changed file whole, and the folders on the way
/// to it. It is what an upper layer with the same changes takes.
///
/// # Errors
/// As [`differences`].
pub fn of_differences(layer: Layer<'_>, below: &mut Stack) -> DriverResult<Usage> {
    let mut counted = Usage::default();
    let mut linked = HashSet::new();
    differences(layer, below, &mut |difference| {
        if let Some((_, stat)) = difference.node.filter(|_| !difference.path.is_empty()) {
            add(stat, &mut linked, &mut counted);
        }
        Ok(())
    })?;
    Ok(counted)
}

fn add(stat: &Stat, linked: &mut HashSet<(u64, u64)>, counted: &mut Usage) {
    if !is_folder(stat) && stat.st_nlink > 1 && !linked.insert((stat.st_dev, stat.st_ino)) {
        return;
    }
    counted.inodes += 1;
    if file_type(stat) == FileType::RegularFile {
        counted.size_bytes += u64::try_from(stat.st_size).unwrap_or_default();
    }
}
