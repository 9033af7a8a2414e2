//! Makes one entry: regular file, folder, symlink, device, FIFO.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use plywood_archive::tar::{Entry, Kind, Segment};
use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, Ownership};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::parents::Parent;
use super::recipe_tap::RecipeTap;
use super::replace::Way;
use super::{Reader, Unpacker, tar_failed};
use crate::fail::{Attempt, refuse};
use crate::markers::Markers;
use crate::metadata::{set_mode, set_modified, set_owner, times};
use crate::path;
use crate::resolve::Node;
use crate::xattr::{self, Verdict};

/// The bits that let the owner into a folder; without privilege they are needed until all of it is unpacked.
const OWNER_ALL: u32 = 0o700;

/// Set-group-id on a folder, which new files in it would inherit: it is set when all of it is unpacked.
const SET_GROUP_ID: u32 = 0o2000;

impl Unpacker<'_> {
    pub(super) fn regular(
        &mut self,
        parent: &[u8],
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<'_, '_>,
    ) -> DriverResult<()> {
        let folder = self.parents.folder(parent, &mut self.pending)?;
        let shown = path::join(&folder.path, name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Attributes take the right to write, which the mode may deny to a caller without privilege.
        let writable = if self.privileged { 0 } else { 0o600 };
        let mode = Mode::from_raw_mode((entry.mode & 0o777) | writable);
        let tap = reader.observer_mut();
        let made = self.make_in_place(&folder, name, tap, "make file", |node| {
            rustix::fs::openat(node.folder, node.name, flags, mode)
        })?;
        let mut made = File::from(made);
        match &entry.sparse {
            Some(segments) => write_sparse(&mut made, &shown, entry.size_bytes, segments, reader)?,
            None => write_whole(&mut made, &shown, entry.size_bytes, reader)?,
        }
        let (uid, gid) = self.owner_of(entry);
        if (uid, gid) != self.caller {
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::fchown(&made, Some(uid), Some(gid)).attempt("set owner", &shown)?;
        }
        if !self.privileged {
            self.attributes(Node::new(&folder.folder, name), entry, &shown)?;
        }
        if self.needs_mode(entry.mode) || mode.bits() & !entry.mode != 0 {
            rustix::fs::fchmod(&made, Mode::from_raw_mode(entry.mode)).attempt("set mode", &shown)?;
        }
        if self.privileged {
            self.attributes(Node::new(&folder.folder, name), entry, &shown)?;
        }
        rustix::fs::futimens(&made, &times(entry.modified)).attempt("set times", &shown)?;
        self.applied.usage.inodes += 1;
        self.applied.usage.size_bytes = self.applied.usage.size_bytes.saturating_add(entry.size_bytes);
        Ok(())
    }

    pub(super) fn folder(
        &mut self,
        parent: &[u8],
        name: &[u8],
        entry: &Entry,
        tap: &mut RecipeTap<'_>,
    ) -> DriverResult<()> {
        let folder = self.parents.folder(parent, &mut self.pending)?;
        let node = Node::new(&folder.folder, name);
        let shown = path::join(&folder.path, name);
        let mode = Mode::from_raw_mode((entry.mode & 0o1777 & !SET_GROUP_ID) | self.owner_bits());
        match rustix::fs::mkdirat(node.folder, name, mode) {
            Ok(()) => {
                self.applied.usage.inodes += 1;
                if self.drop_whiteout(node)? {
                    self.hide_below(node, &shown)?;
                }
            }
            Err(Errno::EXIST) => {
                if self.clear(&folder, name, true, tap)? == Way::Cleared {
                    rustix::fs::mkdirat(node.folder, name, mode).attempt("make folder", &shown)?;
                    self.applied.usage.inodes += 1;
                    // What stood here hid the layers below, and the folder after it does.
                    self.hide_below(node, &shown)?;
                } else {
                    set_mode(node, mode.bits()).attempt("set mode", &shown)?;
                    drop_attributes(node, self.markers).attempt("replace attributes", &shown)?;
                }
            }
            Err(error) => return Err(error).attempt("make folder", &shown),
        }
        self.pending.described(&shown);
        let opened = Parent { folder: node.open_folder().attempt("open folder", &shown)?, path: shown };
        self.describe_folder(&opened, node, entry)
    }

    fn hide_below(&self, node: Node<'_>, shown: &[u8]) -> DriverResult<()> {
        let opened = node.open_folder().attempt("open folder", shown)?;
        self.markers.make_opaque(&opened).attempt("make opaque", shown)
    }

    /// Owner and attributes of a folder now; what its content would undo or suffer from, when all is unpacked.
    pub(super) fn describe_folder(
        &mut self,
        folder: &Parent,
        node: Node<'_>,
        entry: &Entry,
    ) -> DriverResult<()> {
        let (uid, gid) = self.owner_of(entry);
        let stat = node.stat().attempt("look up", &folder.path)?;
        if (stat.st_uid, stat.st_gid) != (uid, gid) {
            set_owner(node, uid, gid).attempt("set owner", &folder.path)?;
        }
        let now = (entry.mode & !SET_GROUP_ID) | self.owner_bits();
        if stat.st_mode & 0o7777 != now {
            set_mode(node, now).attempt("set mode", &folder.path)?;
        }
        let default_acl = self.folder_attributes(node, entry, &folder.path)?;
        self.finishing.folder(&folder.path, entry.modified)?;
        // Once one folder has something late, an earlier entry of any may have, too.
        if now != entry.mode || default_acl.is_some() || self.finishing.has_late() {
            self.finishing.late(&folder.path, entry.mode, default_acl)?;
        }
        Ok(())
    }

    pub(super) fn symlink(
        &mut self,
        parent: &[u8],
        name: &[u8],
        target: &[u8],
        entry: &Entry,
        tap: &mut RecipeTap<'_>,
    ) -> DriverResult<()> {
        let folder = self.parents.folder(parent, &mut self.pending)?;
        if target.is_empty() {
            return Err(refuse("apply", &entry.path, "a symlink must have a target"));
        }
        self.make_in_place(&folder, name, tap, "make symlink", |node| {
            rustix::fs::symlinkat(target, node.folder, node.name)
        })?;
        self.describe(&folder, name, entry)
    }

    pub(super) fn special(
        &mut self,
        parent: &[u8],
        name: &[u8],
        entry: &Entry,
        tap: &mut RecipeTap<'_>,
    ) -> DriverResult<()> {
        let (kind, major, minor) = match entry.kind {
            Kind::CharDevice { major, minor } => (FileType::CharacterDevice, major, minor),
            Kind::BlockDevice { major, minor } => (FileType::BlockDevice, major, minor),
            _ => (FileType::Fifo, 0, 0),
        };
        // The kernel's overlayfs takes 0:0 for a whiteout, so no driver makes it: a layer is the same on all.
        let whiteout = kind == FileType::CharacterDevice && (major, minor) == (0, 0);
        if whiteout || (kind != FileType::Fifo && self.ownership == Ownership::Caller) {
            self.applied.skipped.devices += 1;
            return Ok(());
        }
        let folder = self.parents.folder(parent, &mut self.pending)?;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let device = rustix::fs::makedev(major, minor);
        let made = self.make_in_place(&folder, name, tap, "make device", |node| {
            rustix::fs::mknodat(node.folder, node.name, kind, mode, device)
        });
        match made {
            Err(DriverError { kind: ErrorKind::PermissionDenied, .. }) => {
                self.applied.skipped.devices += 1;
                Ok(())
            }
            other => other.and_then(|()| self.describe(&folder, name, entry)),
        }
    }

    /// Owner, mode, attributes and times of what is neither a regular file nor a folder.
    fn describe(&mut self, folder: &Parent, name: &[u8], entry: &Entry) -> DriverResult<()> {
        let node = Node::new(&folder.folder, name);
        let shown = path::join(&folder.path, name);
        let (uid, gid) = self.owner_of(entry);
        if (uid, gid) != self.caller {
            set_owner(node, uid, gid).attempt("set owner", &shown)?;
        }
        if !matches!(entry.kind, Kind::Symlink { .. }) && self.needs_mode(entry.mode) {
            set_mode(node, entry.mode).attempt("set mode", &shown)?;
        }
        self.attributes(node, entry, &shown)?;
        self.applied.usage.inodes += 1;
        set_modified(node, entry.modified).attempt("set times", &shown)
    }

    fn owner_of(&mut self, entry: &Entry) -> (u32, u32) {
        match self.ownership {
            Ownership::FromLayer => (entry.uid, entry.gid),
            Ownership::Caller => {
                if (entry.uid, entry.gid) != self.caller {
                    self.applied.skipped.owners += 1;
                }
                self.caller
            }
        }
    }

    /// Whether `open` and `mknod`, which heed the umask and drop set-id bits, left another mode.
    fn needs_mode(&self, mode: u32) -> bool {
        mode & (self.umask | 0o7000) != 0
    }

    fn owner_bits(&self) -> u32 {
        if self.privileged { 0 } else { OWNER_ALL }
    }

    fn attributes(&mut self, node: Node<'_>, entry: &Entry, shown: &[u8]) -> DriverResult<()> {
        for (name, value) in &entry.xattrs {
            self.attribute(node, name, value, shown)?;
        }
        Ok(())
    }

    /// As [`attributes`](Self::attributes), but answers the default ACL, which new files would inherit, for later.
    fn folder_attributes<'e>(
        &mut self,
        node: Node<'_>,
        entry: &'e Entry,
        shown: &[u8],
    ) -> DriverResult<Option<&'e [u8]>> {
        let mut default_acl = None;
        for (name, value) in &entry.xattrs {
            if name == b"system.posix_acl_default" {
                default_acl = Some(value.as_slice());
            } else {
                self.attribute(node, name, value, shown)?;
            }
        }
        Ok(default_acl)
    }

    fn attribute(&mut self, node: Node<'_>, name: &[u8], value: &[u8], shown: &[u8]) -> DriverResult<()> {
        let stored = match xattr::judge(name, value, self.markers.overlay().is_some()) {
            Verdict::Keep(stored) => stored,
            Verdict::Drop => {
                self.applied.skipped.xattrs += 1;
                return Ok(());
            }
            Verdict::Refuse(reason) => {
                let name = String::from_utf8_lossy(name);
                return Err(refuse(
                    "apply",
                    shown,
                    format!("extended attribute {}: {reason}", name.escape_debug()),
                ));
            }
        };
        match xattr::set(node, &stored, value) {
            Ok(()) => Ok(()),
            // The file system has none of the kind, or it takes a privilege that the caller lacks.
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => {
                self.applied.skipped.xattrs += 1;
                Ok(())
            }
            // The reader bounds the names; escaping one from overlayfs lengthens it.
            Err(Errno::RANGE) => {
                let reason =
                    "more than 255 bytes in an extended attribute's name, once it is escaped from overlayfs";
                Err(DriverError::new(ErrorKind::LimitExceeded, "set extended attribute", reason)
                    .at(path::display(shown)))
            }
            Err(error) => Err(error).attempt("set extended attribute", shown),
        }
    }
}

