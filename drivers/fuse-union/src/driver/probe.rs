//! What this machine, and the file system below, can do.

use std::os::fd::AsFd;

use plywood_graphdriver::{DriverError, DriverResult, DriverStatus, ErrorKind};
use plywood_sys::identity::Privilege;
use plywood_tree::home::Home;
use plywood_tree::resolve::{Node, open_root};
use plywood_tree::{Markers, Namespace, folder, xattr};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Server;

/// Facts about this machine.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) namespace: Namespace,
    /// Mounts can be made by ourselves.
    pub(super) mounts: bool,
    backing: &'static str,
}

impl Facts {
    pub(super) fn status(&self, server: &Server) -> DriverStatus {
        let server = match server {
            Server::Program(path) => path.display().to_string(),
            Server::ThisProcess => "this process".to_owned(),
        };
        let fields = [
            ("Backing Filesystem", self.backing.to_owned()),
            ("Supports d_type", "true".to_owned()),
            ("Native Overlay Diff", "true".to_owned()),
            ("Server", server),
            ("userxattr", (self.namespace == Namespace::User).to_string()),
        ];
        DriverStatus { fields: fields.map(|(name, value)| (name.to_owned(), value)).into() }
    }
}

/// Tries what the driver relies on, in a folder of its own that is gone afterwards.
pub(super) fn probe(home: &Home, privilege: Privilege) -> DriverResult<Facts> {
    if privilege == Privilege::None {
        let reason = "files of layers could not have their owners: run it as root, or under \
                      'unshare --user --map-auto --map-root-user --mount', or use --driver vfs";
        return Err(DriverError::new(ErrorKind::PermissionDenied, "open fuse-union", reason));
    }
    rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|error| {
        let reason =
            format!("/dev/fuse does not open ({error}): load the module fuse, or let the caller use it");
        DriverError::new(ErrorKind::Unsupported, "open fuse-union", reason)
    })?;
    let root = open_root(home.path())?;
    let failed = |operation| move |error: Errno| DriverError::system(operation, error);
    let backing = plywood_sys::backing::name(&root)
        .map_err(|error| DriverError::system("look at the file system", error).at(home.path()))?;
    let name = format!("probe-{}", rustix::process::getpid().as_raw_nonzero());
    let node = Node::new(&root, name.as_bytes());
    folder::remove_all(node)?;
    let made = folder::make(root.as_fd(), name.as_bytes(), 0o700).map_err(failed("make folder"));
    let found = made.and_then(|made| {
        let namespace = namespace(Node::itself(made.as_fd()), privilege, backing)?;
        let whiteout = Node::new(&made, b"whiteout");
        match Markers::Overlay(namespace).make_whiteout(whiteout) {
            Ok(()) => Ok(namespace),
            Err(Errno::NOSPC | Errno::DQUOT) => Err(failed("make whiteout")(Errno::NOSPC)),
            Err(error) => Err(unsupported(backing, &format!("keeps no whiteouts ({error})"))),
        }
    });
    folder::remove_all(node)?;
    match found {
        // A full disk must not keep anyone from deleting: what was probed when there was space holds.
        Err(error) if error.kind == ErrorKind::NoSpace => {
            let user = privilege.in_user_namespace();
            let namespace = if user { Namespace::User } else { Namespace::Trusted };
            Ok(Facts { namespace, mounts: privilege.may_mount(), backing })
        }
        found => Ok(Facts { namespace: found?, mounts: privilege.may_mount(), backing }),
    }
}

/// `trusted.` for root, whose layers overlay2 could read then; `user.` for others.
fn namespace(probe: Node<'_>, privilege: Privilege, backing: &str) -> DriverResult<Namespace> {
    let namespace = if privilege == Privilege::Root { Namespace::Trusted } else { Namespace::User };
    match xattr::set(probe, namespace.opaque(), b"y") {
        Ok(()) => Ok(namespace),
        Err(Errno::NOSPC | Errno::DQUOT) => Err(DriverError::system("set attribute", Errno::NOSPC)),
        Err(error) => Err(unsupported(backing, &format!("keeps no extended attributes ({error})"))),
    }
}

fn unsupported(backing: &str, what: &str) -> DriverError {
    let reason = format!(
        "the folder is on {backing}, which {what}: use a folder on ext4, xfs or btrfs, or --driver vfs"
    );
    DriverError::new(ErrorKind::Unsupported, "open fuse-union", reason)
}
