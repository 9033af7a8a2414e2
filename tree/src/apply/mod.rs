//! Unpacks a layer's tar into a folder, without looking at the layers below.
//!
//! What only the layers below can tell (whose metadata an implied folder has, what a hard link to a file of a parent
//! means) is noted in `pending.rs` and settled later, when the parents are there.

mod finish;
mod links;
mod parents;
mod place;
mod recipe_tap;
mod replace;

use std::io::{BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plywood_archive::compression::DecompressionError;
use plywood_archive::tar::{Entry, Kind, TarError, TarReader};
use plywood_graphdriver::{Applied, ApplyOptions, DriverError, DriverResult, ErrorKind, Limits, Ownership};
use rustix::fs::OFlags;

use crate::fail::{Attempt, refuse};
use crate::markers::{AUFS_PREFIX, Markers, OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::path;
use crate::pending::Pending;
use crate::resolve::Node;
use crate::stack::Stack;
use parents::Parents;
use recipe_tap::RecipeTap;

/// Bytes read from the tar at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Where a layer is unpacked to.
#[derive(Debug)]
pub struct Target<'a> {
    /// The folder that becomes the layer's root; empty but for what the driver gave it.
    pub upper: BorrowedFd<'a>,
    /// The driver's folder of this layer, on the same file system: for notes and temporary files.
    pub layer: BorrowedFd<'a>,
    /// The form of deletions.
    pub markers: Markers,
    /// The layers below, where they are known: then folders that the tar only implies are found in them, links followed.
    pub below: Option<Stack>,
}

/// Unpacks a tar, reading it to its end.
///
/// Every name is confined to the target. Of entries with one path the last wins. What cannot be had here (devices without
/// privilege, attributes that the file system lacks) is left out and counted.
///
/// # Errors
/// `InvalidInput` and `LimitExceeded` with the entry's path for a tar that must not get through; the target is then half
/// unpacked and good for removal only.
pub fn apply(target: Target<'_>, tar: &mut dyn Read, options: ApplyOptions<'_>) -> DriverResult<Applied> {
    let reader = BufReader::with_capacity(BUFFER_BYTES, tar);
    let tap = RecipeTap::new(options.recipe).attempt("begin recipe", b"")?;
    let mut reader = TarReader::new(reader, reader_limits(&options.limits), tap);
    let mut unpacker = Unpacker::new(target, options.ownership)?;
    while let Some(entry) = reader.next_entry().map_err(tar_failed)? {
        unpacker.applied.entries += 1;
        unpacker.entry(&entry, &mut reader).map_err(|error| error.at(path::display(&entry.path)))?;
        // Of a marker, say: what is in no file of the layer is in the recipe.
        reader.observe_payload().map_err(tar_failed)?;
    }
    let (_, tap) = reader.finish().map_err(tar_failed)?;
    tap.finish().attempt("finish recipe", b"")?;
    unpacker.finish()
}

fn reader_limits(limits: &Limits) -> plywood_archive::tar::Limits {
    plywood_archive::tar::Limits {
        entries: limits.entries,
        path_bytes: limits.path_bytes,
        component_bytes: limits.component_bytes,
        depth: limits.depth,
        pax_bytes: limits.pax_bytes,
        xattr_value_bytes: limits.xattr_value_bytes,
        xattr_entry_bytes: limits.xattr_entry_bytes,
        ..plywood_archive::tar::Limits::default()
    }
}

fn tar_failed(error: TarError) -> DriverError {
    let kind = match error.io_source() {
        _ if error.is_limit() => ErrorKind::LimitExceeded,
        // What is wrong with the packed stream is as much the input's fault as what is wrong with the tar.
        Some(io) if DecompressionError::of(io).is_none() => ErrorKind::of(io),
        _ => ErrorKind::InvalidInput,
    };
    DriverError::new(kind, "read tar", error)
}

type Reader<'t, 'r> = TarReader<BufReader<&'t mut dyn Read>, RecipeTap<'r>>;

/// The state of one unpacking.
struct Unpacker<'a> {
    upper: OwnedFd,
    layer: BorrowedFd<'a>,
    markers: Markers,
    ownership: Ownership,
    /// Who owns what the caller makes: those need no change of owner.
    caller: (u32, u32),
    privileged: bool,
    umask: u32,
    parents: Parents,
    pending: Pending<'a>,
    finishing: finish::Finishing<'a>,
    /// Whether this layer has whiteouts, which later entries may replace.
    has_whiteouts: bool,
    root_described: bool,
    applied: Applied,
}

