//! The drivers that the suite runs on: a new one is named here, and nowhere else in the tests.

use plywood_conformance::{Need, Subject};
use plywood_fuse_union::{FuseUnion, Server};
use plywood_overlay2::Overlay2;
use plywood_vfs::Vfs;

const NO_DEVICES: (Need, &str) = (Need::DeviceBacked, "layers are folders");
const NO_QUOTA: (Need, &str) = (Need::Quota, "it sets no limits");

/// Every driver.
pub const SUBJECTS: &[Subject] = &[
    Subject {
        name: "overlay2",
        open: |folder, privilege| Ok(Box::new(Overlay2::open(folder, privilege)?)),
        requires: &[Need::Overlay],
        never: &[
            NO_DEVICES,
            NO_QUOTA,
            (Need::Rootless, "it makes kernel mounts"),
            (Need::Depth(500), "overlayfs takes 500 lower folders (OVL_MAX_STACK)"),
        ],
    },
    Subject {
        name: "fuse-union",
        open: |folder, privilege| Ok(Box::new(FuseUnion::open(folder, privilege, Server::ThisProcess)?)),
        requires: &[Need::Fuse, Need::UserXattrs],
        never: &[
            NO_DEVICES,
            NO_QUOTA,
            (Need::Rootless, "files could not have their owners"),
            (Need::SharesPageCache, "every mount keeps what it read by itself"),
        ],
    },
    Subject {
        name: "vfs",
        open: |folder, privilege| Ok(Box::new(Vfs::open(folder, privilege)?)),
        requires: &[],
        never: &[
            NO_DEVICES,
            NO_QUOTA,
            (Need::NativeDiff, "every layer is a whole tree"),
            (Need::SharesPageCache, "every layer is a copy"),
        ],
    },
];
