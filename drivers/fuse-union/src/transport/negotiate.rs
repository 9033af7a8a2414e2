//! The first exchange of a session.

use fuse_abi::linux::{
    FUSE_ASYNC_DIO, FUSE_ASYNC_READ, FUSE_BIG_WRITES, FUSE_CACHE_SYMLINKS, FUSE_DIRECT_IO_ALLOW_MMAP,
    FUSE_DO_READDIRPLUS, FUSE_DONT_MASK, FUSE_EXPLICIT_INVAL_DATA, FUSE_HANDLE_KILLPRIV_V2,
    FUSE_HAS_IOCTL_DIR, FUSE_INIT_EXT, FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION, FUSE_MAX_PAGES,
    FUSE_NO_OPENDIR_SUPPORT, FUSE_PARALLEL_DIROPS, FUSE_PASSTHROUGH, FUSE_POSIX_ACL, FUSE_SETXATTR_EXT,
    FUSE_WRITEBACK_CACHE, fuse_init_in, fuse_init_out,
};

use crate::request::Features;

/// Bytes of one write at most; the kernel's own limit is 256 pages unless raised (`fs.fuse.max_pages_limit`).
pub(super) const LARGEST_WRITE: u32 = 1 << 20;
const PAGE_BYTES: u32 = 4096;

/// Requests that the kernel has under way in the background at most, readahead and writeback: its default of 12 is too few
/// for parallel writers.
const BACKGROUND: u16 = 64;

/// What both sides agreed on.
pub(super) struct Agreed {
    pub(super) out: fuse_init_out,
    pub(super) features: Features,
    /// Requests to set an attribute have flags.
    pub(super) xattr_flags: bool,
}

/// Agrees on what the kernel offers and the file system wishes for.
///
/// Not `FUSE_ATOMIC_O_TRUNC`: with it a file is truncated before the kernel finds that it is being executed (`O_RDONLY | O_TRUNC`).
pub(super) fn agree(offer: &fuse_init_in, wishes: Features) -> Agreed {
    let offered = u64::from(offer.flags) | (u64::from(offer.flags2) << 32);
    let mut taken = u64::from(
        FUSE_ASYNC_READ
            | FUSE_ASYNC_DIO
            | FUSE_BIG_WRITES
            | FUSE_DONT_MASK
            | FUSE_PARALLEL_DIROPS
            | FUSE_DO_READDIRPLUS
            | FUSE_CACHE_SYMLINKS
            | FUSE_NO_OPENDIR_SUPPORT
            | FUSE_EXPLICIT_INVAL_DATA
            | FUSE_MAX_PAGES
            | FUSE_SETXATTR_EXT
            | FUSE_HAS_IOCTL_DIR
            | FUSE_INIT_EXT,
    ) | FUSE_DIRECT_IO_ALLOW_MMAP;
    let choices = [
        (wishes.writeback, u64::from(FUSE_WRITEBACK_CACHE)),
        (wishes.passthrough, FUSE_PASSTHROUGH),
        (wishes.access_control_lists, u64::from(FUSE_POSIX_ACL)),
        (wishes.kill_privileges, u64::from(FUSE_HANDLE_KILLPRIV_V2)),
    ];
    for (_, flag) in choices.iter().filter(|(wished, _)| *wished) {
        taken |= flag;
    }
    taken &= offered;
    let has = |flag: u64| taken & flag != 0;
    let features = Features {
        writeback: has(u64::from(FUSE_WRITEBACK_CACHE)),
        passthrough: has(FUSE_PASSTHROUGH),
        access_control_lists: has(u64::from(FUSE_POSIX_ACL)),
        kill_privileges: has(u64::from(FUSE_HANDLE_KILLPRIV_V2)),
    };
    Agreed {
        out: out(offer, taken, features.passthrough),
        features,
        xattr_flags: has(u64::from(FUSE_SETXATTR_EXT)),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves of the flags, and 256 pages")]
fn out(offer: &fuse_init_in, taken: u64, passthrough: bool) -> fuse_init_out {
    fuse_init_out {
        major: FUSE_KERNEL_VERSION,
        minor: FUSE_KERNEL_MINOR_VERSION.min(offer.minor),
        max_readahead: offer.max_readahead,
        flags: taken as u32,
        flags2: (taken >> 32) as u32,
        max_background: BACKGROUND,
        congestion_threshold: BACKGROUND / 4 * 3,
        max_write: LARGEST_WRITE,
        time_gran: 1,
        max_pages: (LARGEST_WRITE / PAGE_BYTES) as u16,
        // One level: an overlay can still stand on this file system.
        max_stack_depth: u32::from(passthrough),
        ..Default::default()
    }
}
