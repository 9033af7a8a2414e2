//! Hard links, to files of this layer and to files that only a layer below can have.

use std::os::fd::AsFd;

use plywood_graphdriver::DriverResult;
use rustix::fs::{Mode, OFlags};

use super::Unpacker;
use super::parents::Parent;
use super::place::link;
use super::recipe_tap::RecipeTap;
use crate::fail::{Attempt, refuse};
use crate::markers::WHITEOUT_PREFIX;
use crate::metadata::is_folder;
use crate::path;
use crate::resolve::{Node, find};

impl Unpacker<'_> {
    pub(super) fn hard_link(
        &mut self,
        parent: &[u8],
        name: &[u8],
        target: &[u8],
        tap: &mut RecipeTap<'_>,
    ) -> DriverResult<()> {
        let target = path::clean(target)
            .map_err(|problem| refuse("apply", target, format!("the target of a hard link: {problem}")))?;
        let Some((target_parent, target_name)) = path::split(&target) else {
            return Err(refuse("apply", name, "a hard link to the root of the layer"));
        };
        if target_name.starts_with(WHITEOUT_PREFIX) {
            return Err(refuse("apply", &target, "a hard link to a whiteout"));
        }
        let folder = self.parents.folder(parent, &mut self.pending)?;
        let target = self.parents.canonical(&target)?;
        let (target_parent, target_name) = path::split(&target).unwrap_or((target_parent, target_name));
        let Some(target_folder) = self.parents.known(target_parent)? else {
            return self.link_to_below(&folder, name, &target, tap);
        };
        let from = Node::new(&target_folder.folder, target_name);
        match from.find().attempt("look up the target of a hard link", &target)? {
            Some(stat) if is_folder(&stat) => Err(refuse("apply", &target, "a hard link to a folder")),
            Some(stat) if self.markers.is_whiteout_device(&stat) => Err(absent(&target)),
            // GNU tar writes one where a file with several names is packed twice.
            Some(_) if same_place(&target_folder, target_name, &folder, name)? => Ok(()),
            Some(_) => {
                let of_layer = path::join(&target_folder.path, target_name);
                match self.pending.link_target(&of_layer).map(<[u8]>::to_vec) {
                    // What is there only holds the place of a file below.
                    Some(below) => self.link_to_below(&folder, name, &below, tap),
                    None => self.make_in_place(&folder, name, tap, "make hard link", |node| link(from, node)),
                }
            }
            None => self.link_to_below(&folder, name, &target, tap),
        }
    }

    /// Only a layer below can have the target: an empty file holds the link's place until it is known.
    fn link_to_below(
        &mut self,
        folder: &Parent,
        name: &[u8],
        target: &[u8],
        tap: &mut RecipeTap<'_>,
    ) -> DriverResult<()> {
        if self.hidden(target)? {
            return Err(absent(target));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.make_in_place(folder, name, tap, "make place for hard link", |node| {
            rustix::fs::openat(node.folder, node.name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        self.applied.usage.inodes += 1;
        self.pending.link(&path::join(&folder.path, name), target);
        Ok(())
    }

    /// Whether this layer hides what the layers below have at a path.
    fn hidden(&mut self, cleaned: &[u8]) -> DriverResult<bool> {
        let mut at = Vec::new();
        for component in cleaned.split(|byte| *byte == b'/') {
            let Some(parent) = self.parents.known(&at)? else {
                // What this layer has there is no folder, so nothing is below it.
                return Ok(find(self.upper.as_fd(), &at)?.is_some());
            };
            let opaque =
                !at.is_empty() && self.markers.is_opaque(&parent.folder).attempt("look up opaque", &at)?;
            if opaque
                || self
                    .markers
                    .hides(Node::new(&parent.folder, component))
                    .attempt("look up whiteout", &at)?
            {
                return Ok(true);
            }
            at = path::join(&at, component);
        }
        Ok(false)
    }
}

fn absent(target: &[u8]) -> plywood_graphdriver::DriverError {
    refuse(
        "apply",
        target,
        "a hard link to what is not there: its target must come before it, or be in a layer below",
    )
}

/// Whether two names are one, though their folders may have been reached by different ways.
fn same_place(folder: &Parent, name: &[u8], other: &Parent, other_name: &[u8]) -> DriverResult<bool> {
    if name != other_name {
        return Ok(false);
    }
    let one = rustix::fs::fstat(&folder.folder).attempt("look up", &folder.path)?;
    let two = rustix::fs::fstat(&other.folder).attempt("look up", &other.path)?;
    Ok((one.st_dev, one.st_ino) == (two.st_dev, two.st_ino))
}
