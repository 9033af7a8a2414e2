//! The union file system.
//!
//! An inode of the merged tree is a [`node::Node`] in the [`table::Table`]; a folder's names are in its
//! [`folder::Folder`], filled from all layers when first needed ([`load`]). A folder's lock is taken before the state of what is in
//! it; of two folders, the one with the lower number first. A node's `copying` lock is taken with no folder's lock held.

mod attributes;
mod cache;
mod copy_up;
mod copy_up_folder;
mod create;
mod file_system;
mod files;
mod folder;
mod formats;
mod hand_over;
mod layers;
mod link_groups;
mod links;
mod load;
mod lookup;
mod node;
mod override_stat;
mod own_mounts;
mod read_folder;
mod real;
mod real_folder;
mod redirect;
mod remove;
mod rename;
mod table;
mod trim;
mod work;
mod xattrs;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use plywood_tree::Namespace;
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;
use smallvec::SmallVec;

pub use layers::OpenError;

use crate::options::{IoMode, Options};
use crate::request::{Answer, Caller, Kernel};
use cache::DescriptorCache;
use layers::Layers;
use link_groups::LinkGroups;
use node::{Node, Place, State};
use table::Table;
use work::Work;

/// Layers, shown as one tree.
pub struct Union {
    options: Options,
    layers: Layers,
    work: Option<Work>,
    table: Table,
    root: Arc<Node>,
    /// Descriptors of folders and of files that may be closed.
    folders: DescriptorCache,
    files: DescriptorCache,
    link_groups: LinkGroups,
    kernel: OnceLock<Arc<dyn Kernel>>,
    io_mode: OnceLock<IoMode>,
    /// The owner that new files get by themselves.
    own: Caller,
    trimmer: trim::Trimmer,
    /// How many threads give the kernel the content of a file at the moment.
    handing_over: AtomicUsize,
    /// Files are read and written by the kernel itself, where they are in the upper layer.
    passthrough: AtomicBool,
}

/// Descriptors kept for other things than the caches.
const SPARE_DESCRIPTORS: usize = 128;

impl Union {
    /// Opens the layers.
    ///
    /// # Errors
    /// As [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let (layers, work) = Layers::open(&options)?;
        let work = match (work, &options.work) {
            (Some(opened), Some(path)) => Some(Work::open(opened, path)?),
            _ => None,
        };
        let table = Table::new();
        let root = root(&layers, &table).map_err(|cause| OpenError::Folder {
            role: "topmost",
            path: options.upper.clone().or_else(|| options.lower.first().cloned()).unwrap_or_default(),
            cause,
        })?;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 16);
        let limit = usize::try_from(limit).unwrap_or(1 << 16).min(1 << 16);
        let kept = limit.saturating_sub(3 * layers.roots().len() + SPARE_DESCRIPTORS).max(32);
        Ok(Self {
            options,
            layers,
            work,
            table,
            root,
            folders: DescriptorCache::new(kept / 4 * 3),
            files: DescriptorCache::new(kept / 4),
            link_groups: LinkGroups::default(),
            kernel: OnceLock::new(),
            io_mode: OnceLock::new(),
            own: Caller {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            },
            trimmer: trim::Trimmer::default(),
            handing_over: AtomicUsize::new(0),
            passthrough: AtomicBool::new(false),
        })
    }

    /// How files are read and written, as far as that depends on us.
    fn io_mode(&self) -> IoMode {
        *self.io_mode.get_or_init(|| match self.options.io {
            IoMode::Auto if may_pass_through() => IoMode::Passthrough,
            IoMode::Auto => IoMode::NoOpen,
            chosen => chosen,
        })
    }

    /// Whether an inode is in the upper layer, where it can be written.
    fn is_upper(&self, node: &Node) -> bool {
        self.layers.is_upper(node.state.read().place.layer())
    }

    fn passes_through(&self) -> bool {
        self.passthrough.load(Ordering::Relaxed)
    }

    fn kernel(&self) -> Option<&Arc<dyn Kernel>> {
        self.kernel.get()
    }

    /// The work folder; a union without one cannot be written.
    fn work(&self) -> Answer<&Work> {
        self.work.as_ref().ok_or(Errno::ROFS)
    }

    /// The namespace of the attributes that we write.
    fn namespace(&self) -> Namespace {
        self.work.as_ref().map_or(Namespace::Trusted, |work| work.namespace)
    }

    /// How many inodes are in memory.
    #[must_use]
    pub fn inodes(&self) -> usize {
        self.table.len()
    }
}

/// Registering files for passthrough takes `CAP_SYS_ADMIN` in the initial user namespace, and must be decided before it can
/// be tried.
fn may_pass_through() -> bool {
    let initial = plywood_sys::identity::in_initial_user_namespace().unwrap_or(false);
    let capable = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    initial && capable
}

fn root(layers: &Layers, table: &Table) -> Answer<Arc<Node>> {
    let roots = layers.roots();
    // The cache is not needed: roots are open.
    let none = DescriptorCache::new(0);
    let stat = roots.first().ok_or(Errno::NOENT)?.stat(&none)?;
    let state = State {
        names: SmallVec::new(),
        ino: layers.number(0, stat.st_ino),
        place: Place::Merged(roots.into()),
        hidden_links: 0,
        objects: SmallVec::new(),
    };
    let root = Node::new(table.next_id(), FileType::Directory, state);
    table.insert(&root);
    Ok(root)
}

impl std::fmt::Debug for Union {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Union").field("options", &self.options).finish_non_exhaustive()
    }
}
