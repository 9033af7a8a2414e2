//! What the kernel and the backing file system can do, found by trying.

use std::os::fd::{AsFd, OwnedFd};

use plywood_graphdriver::{DriverError, DriverResult, DriverStatus, ErrorKind};
use plywood_sys::identity::Privilege;
use plywood_sys::mount::{self, Overlay, Restrictions};
use plywood_tree::home::Home;
use plywood_tree::resolve::Node;
use plywood_tree::{Markers, Namespace, folder, xattr};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// A lower folder with nothing in it.
pub(crate) const EMPTY: &str = "empty";

/// Facts about this machine.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) namespace: Namespace,
    pub(crate) native_diff: bool,
    backing: &'static str,
}

impl Facts {
    /// The mount option that a user namespace needs.
    pub(crate) fn user_xattr_option(&self) -> Option<&'static str> {
        (self.namespace == Namespace::User).then_some("userxattr")
    }

    pub(crate) fn status(&self) -> DriverStatus {
        let fields = [
            ("Backing Filesystem", self.backing.to_owned()),
            ("Supports d_type", "true".to_owned()),
            ("Native Overlay Diff", self.native_diff.to_string()),
            ("Using metacopy", "false".to_owned()),
            ("userxattr", (self.namespace == Namespace::User).to_string()),
        ];
        DriverStatus { fields: fields.map(|(name, value)| (name.to_owned(), value)).into() }
    }
}

/// Tries all that the driver relies on, in a folder of its own that is gone afterwards.
pub(crate) fn probe(home: &Home, privilege: Privilege) -> DriverResult<Facts> {
    if !privilege.may_mount() {
        let reason = "overlay mounts need root, or a user namespace of one's own: \
                      run it under 'unshare --user --map-root-user --mount', or use --driver vfs";
        return Err(DriverError::new(ErrorKind::PermissionDenied, "open overlay2", reason));
    }
    let namespace = if privilege.in_user_namespace() { Namespace::User } else { Namespace::Trusted };
    let root = plywood_tree::resolve::open_root(home.path())?;
    match rustix::fs::mkdirat(&root, EMPTY, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(DriverError::system("make folder", error).at(home.path().join(EMPTY))),
    }
    remove_stale(&root)?;
    let backing = plywood_sys::backing::name(&root)
        .map_err(|error| DriverError::system("look at the file system", error).at(home.path()))?;
    let name = format!("probe-{}", rustix::process::getpid().as_raw_nonzero());
    folder::remove_all(Node::new(&root, name.as_bytes()))?;
    let probed = folder::make(root.as_fd(), name.as_bytes(), 0o700)
        .map_err(|error| DriverError::system("make folder", error).at(home.path()))
        .and_then(|made| Probe { folder: made, path: home.path().join(&name), namespace, backing }.run());
    folder::remove_all(Node::new(&root, name.as_bytes()))?;
    match probed {
        // A full disk must not keep anyone from deleting: what was probed when there was space holds.
        Err(error) if error.kind == ErrorKind::NoSpace => Ok(Facts { namespace, native_diff: true, backing }),
        probed => Ok(Facts { namespace, native_diff: probed?, backing }),
    }
}

/// Removes the folders of probes whose process was killed.
fn remove_stale(root: &OwnedFd) -> DriverResult<()> {
    let names = folder::names(root.as_fd()).map_err(|error| DriverError::system("list layers", error))?;
    for name in names {
        let Some(process) = name.strip_prefix(b"probe-") else { continue };
        let process = String::from_utf8_lossy(process).into_owned();
        if rustix::fs::access(format!("/proc/{process}"), rustix::fs::Access::EXISTS).is_err() {
            folder::remove_all(Node::new(root, &name))?;
        }
    }
    Ok(())
}

struct Probe {
    folder: OwnedFd,
    path: std::path::PathBuf,
    namespace: Namespace,
    backing: &'static str,
}

impl Probe {
    /// Answers whether an upper folder alone tells what changed.
    fn run(&self) -> DriverResult<bool> {
        for name in ["lower", "lower/folder", "lower/moved", "lower2", "upper", "work"] {
            rustix::fs::mkdirat(&self.folder, name, Mode::RWXU)
                .map_err(|error| self.failed("make folder", error))?;
        }
        for name in ["lower/folder/file", "lower/moved/file"] {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            rustix::fs::openat(&self.folder, name, flags, Mode::RUSR)
                .map_err(|error| self.failed("make file", error))?;
        }
        self.entry_types()?;
        self.markers()?;
        self.mounted()
    }

