//! Which file system something is on.

use std::io;
use std::os::fd::AsFd;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FUSE_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC,
    TMPFS_MAGIC, XFS_SUPER_MAGIC, fstatfs,
};

/// Numbers that nix has no name for (Linux 6.18, uapi/linux/magic.h; ZFS and bcachefs their own headers).
const F2FS: FsType = FsType(0xf2f5_2010);
const ZFS: FsType = FsType(0x2fc1_2fc1);
const BCACHEFS: FsType = FsType(0xca45_1a4e);

/// The name of the file system that an open file or folder is on, as `docker info` has it: `extfs`, `xfs`, `btrfs`;
/// `unknown` for one that no container engine has a name for.
///
/// # Errors
/// Those of `fstatfs(2)`.
pub fn name(of: impl AsFd) -> io::Result<&'static str> {
    Ok(match fstatfs(of)?.filesystem_type() {
        EXT4_SUPER_MAGIC => "extfs",
        XFS_SUPER_MAGIC => "xfs",
        BTRFS_SUPER_MAGIC => "btrfs",
        TMPFS_MAGIC => "tmpfs",
        OVERLAYFS_SUPER_MAGIC => "overlayfs",
        NFS_SUPER_MAGIC => "nfs",
        FUSE_SUPER_MAGIC => "fuse",
        F2FS => "f2fs",
        ZFS => "zfs",
        BCACHEFS => "bcachefs",
        _ => "unknown",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_memory_is_known_by_its_name() {
        let shm =
            rustix::fs::open("/dev/shm", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(name(shm).unwrap(), "tmpfs");
    }
}
