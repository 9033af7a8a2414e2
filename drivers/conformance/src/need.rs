//! What a case needs to be run: of the driver, and of the machine.

use std::fmt;

use plywood_graphdriver::Capabilities;

/// One thing that a case cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// The driver makes kernel mounts.
    Mounts,
    /// The driver unpacks layers without their parents.
    IndependentApply,
    /// The driver's diff reads what the layer itself holds.
    NativeDiff,
    /// A mounted layer may stand on this many parents.
    Depth(usize),
    /// Containers on one image share its pages.
    SharesPageCache,
    /// Writable layers can be limited in size.
    Quota,
    /// Layers are block devices.
    DeviceBacked,
    /// The driver works without privilege.
    Rootless,
    /// Files of any owner, device nodes and mounts can be made (`CAP_CHOWN`, `CAP_MKNOD`, `CAP_SYS_ADMIN`).
    Root,
    /// The kernel mounts an overlay on the folder of temporary files.
    Overlay,
    /// Overlay mounts show an escaped attribute as a layer has it (Linux 6.7); older ones show none of overlayfs' attributes.
    EscapedXattrs,
    /// The folder of temporary files has attributes in `user.*`.
    UserXattrs,
    /// The folder of temporary files has POSIX access control lists.
    Acls,
    /// Files in the folder of temporary files can have holes.
    Holes,
    /// A file can be mounted through a loop device, and `mkfs.xfs` is there.
    Xfs,
    /// FUSE file systems can be served: `/dev/fuse` opens.
    Fuse,
    /// The kernel has a device mapper: `/dev/mapper/control` opens.
    DeviceMapper,
}

impl Need {
    /// Whether a driver with these capabilities meets the need; `None` where it is one of the machine.
    #[must_use]
    pub fn met_by(self, capabilities: &Capabilities) -> Option<bool> {
        Some(match self {
            Self::Mounts => capabilities.mounts,
            Self::IndependentApply => capabilities.independent_apply,
            Self::NativeDiff => capabilities.native_diff,
            Self::Depth(depth) => capabilities.max_depth.is_none_or(|most| depth <= most),
            Self::SharesPageCache => capabilities.shares_page_cache,
            Self::Quota => capabilities.quota,
            Self::DeviceBacked => capabilities.device_backed,
            Self::Rootless => capabilities.rootless,
            _ => return None,
        })
    }

    /// Whether whoever lacks `other` lacks this too: a depth takes every smaller one.
    #[must_use]
    pub fn takes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Depth(needed), Self::Depth(lacking)) => needed >= lacking,
            _ => self == other,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Depth(depth) => return write!(formatter, "{depth} layers in one mount"),
            Self::Mounts => "kernel mounts",
            Self::IndependentApply => "unpacking without parents",
            Self::NativeDiff => "a native diff",
            Self::SharesPageCache => "a shared page cache",
            Self::Quota => "quotas",
            Self::DeviceBacked => "layers on block devices",
            Self::Rootless => "a driver without privilege",
            Self::Root => "root (mounts, device nodes, foreign owners)",
            Self::Overlay => "overlay mounts in the temporary folder",
            Self::EscapedXattrs => "overlay mounts that show escaped attributes (Linux 6.7)",
            Self::UserXattrs => "user.* attributes in the temporary folder",
            Self::Acls => "access control lists in the temporary folder",
            Self::Holes => "holes in files in the temporary folder",
            Self::Xfs => "loop mounts and mkfs.xfs",
            Self::Fuse => "/dev/fuse",
            Self::DeviceMapper => "/dev/mapper/control",
        };
        formatter.write_str(text)
    }
}
