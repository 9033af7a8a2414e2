//! Settles what an apply left open, now that the layers below are there.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plywood_graphdriver::DriverResult;
use rustix::fs::{AtFlags, FileType, OFlags};

use crate::copy::{Carries, all_but_labels, copy_leaf, describe, fill};
use crate::fail::{Attempt, refuse};
use crate::markers::{Markers, Namespace};
use crate::metadata::{Metadata, file_type, is_folder, modified, set_mode, set_modified, set_owner};
use crate::pending::{self, Item};
use crate::resolve::{Node, open_folder};
use crate::stack::Stack;
use crate::{folder, path, xattr};

/// What settling a layer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The layer is what it would be had it been unpacked onto its parents.
    Done,
    /// A folder that the tar only implies is a symlink below: the layer must be unpacked again, with the layers below
    /// in [`Target::below`](crate::apply::Target::below). Nothing was changed.
    UnpackAgain,
}

/// Settles the layer unpacked in `upper`, with notes in `layer`, on top of `below`. Settled before, it is left.
///
/// # Errors
/// `InvalidInput` for a hard link whose target is not there.
pub fn settle(
    upper: BorrowedFd<'_>,
    layer: BorrowedFd<'_>,
    markers: Markers,
    below: &mut Stack,
) -> DriverResult<Settled> {
    let mut settling = Settling { upper, markers, below, opaque: HashMap::new(), linked: HashMap::new() };
    if settling.is_misplaced(layer)? {
        return Ok(Settled::UnpackAgain);
    }
    // Links and whiteouts first: they change the times of folders, which are put right after.
    pending::visit(layer, |item| match item {
        Item::Link { link, target } => settling.link(&link, &target),
        Item::Whiteout(path) => settling.whiteout(&path),
        Item::OpaqueRoot => settling.opaque_root(),
        _ => Ok(()),
    })?;
    pending::visit(layer, |item| match item {
        Item::Implied(path) => settling.implied(&path),
        Item::Fresh(path) => settling.default_folder(&path),
        _ => Ok(()),
    })?;
    pending::discard(layer)?;
    Ok(Settled::Done)
}

struct Settling<'a> {
    upper: BorrowedFd<'a>,
    markers: Markers,
    below: &'a mut Stack,
    /// Folders of this layer through which nothing below shows.
    opaque: HashMap<Vec<u8>, bool>,
    /// Targets below that have been linked to, and the name that has the inode in this layer.
    linked: HashMap<Vec<u8>, Vec<u8>>,
}

