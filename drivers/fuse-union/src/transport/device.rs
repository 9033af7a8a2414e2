//! The device of a session: what we may ask of the kernel.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fuse_abi::linux::{fuse_notify_inval_inode_out, fuse_notify_store_out, fuse_out_header};
use plywood_sys::fuse_device;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::request::{Answer, Kernel, NodeId};

/// The device that the mount was made with.
pub(super) struct Device(OwnedFd);

impl Device {
    pub(super) fn new(opened: OwnedFd) -> Self {
        Self(opened)
    }

    /// Another channel of the same session, so that threads do not share the lists of one.
    pub(super) fn channel(&self) -> Answer<OwnedFd> {
        let opened = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let joined = fuse_device::join_session(opened.as_fd(), self.0.as_fd());
        joined.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(opened)
    }

    fn notify(&self, code: i32, parts: [&[u8]; 2]) -> Answer<()> {
        let length = size_of::<fuse_out_header>() + parts.iter().map(|part| part.len()).sum::<usize>();
        let len = u32::try_from(length).map_err(|_| Errno::TOOBIG)?;
        let header = fuse_out_header { len, error: code, unique: 0 };
        let slices = [header.as_bytes(), parts[0], parts[1]].map(IoSlice::new);
        match rustix::io::writev(&self.0, &slices) {
            // What the kernel does not know it need not forget.
            Ok(_) | Err(Errno::NOENT | Errno::NODEV) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// `FUSE_NOTIFY_INVAL_INODE`, `FUSE_NOTIFY_STORE`, and `FUSE_NOTIFY_PRUNE` of protocol 7.45 (linux/fuse.h, Linux 6.18).
const FORGET_ATTRIBUTES: i32 = 2;
const STORE: i32 = 4;
const PRUNE: i32 = 9;

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Kernel for Device {
    fn open_backing(&self, file: BorrowedFd<'_>) -> Answer<u32> {
        fuse_device::open_backing(self.0.as_fd(), file)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    fn close_backing(&self, number: u32) {
        if let Err(error) = fuse_device::close_backing(self.0.as_fd(), number) {
            tracing::debug!(%error, number, "a backing file stays registered");
        }
    }

    fn forget_attributes(&self, node: NodeId) {
        // A negative offset leaves the pages alone.
        let out = fuse_notify_inval_inode_out { ino: node, off: -1, len: 0 };
        if let Err(error) = self.notify(FORGET_ATTRIBUTES, [out.as_bytes(), &[]]) {
            tracing::debug!(%error, node, "the kernel keeps attributes");
        }
    }

    fn keep_content(&self, node: NodeId, content: &[u8]) -> Answer<()> {
        let size = u32::try_from(content.len()).map_err(|_| Errno::TOOBIG)?;
        let out = fuse_notify_store_out { nodeid: node, offset: 0, size, padding: 0 };
        self.notify(STORE, [out.as_bytes(), content])
    }

    fn prune(&self, nodes: &[NodeId]) -> Answer<()> {
        // `struct fuse_notify_prune_out`: how many, four bytes and one word unused.
        let mut out = [0_u8; 16];
        let count = u32::try_from(nodes.len()).map_err(|_| Errno::TOOBIG)?;
        out[..4].copy_from_slice(&count.to_ne_bytes());
        self.notify(PRUNE, [&out, nodes.as_bytes()])
    }
}