/// Removes what an earlier entry of the same folder set, overlayfs' own attributes aside.
fn drop_attributes(node: Node<'_>, markers: Markers) -> rustix::io::Result<()> {
    for (name, _) in xattr::read_all(node)? {
        if xattr::carried(&name, markers.overlay()).is_some() {
            xattr::remove(node, &name)?;
        }
    }
    Ok(())
}

fn write_whole(
    made: &mut File,
    shown: &[u8],
    size_bytes: u64,
    reader: &mut Reader<'_, '_>,
) -> DriverResult<()> {
    if size_bytes == 0 {
        return Ok(());
    }
    let all = [Segment { offset: 0, length: size_bytes }];
    reader.observer_mut().file(shown, &all).attempt("write recipe", shown)?;
    loop {
        let chunk = reader.payload().map_err(tar_failed)?;
        if chunk.is_empty() {
            return Ok(());
        }
        made.write_all(chunk).attempt("write", shown)?;
        let length = chunk.len();
        reader.consume(length);
    }
}

/// Writes the segments where they belong; the rest stays a hole.
fn write_sparse(
    made: &mut File,
    shown: &[u8],
    size_bytes: u64,
    segments: &[Segment],
    reader: &mut Reader<'_, '_>,
) -> DriverResult<()> {
    rustix::fs::ftruncate(made.as_fd(), size_bytes).attempt("set size", shown)?;
    if segments.iter().any(|segment| segment.length > 0) {
        reader.observer_mut().file(shown, segments).attempt("write recipe", shown)?;
    }
    for segment in segments {
        let (mut offset, end) = (segment.offset, segment.offset + segment.length);
        while offset < end {
            let chunk = reader.payload().map_err(tar_failed)?;
            if chunk.is_empty() {
                return Err(refuse("apply", shown, "the tar ends inside a sparse file"));
            }
            let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(chunk.len());
            made.write_all_at(&chunk[..length], offset).attempt("write", shown)?;
            reader.consume(length);
            offset += length as u64;
        }
    }
    Ok(())
}

/// Links `from` to `to`, not following a link at either end.
pub(super) fn link(from: Node<'_>, to: Node<'_>) -> rustix::io::Result<()> {
    rustix::fs::linkat(from.folder, from.name, to.folder, to.name, AtFlags::empty())
}