impl Settling<'_> {
    /// Whether files were put into a folder that is a symlink below.
    fn is_misplaced(&mut self, layer: BorrowedFd<'_>) -> DriverResult<bool> {
        let mut misplaced = false;
        if self.below.is_empty() {
            return Ok(false);
        }
        pending::visit(layer, |item| {
            let (Item::Implied(path) | Item::Described(path)) = item else { return Ok(()) };
            if misplaced || path.is_empty() {
                return Ok(());
            }
            let found = self.below.find(&path)?;
            let is_link = found.is_some_and(|found| file_type(&found.stat) == FileType::Symlink);
            let parent = path::split(&path).map_or(&b""[..], |(parent, _)| parent);
            misplaced = is_link && !self.hides_below(parent)?;
            Ok(())
        })?;
        Ok(misplaced)
    }

    /// Whether a folder of this layer, or one above it, is opaque.
    fn hides_below(&mut self, cleaned: &[u8]) -> DriverResult<bool> {
        let Some((parent, _)) = path::split(cleaned) else { return Ok(false) };
        if let Some(known) = self.opaque.get(cleaned) {
            return Ok(*known);
        }
        let hides = self.hides_below(parent)?
            || match open_folder(self.upper, cleaned) {
                Ok(opened) => self.markers.is_opaque(&opened).attempt("look up opaque", cleaned)?,
                Err(_) => false,
            };
        if self.opaque.len() > 65_536 {
            self.opaque.clear();
        }
        self.opaque.insert(cleaned.to_vec(), hides);
        Ok(hides)
    }

    fn implied(&mut self, cleaned: &[u8]) -> DriverResult<()> {
        // An opaque folder still is the one below with its content gone; one below an opaque folder is new.
        let parent = path::split(cleaned).map_or(&b""[..], |(parent, _)| parent);
        let found = if self.hides_below(parent)? { None } else { self.below.find(cleaned)? };
        let Some(found) = found.filter(|found| is_folder(&found.stat)) else {
            return self.default_folder(cleaned);
        };
        let Some(opened) = self.open_upper(cleaned)? else { return Ok(()) };
        inherit(found.node(), &opened, self.markers).attempt("inherit metadata", cleaned)
    }

    fn default_folder(&mut self, cleaned: &[u8]) -> DriverResult<()> {
        let Some(opened) = self.open_upper(cleaned)? else { return Ok(()) };
        let wanted = Metadata::implied_folder();
        let node = Node::new(&opened, b".");
        let stat = node.stat().attempt("look up", cleaned)?;
        if rustix::process::geteuid().is_root() && (stat.st_uid, stat.st_gid) != (wanted.uid, wanted.gid) {
            set_owner(node, wanted.uid, wanted.gid).attempt("set owner", cleaned)?;
        }
        set_mode(node, wanted.mode).attempt("set mode", cleaned)?;
        set_modified(node, wanted.modified).attempt("set times", cleaned)
    }

    /// A folder of this layer that was implied, unless a later entry put something else there.
    fn open_upper(&self, cleaned: &[u8]) -> DriverResult<Option<OwnedFd>> {
        use rustix::io::Errno;
        match open_folder(self.upper, cleaned) {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error).attempt("open", cleaned),
        }
    }

    fn opaque_root(&mut self) -> DriverResult<()> {
        let root = open_folder(self.upper, b"").attempt("open", b"")?;
        let before = modified(&rustix::fs::fstat(&root).attempt("look up", b"")?);
        for name in self.below.list(b"")? {
            let node = Node::new(&root, &name);
            match node.find().attempt("look up", &name)? {
                Some(stat) if is_folder(&stat) => {
                    let opened = node.open_folder().attempt("open", &name)?;
                    self.markers.make_opaque(&opened).attempt("make opaque", &name)?;
                    set_modified(node, modified(&stat)).attempt("set times", &name)?;
                }
                Some(_) => {}
                None if self.markers.hides(node).attempt("look up whiteout", &name)? => {}
                None => self.markers.make_whiteout(node).attempt("make whiteout", &name)?,
            }
        }
        self.opaque.clear();
        set_modified(Node::new(&root, b"."), before).attempt("set times", b"")
    }

    /// Takes a whiteout away that hides nothing: its folder is new, or has no such name below.
    fn whiteout(&mut self, cleaned: &[u8]) -> DriverResult<()> {
        let Some((parent, name)) = path::split(cleaned) else { return Ok(()) };
        if !self.hides_below(parent)? && self.below.find(cleaned)?.is_some() {
            return Ok(());
        }
        let Some(folder) = self.open_upper(parent)? else { return Ok(()) };
        let before = modified(&rustix::fs::fstat(&folder).attempt("look up", parent)?);
        // A later entry may have taken the whiteout's place.
        if self.markers.remove_whiteout(Node::new(&folder, name)).attempt("remove whiteout", cleaned)? {
            set_modified(Node::new(&folder, b"."), before).attempt("set times", parent)?;
        }
        Ok(())
    }

    /// Fills a link's placeholder with the file below, and puts it at the target's name too, where that is free.
    fn link(&mut self, link: &[u8], target: &[u8]) -> DriverResult<()> {
        let (parent, name) = path::split(link).unwrap_or((b"", b"."));
        let Some(folder) = self.open_upper(parent)? else { return Ok(()) };
        let _permit = folder::Permit::hold(folder.as_fd()).attempt("open", parent)?;
        let place = Node::new(&folder, name);
        let target = &self.below.canonical(target)?;
        let before = modified(&rustix::fs::fstat(&folder).attempt("look up", parent)?);
        if let Some(first) = self.linked.get(target) {
            self.link_again(first, place).attempt("make hard link", link)?;
        } else {
            self.copy_up(target, place, link)?;
            self.linked.insert(target.clone(), link.to_vec());
            self.link_target(target, place)?;
        }
        set_modified(Node::new(&folder, b"."), before).attempt("set times", parent)
    }

    fn link_again(&self, first: &[u8], place: Node<'_>) -> rustix::io::Result<()> {
        let (parent, name) = path::split(first).unwrap_or((b"", b"."));
        let parent = open_folder(self.upper, parent)?;
        rustix::fs::unlinkat(place.folder, place.name, AtFlags::empty())?;
        rustix::fs::linkat(&parent, name, place.folder, place.name, AtFlags::empty())
    }

    fn copy_up(&mut self, target: &[u8], place: Node<'_>, link: &[u8]) -> DriverResult<()> {
        let absent = || {
            refuse(
                "seal",
                link,
                format!("a hard link to {}, which is not there", path::display(target).display()),
            )
        };
        let found = self.below.find(target)?.ok_or_else(absent)?;
        let source = found.node();
        match file_type(&found.stat) {
            FileType::Directory => Err(refuse("seal", link, "a hard link to a folder")),
            FileType::RegularFile => {
                let into = place.open(OFlags::WRONLY).attempt("open", link)?;
                fill(source, &into, &found.stat).attempt("copy up", link)?;
                describe(source, place, &found.stat, carries_for(self.markers)).attempt("copy up", link)
            }
            _ => {
                rustix::fs::unlinkat(place.folder, place.name, AtFlags::empty()).attempt("copy up", link)?;
                copy_leaf(source, place, &found.stat, carries_for(self.markers)).attempt("copy up", link)
            }
        }
    }

    /// Puts the inode at `place` at the target's own name, so that both stay one file.
    fn link_target(&mut self, target: &[u8], place: Node<'_>) -> DriverResult<()> {
        let Some((parent, name)) = path::split(target) else { return Ok(()) };
        let Some(folder) = self.folder_like_below(parent)? else { return Ok(()) };
        let _permit = folder::Permit::hold(folder.as_fd()).attempt("open", parent)?;
        let node = Node::new(&folder, name);
        let taken = node.find().attempt("look up", target)?.is_some()
            || self.markers.hides(node).attempt("look up whiteout", target)?;
        if taken {
            return Ok(());
        }
        let before = modified(&rustix::fs::fstat(&folder).attempt("look up", parent)?);
        rustix::fs::linkat(place.folder, place.name, node.folder, node.name, AtFlags::empty())
            .attempt("make hard link", target)?;
        set_modified(Node::new(&folder, b"."), before).attempt("set times", parent)
    }

    /// The folder of this layer at a path that is a folder below, made with what it is there.
    fn folder_like_below(&mut self, cleaned: &[u8]) -> DriverResult<Option<OwnedFd>> {
        if let Some(opened) = self.open_upper(cleaned)? {
            return Ok(Some(opened));
        }
        let Some((parent, name)) = path::split(cleaned) else { return Ok(None) };
        let Some(folder) = self.folder_like_below(parent)? else { return Ok(None) };
        let node = Node::new(&folder, name);
        if node.find().attempt("look up", cleaned)?.is_some()
            || self.markers.hides(node).attempt("look up whiteout", cleaned)?
            || self.hides_below(cleaned)?
        {
            return Ok(None);
        }
        let Some(found) = self.below.find(cleaned)? else { return Ok(None) };
        let before = modified(&rustix::fs::fstat(&folder).attempt("look up", parent)?);
        let made = folder::make(folder.as_fd(), name, 0o700).attempt("make folder", cleaned)?;
        inherit(found.node(), &made, self.markers).attempt("inherit metadata", cleaned)?;
        set_modified(Node::new(&folder, b"."), before).attempt("set times", parent)?;
        Ok(Some(made))
    }
}

