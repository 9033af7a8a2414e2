//! Real objects, reached by a name or by a descriptor, and what is done to them in either way.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use plywood_tree::resolve::Node as RealNode;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::Union;
use super::node::{Node, Place};
use crate::request::Answer;

/// The longest value and list of attributes that the kernel takes (`XATTR_SIZE_MAX`, linux/limits.h).
const LONGEST: usize = 64 << 10;

/// A real object.
pub(super) enum Real<'a> {
    /// A name in an open folder, which is not followed if it is a link.
    Named(RealNode<'a>),
    /// What a descriptor stands for. Its link in `/proc` leads right to it, whatever it is.
    Open(String),
}

impl Real<'_> {
    /// What an open descriptor stands for.
    pub(super) fn open(descriptor: &OwnedFd) -> Self {
        Self::Open(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
    }

    pub(super) fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Answer<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        match self {
            Self::Named(node) => {
                rustix::fs::chownat(node.folder, node.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            }
            Self::Open(path) => rustix::fs::chownat(CWD, path, uid, gid, AtFlags::empty()),
        }
    }

    /// The object must not be a link by a name: links have no modes.
    pub(super) fn set_mode(&self, mode: u32) -> Answer<()> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        match self {
            Self::Named(node) => rustix::fs::chmodat(node.folder, node.name, mode, AtFlags::empty()),
            Self::Open(path) => rustix::fs::chmod(path, mode),
        }
    }

    pub(super) fn set_times(&self, times: &Timestamps) -> Answer<()> {
        match self {
            Self::Named(node) => {
                rustix::fs::utimensat(node.folder, node.name, times, AtFlags::SYMLINK_NOFOLLOW)
            }
            Self::Open(path) => rustix::fs::utimensat(CWD, path, times, AtFlags::empty()),
        }
    }

    /// The `l*xattr` calls have no `*at` form before Linux 6.13.
    fn path(&self) -> CString {
        let path = match self {
            Self::Named(node) => {
                let mut path = format!("/proc/self/fd/{}/", node.folder.as_raw_fd()).into_bytes();
                path.extend_from_slice(node.name);
                path
            }
            Self::Open(path) => path.clone().into_bytes(),
        };
        // The kernel's names hold no NUL.
        CString::new(path).unwrap_or_default()
    }

    fn follows(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// An attribute; `ENODATA` where it is not there.
    pub(super) fn xattr(&self, name: &[u8]) -> Answer<Vec<u8>> {
        let path = self.path();
        let get = |buffer: &mut [u8]| {
            if self.follows() {
                rustix::fs::getxattr(&path, name, buffer)
            } else {
                rustix::fs::lgetxattr(&path, name, buffer)
            }
        };
        sized(get)
    }

    /// An attribute, if it is there.
    pub(super) fn find_xattr(&self, name: &[u8]) -> Answer<Option<Vec<u8>>> {
        match self.xattr(name) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all attributes, each with a NUL.
    pub(super) fn xattr_names(&self) -> Answer<Vec<u8>> {
        let path = self.path();
        let list = |buffer: &mut [u8]| {
            if self.follows() {
                rustix::fs::listxattr(&path, buffer)
            } else {
                rustix::fs::llistxattr(&path, buffer)
            }
        };
        match sized(list) {
            Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
            other => other,
        }
    }

    pub(super) fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Answer<()> {
        let (path, flags) = (self.path(), XattrFlags::from_bits_retain(flags));
        if self.follows() {
            rustix::fs::setxattr(&path, name, value, flags)
        } else {
            rustix::fs::lsetxattr(&path, name, value, flags)
        }
    }

    pub(super) fn remove_xattr(&self, name: &[u8]) -> Answer<()> {
        let path = self.path();
        if self.follows() {
            rustix::fs::removexattr(&path, name)
        } else {
            rustix::fs::lremovexattr(&path, name)
        }
    }
}

/// Most values are short: a long one is asked for a second time.
fn sized(call: impl Fn(&mut [u8]) -> Answer<usize>) -> Answer<Vec<u8>> {
    let mut short = [0_u8; 512];
    match call(&mut short) {
        Ok(length) => Ok(short[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut long = vec![0_u8; LONGEST];
            let length = call(&mut long)?;
            long.truncate(length);
            Ok(long)
        }
        Err(error) => Err(error),
    }
}

impl Union {
    /// Runs something on the real object of an inode.
    pub(super) fn with_real<T>(&self, node: &Node, run: impl FnOnce(&Real<'_>) -> Answer<T>) -> Answer<T> {
        match node.place() {
            Place::In { folder, name } => {
                let opened = folder.open(&self.folders)?;
                run(&Real::Named(RealNode { folder: opened.as_fd(), name: &name }))
            }
            Place::Merged(folders) => {
                let opened = folders.first().ok_or(Errno::STALE)?.open(&self.folders)?;
                run(&Real::Named(RealNode::itself(opened.as_fd())))
            }
            Place::Held { file, .. } => run(&Real::open(&file)),
        }
    }
}
