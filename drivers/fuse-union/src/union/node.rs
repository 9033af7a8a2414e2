//! Inodes: what the kernel knows by a number.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use rustix::fs::FileType;
use rustix::io::Errno;
use smallvec::SmallVec;

use super::cache::Closable;
use super::folder::Folder;
use super::real_folder::{LayerNumber, RealFolder};
use crate::request::{Answer, NodeId};

/// One inode of the merged tree: one real object, with the names that are known of it.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) kind: FileType,
    /// What the kernel looked up and has not forgotten, and one for each name of another inode in this folder.
    pub(super) references: AtomicU64,
    pub(super) state: RwLock<State>,
    /// Held while it is copied up, and never together with a folder's lock that was taken before.
    pub(super) copying: Mutex<()>,
    pub(super) body: Body,
}

/// What only some types have.
pub(super) enum Body {
    Folder(Box<Mutex<Folder>>),
    File(OnceLock<Box<OpenFile>>),
    Other,
}

/// Where an inode is, and how it is called.
pub(super) struct State {
    pub(super) names: SmallVec<[Name; 1]>,
    /// The number that programs see; the same before and after a copy-up.
    pub(super) ino: u64,
    pub(super) place: Place,
    /// Names in a lower layer that are hidden by now: the real object still counts them.
    pub(super) hidden_links: u32,
    /// The objects by which further names of this inode are known (`by_object` of the table).
    pub(super) objects: SmallVec<[Object; 1]>,
}

/// A real object: its layer and its inode number there.
pub(super) type Object = (LayerNumber, u64);

/// A name in the merged tree.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) parent: Arc<Node>,
    pub(super) name: Arc<[u8]>,
}

/// Where the real object is.
#[derive(Clone)]
pub(super) enum Place {
    /// A name in a folder of a layer.
    In { folder: Arc<RealFolder>, name: Arc<[u8]> },
    /// No name leads to it: it was removed, or never had one.
    Held { file: Arc<OwnedFd>, layer: LayerNumber },
    /// A folder: what the layers have of it, topmost first.
    Merged(Arc<[Arc<RealFolder>]>),
}

impl Place {
    /// The layer that shows it.
    pub(super) fn layer(&self) -> LayerNumber {
        match self {
            Self::In { folder, .. } => folder.layer,
            Self::Held { layer, .. } => *layer,
            Self::Merged(folders) => folders.first().map_or(LayerNumber::MAX, |folder| folder.layer),
        }
    }
}

/// The descriptor that serves a file's reads and writes, and who has it open.
#[derive(Default)]
pub(super) struct OpenFile {
    pub(super) descriptor: Mutex<Descriptor>,
    used: AtomicBool,
    /// The kernel was given the content of this lower file.
    pub(super) handed_over: AtomicBool,
}

/// See [`OpenFile`].
#[derive(Default)]
pub(super) struct Descriptor {
    pub(super) file: Option<Arc<OwnedFd>>,
    pub(super) writable: bool,
    /// Open files that the kernel reads and writes through its page cache.
    pub(super) cached: u32,
    /// Open files that the kernel reads and writes by itself; all with the one backing number.
    pub(super) direct: u32,
    pub(super) backing: Option<u32>,
}

impl Node {
    pub(super) fn new(id: NodeId, kind: FileType, state: State) -> Arc<Self> {
        let body = match kind {
            FileType::Directory => Body::Folder(Box::default()),
            FileType::RegularFile => Body::File(OnceLock::new()),
            _ => Body::Other,
        };
        Arc::new(Self {
            id,
            kind,
            references: AtomicU64::new(1),
            state: RwLock::new(state),
            copying: Mutex::new(()),
            body,
        })
    }

    /// The content of a folder.
    pub(super) fn folder(&self) -> Answer<&Mutex<Folder>> {
        match &self.body {
            Body::Folder(folder) => Ok(folder),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The descriptor of a regular file.
    pub(super) fn file(&self) -> Answer<&OpenFile> {
        match &self.body {
            Body::File(file) => Ok(file.get_or_init(Box::default)),
            Body::Folder(_) => Err(Errno::ISDIR),
            Body::Other => Err(Errno::INVAL),
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// Where it is.
    pub(super) fn place(&self) -> Place {
        self.state.read().place.clone()
    }

    /// What the layers have of a folder, topmost first.
    pub(super) fn real_folders(&self) -> Answer<Arc<[Arc<RealFolder>]>> {
        match &self.state.read().place {
            Place::Merged(folders) => Ok(Arc::clone(folders)),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// A name that it has, unless all are gone.
    pub(super) fn any_name(&self) -> Option<Name> {
        self.state.read().names.first().cloned()
    }

    /// The descriptor that was opened for what it was before is closed.
    pub(super) fn forget_descriptor(&self) {
        if let Body::File(file) = &self.body
            && let Some(file) = file.get()
        {
            let mut descriptor = file.descriptor.lock();
            descriptor.file = None;
            descriptor.writable = false;
        }
    }
}

impl OpenFile {
    /// Says that the descriptor was used.
    pub(super) fn touch(&self) {
        self.used.store(true, Ordering::Relaxed);
    }
}

impl Closable for Node {
    fn close_if_idle(&self) -> bool {
        let Body::File(file) = &self.body else { return true };
        let Some(file) = file.get() else { return true };
        if file.used.swap(false, Ordering::Relaxed) {
            return false;
        }
        let Some(mut descriptor) = file.descriptor.try_lock() else { return false };
        descriptor.file = None;
        descriptor.writable = false;
        true
    }
}

impl Name {
    pub(super) fn new(parent: &Arc<Node>, name: &[u8]) -> Self {
        Self { parent: Arc::clone(parent), name: name.into() }
    }

    pub(super) fn is(&self, parent: &Node, name: &[u8]) -> bool {
        self.parent.id == parent.id && *self.name == *name
    }
}

/// For the cache of descriptors.
pub(super) fn closable(node: &Arc<Node>) -> Weak<dyn Closable> {
    let weak: Weak<Node> = Arc::downgrade(node);
    weak
}
