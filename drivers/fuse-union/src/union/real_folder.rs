//! Folders of the layers: opened when needed, by single names below their parents.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::cache::{Closable, DescriptorCache};
use crate::request::Answer;

/// The number of a layer, the topmost first. The upper layer is 0 where there is one.
pub(super) type LayerNumber = u16;

/// A folder of one layer.
pub(super) struct RealFolder {
    /// The layer.
    pub(super) layer: LayerNumber,
    location: RwLock<Option<Location>>,
    opened: Mutex<Option<Arc<OwnedFd>>>,
    used: AtomicBool,
    /// The descriptor is the only way to it: the folder has no name any more, or is a layer's root.
    pinned: AtomicBool,
}

/// Where a folder is found again.
#[derive(Clone)]
struct Location {
    parent: Arc<RealFolder>,
    name: Arc<[u8]>,
}

impl RealFolder {
    /// A layer's root.
    pub(super) fn root(layer: LayerNumber, opened: OwnedFd) -> Arc<Self> {
        Arc::new(Self {
            layer,
            location: RwLock::new(None),
            opened: Mutex::new(Some(Arc::new(opened))),
            used: AtomicBool::new(true),
            pinned: AtomicBool::new(true),
        })
    }

    /// A folder in this one. Nothing is opened yet.
    pub(super) fn child(self: &Arc<Self>, name: &[u8]) -> Arc<Self> {
        let location = Location { parent: Arc::clone(self), name: name.into() };
        Arc::new(Self {
            layer: self.layer,
            location: RwLock::new(Some(location)),
            opened: Mutex::new(None),
            used: AtomicBool::new(false),
            pinned: AtomicBool::new(false),
        })
    }

    /// Opens it. The descriptor can list where the caller may read the folder, and is `O_PATH` where not.
    pub(super) fn open(self: &Arc<Self>, cache: &DescriptorCache) -> Answer<Arc<OwnedFd>> {
        if let Some(opened) = &*self.opened.lock() {
            self.used.store(true, Ordering::Relaxed);
            return Ok(Arc::clone(opened));
        }
        // Without the lock: the parent may have to be opened, and both noted.
        let location = self.location.read().clone().ok_or(Errno::STALE)?;
        let parent = location.parent.open(cache)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |extra| rustix::fs::openat(&*parent, &*location.name, flags | extra, Mode::empty());
        let opened = match open(OFlags::RDONLY) {
            Err(Errno::ACCESS) => open(OFlags::PATH),
            other => other,
        };
        let opened = Arc::new(opened?);
        let mut slot = self.opened.lock();
        if let Some(other) = &*slot {
            return Ok(Arc::clone(other));
        }
        *slot = Some(Arc::clone(&opened));
        drop(slot);
        let weak: Weak<Self> = Arc::downgrade(self);
        cache.note(weak);
        Ok(opened)
    }

    /// Its stat, by the descriptor where there is one, else by the name.
    pub(super) fn stat(self: &Arc<Self>, cache: &DescriptorCache) -> Answer<Stat> {
        if let Some(opened) = &*self.opened.lock() {
            return rustix::fs::fstat(&**opened);
        }
        let location = self.location.read().clone().ok_or(Errno::STALE)?;
        let parent = location.parent.open(cache)?;
        rustix::fs::statat(&*parent, &*location.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Says that it has another name now.
    pub(super) fn moved(&self, parent: &Arc<Self>, name: &[u8]) {
        *self.location.write() = Some(Location { parent: Arc::clone(parent), name: name.into() });
    }

    /// Keeps it open for good, because its name is about to go.
    pub(super) fn pin(self: &Arc<Self>, cache: &DescriptorCache) -> Answer<()> {
        self.pinned.store(true, Ordering::Relaxed);
        self.open(cache).map(drop)
    }

    /// The path from the layer's root, with a slash at its front; `/` for the root itself.
    pub(super) fn path(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = self.location.read().clone();
        while let Some(location) = at {
            names.push(location.name);
            let above = location.parent.location.read().clone();
            at = above;
        }
        if names.is_empty() {
            return b"/".to_vec();
        }
        names.iter().rev().fold(Vec::new(), |mut path, name| {
            path.push(b'/');
            path.extend_from_slice(name);
            path
        })
    }

    /// Opens it for listing, with an offset of its own.
    pub(super) fn open_to_list(self: &Arc<Self>, cache: &DescriptorCache) -> Answer<OwnedFd> {
        let opened = self.open(cache)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let node = plywood_tree::resolve::Node::itself(opened.as_fd());
        match rustix::fs::openat(&*opened, ".", flags, Mode::empty()) {
            Err(Errno::ACCESS) => {
                // A folder of ours that forbids us to read it is permitted for the moment of opening.
                let stat = rustix::fs::fstat(&*opened)?;
                plywood_tree::metadata::set_mode(node, stat.st_mode & 0o7777 | 0o700)?;
                let listing = rustix::fs::openat(&*opened, ".", flags, Mode::empty());
                plywood_tree::metadata::set_mode(node, stat.st_mode & 0o7777)?;
                listing
            }
            other => other,
        }
    }
}

impl Closable for RealFolder {
    fn close_if_idle(&self) -> bool {
        if self.pinned.load(Ordering::Relaxed) || self.used.swap(false, Ordering::Relaxed) {
            return false;
        }
        // Whoever holds the lock is using it.
        let Some(mut slot) = self.opened.try_lock() else { return false };
        *slot = None;
        true
    }
}

impl Drop for RealFolder {
    fn drop(&mut self) {
        // A chain of folders that only their children held must not take a piece of stack for each.
        let mut above = self.location.get_mut().take().map(|location| location.parent);
        while let Some(mut parent) = above.and_then(Arc::into_inner) {
            above = parent.location.get_mut().take().map(|location| location.parent);
        }
    }
}
