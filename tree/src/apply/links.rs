//! Hard links, to files of this layer and to files that only a layer below can have.

use std::os::fd::AsFd;

use plywood_graphdriver::DriverResult;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Unpacker;
use super::parents::Parent;
use super::place::link;
use super::recipe_tap::RecipeTap;
use crate::fail::{Attempt, refuse};
use crate::markers::WHITEOUT_PREFIX;
use crate::metadata::is_folder;
use crate::path;
use crate::resolve::{Node, find, open_in_root};

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
        let Some(target_folder) = self.link_parent(target_parent)? else {
            return self.link_to_below(&folder, name, &target, tap);
        };
        let from = Node::new(&target_folder.folder, target_name);
        match from.find().attempt("look up the target of a hard link", &target)? {
            Some(stat) if is_folder(&stat) => Err(refuse("apply", &target, "a hard link to a folder")),
            Some(stat) if self.markers.is_whiteout_device(&stat) => Err(absent(&target)),
            // GNU tar writes one where a file with several names is packed twice.
            Some(_) if same_place(&target_folder, target_name, &folder, name)? => Ok(()),
            Some(_) => self.make_in_place(&folder, name, tap, "make hard link", |node| link(from, node)),
            None => self.link_to_below(&folder, name, &target, tap),
        }
    }

    /// The folder of a link's target, links on the way followed; nothing is made for it.
    fn link_parent(&mut self, target_parent: &[u8]) -> DriverResult<Option<Parent>> {
        if let Some(known) = self.parents.known(target_parent)? {
            let folder = Node::new(&known.folder, b".")
                .open_folder()
                .attempt("open target's parent", target_parent)?;
            return Ok(Some(Parent { folder, path: known.path.clone() }));
        }
        match open_in_root(self.upper.as_fd(), target_parent, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(folder) => Ok(Some(Parent { folder, path: target_parent.to_vec() })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::LOOP) => Err(refuse(
                "apply",
                target_parent,
                "the target of a hard link is behind a loop of symlinks (ELOOP)",
            )),
            Err(error) => Err(error).attempt("open the target's parent", target_parent),
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
        let made = self.make_in_place(folder, name, tap, "make place for hard link", |node| {
            rustix::fs::openat(node.folder, node.name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let shown = path::join(&folder.path, name);
        let stat = rustix::fs::fstat(&made).attempt("look up", &shown)?;
        self.applied.usage.inodes += 1;
        self.pending.link(&shown, target, stat.st_ino)
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