    /// Overlayfs needs the type in directory entries (xfs made with ftype=0 lacks it).
    fn entry_types(&self) -> DriverResult<()> {
        let listed =
            Node::new(&self.folder, b"lower").open(OFlags::RDONLY | OFlags::DIRECTORY).and_then(Dir::new);
        for entry in listed.map_err(|error| self.failed("list folder", error))? {
            let entry = entry.map_err(|error| self.failed("list folder", error))?;
            if entry.file_type() == FileType::Unknown {
                return Err(self.unusable(
                    "it has no file types in directory entries (d_type); xfs has them if made with ftype=1",
                ));
            }
        }
        Ok(())
    }

    fn markers(&self) -> DriverResult<()> {
        let markers = Markers::Overlay(self.namespace);
        let upper =
            Node::new(&self.folder, b"upper").open_folder().map_err(|error| self.failed("open", error))?;
        if let Err(error) = markers.make_whiteout(Node::new(&upper, b"whiteout")) {
            return Err(self.unusable(&format!("it takes no whiteouts (character device 0:0): {error}")));
        }
        if let Err(error) = markers.make_opaque(&upper) {
            return Err(
                self.unusable(&format!("it takes no extended attributes in {}*: {error}", self.prefix()))
            );
        }
        xattr::remove(Node::new(&upper, b"."), self.namespace.opaque())
            .map_err(|error| self.failed("remove attribute", error))?;
        rustix::fs::unlinkat(&upper, "whiteout", AtFlags::empty())
            .map_err(|error| self.failed("remove", error))
    }

    fn prefix(&self) -> &'static str {
        match self.namespace {
            Namespace::Trusted => "trusted.",
            Namespace::User => "user.",
        }
    }

    /// Mounts an overlay that nobody else sees, and looks at what it writes into its upper folder.
    fn mounted(&self) -> DriverResult<bool> {
        let mut options: Vec<String> =
            ["redirect_dir=nofollow", "metacopy=off", "index=off"].map(str::to_owned).into();
        if self.namespace == Namespace::User {
            options.push("userxattr".to_owned());
        }
        let overlay = Overlay {
            lower: vec![self.path.join("lower2"), self.path.join("lower")],
            upper: Some((self.path.join("upper"), self.path.join("work"))),
            options,
            restrictions: Restrictions::default(),
        };
        let mounted = mount::overlay(&overlay)
            .map_err(|error| self.unusable(&format!("the kernel mounts no overlay on it: {error}")))?;
        let changed = (|| {
            rustix::fs::unlinkat(&mounted, "folder/file", AtFlags::empty())?;
            rustix::fs::unlinkat(&mounted, "folder", AtFlags::REMOVEDIR)?;
            rustix::fs::mkdirat(&mounted, "folder", Mode::RWXU)
        })();
        changed.map_err(|error| self.failed("change an overlay", error))?;
        let renamed = rustix::fs::renameat(&mounted, "moved", &mounted, "moved-away").is_ok();
        let upper =
            Node::new(&self.folder, b"upper").open_folder().map_err(|error| self.failed("open", error))?;
        let inner = Node::new(&upper, b"folder").open_folder().map_err(|error| self.failed("open", error))?;
        let opaque = Markers::Overlay(self.namespace)
            .is_opaque(&inner)
            .map_err(|error| self.failed("read attribute", error))?;
        Ok(opaque && !renamed)
    }

    fn failed(&self, operation: &'static str, error: rustix::io::Errno) -> DriverError {
        DriverError::system(operation, error).at(&self.path)
    }

    fn unusable(&self, reason: &str) -> DriverError {
        let text = format!(
            "overlayfs cannot use the file system here ({}): {reason}. Put the root on ext4, xfs or btrfs with --root, \
             or use --driver vfs",
            self.backing
        );
        let path = self.path.parent().unwrap_or(&self.path);
        DriverError::new(ErrorKind::Unsupported, "open overlay2", text).at(path)
    }
}
