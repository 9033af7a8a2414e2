//! The work folder: where files are made before they get their names, and whiteouts come from.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plywood_tree::resolve::Node as RealNode;
use plywood_tree::{Namespace, folder, xattr};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::formats::attribute;
use super::layers::OpenError;
use crate::request::Answer;

/// The folder in the work folder that is ours; the kernel's overlayfs has one of this name too.
const STAGE: &[u8] = b"work";

/// The one whiteout, which gets all the names.
const WHITEOUT: &str = "whiteout";

/// How long a server that is just going away may still hold the work folder. One whose mount somebody uses holds it for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The form of the whiteouts that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A character device 0:0.
    Device,
    /// An empty file with `overlay.whiteout`, in a folder whose `overlay.opaque` is `x` (Linux 6.7).
    Attribute,
}

/// The work folder, held for as long as the union lives.
pub(super) struct Work {
    stage: OwnedFd,
    next: AtomicU64,
    form: Form,
    /// Held while the whiteout is replaced, because it has all the names that one file can have.
    replacing: Mutex<()>,
    pub(super) namespace: Namespace,
    /// The work folder itself carries the lock that says it is in use.
    _locked: OwnedFd,
}

impl Work {
    /// Takes the work folder, clears what a crash left, and finds out which whiteouts its file system takes.
    pub(super) fn open(work: OwnedFd, path: &Path) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::Folder { role: "work", path: path.to_owned(), cause };
        lock(&work, path)?;
        match rustix::fs::mkdirat(&work, STAGE, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let node = RealNode::new(&work, STAGE);
        if let Err(error) = folder::empty(node, STAGE) {
            tracing::warn!(%error, "leftovers in the work folder stay");
        }
        let stage = node.open(OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        let namespace = namespace(stage.as_fd());
        let form = probe(stage.as_fd(), namespace).ok_or(OpenError::NoWhiteouts)?;
        let next = AtomicU64::new(0);
        Ok(Self { stage, next, form, replacing: Mutex::new(()), namespace, _locked: work })
    }

    /// The folder for files on their way.
    pub(super) fn stage(&self) -> BorrowedFd<'_> {
        self.stage.as_fd()
    }

    /// A free name in it.
    pub(super) fn free_name(&self) -> String {
        format!("#{:x}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether whiteouts are devices, as `RENAME_WHITEOUT` makes them.
    pub(super) fn keeps_devices(&self) -> bool {
        self.form == Form::Device
    }

    /// Gives a free name in a folder of the upper layer to a whiteout.
    pub(super) fn add_whiteout(&self, folder: BorrowedFd<'_>, name: &[u8]) -> Answer<()> {
        self.permit_whiteouts(folder)?;
        self.link_whiteout(folder, name)
    }

    /// Puts a whiteout in the place of a file of the upper layer, at once.
    pub(super) fn replace_by_whiteout(&self, folder: BorrowedFd<'_>, name: &[u8]) -> Answer<()> {
        self.permit_whiteouts(folder)?;
        let staged = self.free_name();
        self.link_whiteout(self.stage(), staged.as_bytes())?;
        rustix::fs::renameat(&self.stage, &staged, folder, name).inspect_err(|_| self.discard(&staged))
    }

    /// Puts a whiteout in the place of a folder of the upper layer, and removes the folder, which shows nothing any more.
    pub(super) fn replace_folder_by_whiteout(&self, folder: BorrowedFd<'_>, name: &[u8]) -> Answer<()> {
        self.permit_whiteouts(folder)?;
        let staged = self.free_name();
        self.link_whiteout(self.stage(), staged.as_bytes())?;
        rustix::fs::renameat_with(&self.stage, &staged, folder, name, RenameFlags::EXCHANGE)
            .inspect_err(|_| self.discard(&staged))?;
        self.discard(&staged);
        Ok(())
    }

    /// Removes something from the stage, with all that is in it. What stays is cleared at the next start.
    pub(super) fn discard(&self, staged: &str) {
        let node = RealNode::new(&self.stage, staged.as_bytes());
        if let Err(error) = folder::remove_all(node) {
            tracing::warn!(%error, "a leftover stays in the work folder");
        }
    }

    fn link_whiteout(&self, folder: BorrowedFd<'_>, name: &[u8]) -> Answer<()> {
        let link = || rustix::fs::linkat(&self.stage, WHITEOUT, folder, name, AtFlags::empty());
        match link() {
            // As many names as one file can have, or somebody removed it; or the folder is gone, and it fails again.
            Err(Errno::MLINK | Errno::NOENT) => {
                self.replace_whiteout()?;
                link()
            }
            other => other,
        }
    }

    fn replace_whiteout(&self) -> Answer<()> {
        let _alone = self.replacing.lock();
        let made = self.free_name();
        make_whiteout(self.stage(), &made, self.form, self.namespace)?;
        rustix::fs::renameat(&self.stage, &made, &self.stage, WHITEOUT)
    }

    /// Whiteouts by an attribute count only in folders that say so.
    fn permit_whiteouts(&self, folder: BorrowedFd<'_>) -> Answer<()> {
        if self.form == Form::Device {
            return Ok(());
        }
        let (node, name) = (RealNode::itself(folder), attribute(self.namespace, "opaque"));
        if xattr::read(node, &name)?.is_none() { xattr::set(node, &name, b"x") } else { Ok(()) }
    }
}

fn lock(work: &OwnedFd, path: &Path) -> Result<(), OpenError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match rustix::fs::flock(work, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if begun.elapsed() > PATIENCE => {
                return Err(OpenError::InUse { path: path.to_owned() });
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {
                thread::sleep(pause);
                pause = (2 * pause).min(Duration::from_millis(50));
            }
            // A file system without locks.
            Err(error) => {
                tracing::debug!(%error, "the work folder is not locked");
                return Ok(());
            }
        }
    }
}

/// `trusted.` where we may write it: programs in the mount cannot reach it then.
fn namespace(stage: BorrowedFd<'_>) -> Namespace {
    let (node, name) = (RealNode::itself(stage), attribute(Namespace::Trusted, "plywood-probe"));
    if xattr::set(node, &name, b"y").is_ok() && xattr::remove(node, &name).is_ok() {
        Namespace::Trusted
    } else {
        Namespace::User
    }
}

fn probe(stage: BorrowedFd<'_>, namespace: Namespace) -> Option<Form> {
    [Form::Device, Form::Attribute]
        .into_iter()
        .find(|form| make_whiteout(stage, WHITEOUT, *form, namespace).is_ok())
}

fn make_whiteout(stage: BorrowedFd<'_>, name: &str, form: Form, namespace: Namespace) -> Answer<()> {
    if form == Form::Device {
        // Needs no privilege since Linux 5.8.
        return rustix::fs::mknodat(stage, name, FileType::CharacterDevice, Mode::empty(), 0);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(stage, name, flags, Mode::RUSR | Mode::WUSR)?;
    let node = RealNode { folder: stage, name: name.as_bytes() };
    xattr::set(node, &attribute(namespace, "whiteout"), b"y")
}
