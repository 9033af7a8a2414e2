//! Whiteouts and opaque folders: how a layer says what is deleted.
//!
//! In a tar they are the names of the OCI image spec (layer.md, "Whiteouts"). On disk a driver chooses: the
//! kernel's overlayfs wants a character device 0:0 and an attribute of the folder; a driver that merges layers by itself
//! keeps the OCI names, which no other file of a layer can have.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::resolve::Node;
use crate::xattr;

/// The prefix of a whiteout's name in a tar.
pub const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// The name of the entry in a tar that hides everything its folder has in the layers below.
pub const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";

/// The prefix of the bookkeeping of AUFS, which old images carry and everyone skips.
pub const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// The namespace of overlayfs' attributes: `user.` where the mounter lacks privilege in the initial user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// `trusted.overlay.`
    Trusted,
    /// `user.overlay.`, with the mount option `userxattr` (Linux 5.11).
    User,
}

impl Namespace {
    /// The prefix of overlayfs' own attributes.
    #[must_use]
    pub fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }

    /// The prefix under which overlayfs shows attributes that a file system above it believes its own (Linux 6.7).
    #[must_use]
    pub fn escaped_prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.overlay.",
            Self::User => b"user.overlay.overlay.",
        }
    }

    /// The attribute that makes a folder opaque.
    #[must_use]
    pub fn opaque(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.opaque",
            Self::User => b"user.overlay.opaque",
        }
    }
}

/// The form that deletions have on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markers {
    /// A character device 0:0 and `overlay.opaque`.
    Overlay(Namespace),
    /// Empty files with the names of the OCI image spec.
    Oci,
    /// None: the tree is whole.
    Whole,
}

impl Markers {
    /// The namespace of overlayfs, where that reads the layer: attributes that a layer brings are escaped from it.
    #[must_use]
    pub fn overlay(self) -> Option<Namespace> {
        match self {
            Self::Overlay(namespace) => Some(namespace),
            Self::Oci | Self::Whole => None,
        }
    }

    /// Whether `stat` is that of a whiteout in overlayfs' form.
    #[must_use]
    pub fn is_whiteout_device(self, stat: &Stat) -> bool {
        matches!(self, Self::Overlay(_))
            && FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == 0
    }

    /// Whether a whiteout hides `node`'s name.
    ///
    /// # Errors
    /// Those of `fstatat(2)`.
    pub fn hides(self, node: Node<'_>) -> rustix::io::Result<bool> {
        match self {
            Self::Overlay(_) => Ok(node.find()?.is_some_and(|stat| self.is_whiteout_device(&stat))),
            Self::Oci => Ok(Node { folder: node.folder, name: &whiteout_name(node.name) }.find()?.is_some()),
            Self::Whole => Ok(false),
        }
    }

    /// Makes a whiteout for `node`'s name, which must be free.
    ///
    /// # Errors
    /// Those of `mknodat(2)` and `openat(2)`. A whiteout that is there already is left.
    pub fn make_whiteout(self, node: Node<'_>) -> rustix::io::Result<()> {
        match self {
            Self::Overlay(_) => {
                // Needs no privilege since Linux 5.8.
                rustix::fs::mknodat(node.folder, node.name, FileType::CharacterDevice, Mode::empty(), 0)
            }
            Self::Oci => touch(node, &whiteout_name(node.name)),
            Self::Whole => Err(Errno::OPNOTSUPP),
        }
    }

    /// Removes the whiteout of `node`'s name; answers whether there was one.
    ///
    /// # Errors
    /// Those of `fstatat(2)` and `unlinkat(2)`.
    pub fn remove_whiteout(self, node: Node<'_>) -> rustix::io::Result<bool> {
        let name = match self {
            Self::Overlay(_) if self.hides(node)? => node.name.to_vec(),
            Self::Oci => whiteout_name(node.name),
            _ => return Ok(false),
        };
        match rustix::fs::unlinkat(node.folder, name, rustix::fs::AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a folder hide all that the layers below have in it.
    ///
    /// # Errors
    /// Those of `lsetxattr(2)` and `openat(2)`.
    pub fn make_opaque(self, folder: &OwnedFd) -> rustix::io::Result<()> {
        let node = Node::new(folder, b".");
        match self {
            Self::Overlay(namespace) => xattr::set(node, namespace.opaque(), b"y"),
            Self::Oci => touch(node, OPAQUE_MARKER),
            Self::Whole => Err(Errno::OPNOTSUPP),
        }
    }

    /// Whether a folder hides what the layers below have in it.
    ///
    /// # Errors
    /// Those of `lgetxattr(2)` and `fstatat(2)`.
    pub fn is_opaque(self, folder: &OwnedFd) -> rustix::io::Result<bool> {
        match self {
            Self::Overlay(namespace) => {
                Ok(xattr::read(Node::new(folder, b"."), namespace.opaque())?.as_deref() == Some(b"y"))
            }
            Self::Oci => Ok(Node::new(folder, OPAQUE_MARKER).find()?.is_some()),
            Self::Whole => Ok(false),
        }
    }

    /// Whether a name on disk is a marker and not a file of the layer.
    #[must_use]
    pub fn is_marker_name(self, name: &[u8]) -> bool {
        self == Self::Oci && name.starts_with(WHITEOUT_PREFIX)
    }
}

/// The name that hides `name` in a tar.
#[must_use]
pub fn whiteout_name(name: &[u8]) -> Vec<u8> {
    [WHITEOUT_PREFIX, name].concat()
}

fn touch(node: Node<'_>, name: &[u8]) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(node.folder, name, flags, Mode::RUSR).map(drop)
}
