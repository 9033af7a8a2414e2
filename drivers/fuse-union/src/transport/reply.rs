//! Answers as bytes.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use fuse_abi::linux::{
    fuse_attr, fuse_attr_out, fuse_entry_out, fuse_out_header, fuse_statx, fuse_statx_out, fuse_sx_time,
};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::request::{Attributes, Entry, Time};

/// How long the kernel may keep names and attributes, in seconds: nobody else writes the layers, so for good.
const VALID_SECONDS: u64 = 1 << 30;

/// Where the answer to one request goes.
#[derive(Clone, Copy)]
pub(super) struct Reply<'a> {
    channel: BorrowedFd<'a>,
    unique: u64,
}

impl<'a> Reply<'a> {
    pub(super) fn new(channel: BorrowedFd<'a>, unique: u64) -> Self {
        Self { channel, unique }
    }

    pub(super) fn error(self, error: Errno) {
        self.send(-error.raw_os_error(), &[]);
    }

    pub(super) fn data(self, data: &[u8]) {
        self.send(0, &[data]);
    }

    pub(super) fn parts(self, parts: &[&[u8]]) {
        self.send(0, parts);
    }

    fn send(self, error: i32, parts: &[&[u8]]) {
        let size = size_of::<fuse_out_header>() + parts.iter().map(|part| part.len()).sum::<usize>();
        let header =
            fuse_out_header { len: u32::try_from(size).unwrap_or(u32::MAX), error, unique: self.unique };
        let mut slices = [IoSlice::new(header.as_bytes()), IoSlice::new(&[]), IoSlice::new(&[])];
        for (slice, part) in slices[1..].iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        match rustix::io::writev(self.channel, &slices) {
            // Interrupted requests and those of a mount that is gone have nobody waiting.
            Ok(_) | Err(Errno::NOENT | Errno::NODEV) => {}
            Err(error) => tracing::warn!(%error, "an answer was not taken"),
        }
    }
}

pub(super) fn attr(of: &Attributes) -> fuse_attr {
    fuse_attr {
        ino: of.ino,
        size: of.size,
        blocks: of.blocks,
        atime: of.accessed.seconds.cast_unsigned(),
        mtime: of.modified.seconds.cast_unsigned(),
        ctime: of.changed.seconds.cast_unsigned(),
        atimensec: of.accessed.nanoseconds,
        mtimensec: of.modified.nanoseconds,
        ctimensec: of.changed.nanoseconds,
        mode: of.mode,
        nlink: of.links,
        uid: of.uid,
        gid: of.gid,
        rdev: of.device,
        blksize: of.block_size,
        flags: 0,
    }
}

pub(super) fn entry(of: Option<&Entry>) -> fuse_entry_out {
    let mut out =
        fuse_entry_out { entry_valid: VALID_SECONDS, attr_valid: VALID_SECONDS, ..Default::default() };
    if let Some(found) = of {
        out.nodeid = found.node;
        out.attr = attr(&found.attributes);
    }
    out
}

pub(super) fn attributes(of: &Attributes) -> fuse_attr_out {
    fuse_attr_out { attr_valid: VALID_SECONDS, attr: attr(of), ..Default::default() }
}

/// `STATX_BASIC_STATS` and `STATX_BTIME` (linux/stat.h).
const BASIC: u32 = 0x7ff;
const BIRTH: u32 = 0x800;

pub(super) fn statx(of: &Attributes, born: Option<Time>) -> fuse_statx_out {
    let stat = fuse_statx {
        mask: if born.is_some() { BASIC | BIRTH } else { BASIC },
        blksize: of.block_size,
        nlink: of.links,
        uid: of.uid,
        gid: of.gid,
        mode: u16::try_from(of.mode).unwrap_or_default(),
        ino: of.ino,
        size: of.size,
        blocks: of.blocks,
        atime: moment(of.accessed),
        btime: moment(born.unwrap_or_default()),
        ctime: moment(of.changed),
        mtime: moment(of.modified),
        // The kernel's encoding of 32 bits: minors from 256 are above the major.
        rdev_major: (of.device >> 8) & 0xfff,
        rdev_minor: (of.device & 0xff) | ((of.device >> 12) & 0xfff00),
        ..Default::default()
    };
    fuse_statx_out { attr_valid: VALID_SECONDS, stat, ..Default::default() }
}

fn moment(of: Time) -> fuse_sx_time {
    fuse_sx_time { tv_sec: of.seconds, tv_nsec: of.nanoseconds, ..Default::default() }
}