impl<'a> Unpacker<'a> {
    fn new(target: Target<'a>, ownership: Ownership) -> DriverResult<Self> {
        let open = |folder: BorrowedFd<'_>| {
            Node::itself(folder).open(OFlags::PATH | OFlags::DIRECTORY).attempt("open layer", b"")
        };
        let effective = rustix::process::geteuid();
        Ok(Self {
            upper: open(target.upper)?,
            parents: Parents::new(open(target.upper)?, target.markers, target.below),
            pending: Pending::new(target.layer),
            finishing: finish::Finishing::new(target.layer, effective.is_root()),
            layer: target.layer,
            markers: target.markers,
            ownership,
            caller: (effective.as_raw(), rustix::process::getegid().as_raw()),
            privileged: effective.is_root(),
            umask: plywood_sys::identity::umask().attempt("read umask", b"")?,
            has_whiteouts: false,
            root_described: false,
            applied: Applied::default(),
        })
    }

    fn entry(&mut self, entry: &Entry, reader: &mut Reader<'_, '_>) -> DriverResult<()> {
        let cleaned =
            path::clean(&entry.path).map_err(|problem| refuse("apply", &entry.path, problem.to_string()))?;
        let Some((parent, name)) = path::split(&cleaned) else { return self.root(entry) };
        // Before the name itself is looked at: a whiteout below a marker has no folder to be in.
        if parent.split(|byte| *byte == b'/').any(|component| component.starts_with(WHITEOUT_PREFIX)) {
            return below_marker(parent, &cleaned);
        }
        if name.starts_with(WHITEOUT_PREFIX) {
            return self.marker(parent, name, reader.observer_mut());
        }
        match &entry.kind {
            Kind::Regular => self.regular(parent, name, entry, reader),
            Kind::Directory => self.folder(parent, name, entry, reader.observer_mut()),
            Kind::Symlink { target } => self.symlink(parent, name, target, entry, reader.observer_mut()),
            Kind::HardLink { target } => self.hard_link(parent, name, target, reader.observer_mut()),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {
                self.special(parent, name, entry, reader.observer_mut())
            }
        }
    }

    /// The layer's root can be described, and be nothing but a folder.
    fn root(&mut self, entry: &Entry) -> DriverResult<()> {
        if entry.kind != Kind::Directory {
            return Err(refuse("apply", &entry.path, "only a folder can be the root of a layer"));
        }
        self.root_described = true;
        let root = self.parents.root();
        self.describe_folder(&root, Node::new(&root.folder, b"."), entry)
    }

    fn marker(&mut self, parent: &[u8], name: &[u8], tap: &mut RecipeTap<'_>) -> DriverResult<()> {
        if name == OPAQUE_MARKER {
            return self.opaque(parent);
        }
        if name.starts_with(AUFS_PREFIX) {
            return Ok(());
        }
        let hidden = &name[WHITEOUT_PREFIX.len()..];
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(refuse("apply", &path::join(parent, name), "a whiteout must name what it deletes"));
        }
        let folder = self.parents.folder(parent, &mut self.pending)?;
        self.has_whiteouts = true;
        let node = Node::new(&folder.folder, hidden);
        let shown = path::join(&folder.path, hidden);
        if self.markers.hides(node).attempt("look up whiteout", &shown)? {
            return Ok(());
        }
        // In either form: what an earlier entry put there is deleted, too.
        self.clear(&folder, hidden, false, tap)?;
        self.markers.make_whiteout(node).attempt("make whiteout", &shown)?;
        // Merging takes every whiteout away; overlayfs shows those that hide nothing in listings (Linux 6.18).
        if self.markers.overlay().is_some() {
            self.pending.whiteout(&shown)?;
        }
        Ok(())
    }

    fn opaque(&mut self, parent: &[u8]) -> DriverResult<()> {
        let folder = self.parents.folder(parent, &mut self.pending)?;
        if folder.path.is_empty() {
            // Overlayfs merges the roots whatever they say: the layers below are needed to hide what they have there.
            return self.pending.opaque_root();
        }
        self.markers.make_opaque(&folder.folder).attempt("make opaque", &folder.path)
    }

    fn finish(mut self) -> DriverResult<Applied> {
        if !self.root_described {
            self.pending.implied(b"")?;
        }
        self.finishing.run(self.upper.as_fd(), &mut self.applied)?;
        self.pending.write(self.layer)?;
        Ok(self.applied)
    }
}

/// Names below `.wh.` are reserved; those of AUFS' bookkeeping are skipped as everyone does.
fn below_marker(parent: &[u8], cleaned: &[u8]) -> DriverResult<()> {
    if parent.starts_with(AUFS_PREFIX) {
        return Ok(());
    }
    Err(refuse("apply", cleaned, "a folder's name begins with '.wh.', which is reserved for whiteouts"))
}