/// Gives a folder of an upper layer what the one below has: owner, mode, attributes, time.
///
/// # Errors
/// Those of the calls it makes.
pub(crate) fn inherit(from: Node<'_>, to: &OwnedFd, markers: Markers) -> rustix::io::Result<()> {
    let stat = from.stat()?;
    describe(from, Node::new(to, b"."), &stat, carries_for(markers))
}

/// What is copied from one layer to another: all that a layer carries, and nothing of overlayfs' own.
fn carries_for(markers: Markers) -> Carries {
    match markers.overlay() {
        None => |name| xattr::carried(name, None).is_some(),
        Some(Namespace::Trusted) => |name| xattr::carried(name, Some(Namespace::Trusted)).is_some(),
        Some(Namespace::User) => |name| xattr::carried(name, Some(Namespace::User)).is_some(),
    }
}

/// What stays on a folder that is the same one in the next layer: what no layer carries too, but for overlayfs' own.
fn stays_for(markers: Markers) -> Carries {
    fn stays(name: &[u8], namespace: Namespace) -> bool {
        let own = name.starts_with(namespace.prefix()) && xattr::carried(name, Some(namespace)).is_none();
        all_but_labels(name) && !own
    }
    match markers.overlay() {
        None => all_but_labels,
        Some(Namespace::Trusted) => |name| stays(name, Namespace::Trusted),
        Some(Namespace::User) => |name| stays(name, Namespace::User),
    }
}

/// Makes the root of a new layer on top of others: with the metadata of theirs, or 0755 from the epoch where there are none.
///
/// # Errors
/// Those of the calls it makes.
pub fn make_root(
    layer: BorrowedFd<'_>,
    name: &[u8],
    markers: Markers,
    below: &mut Stack,
) -> DriverResult<OwnedFd> {
    let made = folder::make(layer, name, 0o755).attempt("make root", b"")?;
    let node = Node::new(&made, b".");
    if let Some(found) = below.find(b"")? {
        describe(found.node(), node, &found.stat, stays_for(markers)).attempt("inherit root", b"")?;
    } else {
        // The umask may have taken bits.
        set_mode(node, Metadata::implied_folder().mode).attempt("set mode", b"")?;
        set_modified(node, Metadata::implied_folder().modified).attempt("set times", b"")?;
    }
    Ok(made)
}
