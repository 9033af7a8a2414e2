//! The store itself: opened, and what every operation on it uses.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use plywood_graphdriver::{GraphDriver, LayerId};

use crate::database::{self, Database};
use crate::folder::Folder;
use crate::lease::SpareLeases;
use crate::random::random_hex;
use crate::recovery::Unknown;
use crate::reserve::Reserve;
use crate::{Durability, GraphError, StoreOptions, Waits, lease};

/// A store of layers, images and containers. Every method takes `&self`, from any thread; a clone is the same store, and
/// any number of processes may have one open at once.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// What the clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: Folder,
    pub(crate) recipes: Folder,
    pub(crate) leases: Folder,
    pub(crate) spare_leases: SpareLeases,
    pub(crate) mount_points: Folder,
    pub(crate) temporary: Folder,
    pub(crate) database: Database,
    /// After the database, which is closed first.
    pub(crate) reserve: Reserve,
    pub(crate) driver: Box<dyn GraphDriver>,
    pub(crate) options: StoreOptions,
}

impl Store {
    /// The name of the driver that the store at `root` was made with; `None` where there is no store yet. Makes and
    /// changes nothing.
    ///
    /// # Errors
    /// Those of reading the records.
    pub fn recorded_driver(root: &Path) -> Result<Option<String>, GraphError> {
        database::recorded_driver(root)
    }

    /// Opens the store at `root`, and makes it where there is none: only the caller can look into it (mode 0700).
    /// Whatever was left half done, by this machine's last boot or by a process that ended, is undone or finished.
    ///
    /// The driver keeps its layers in a folder of its own; it has to be in the same file system as `root`, which is
    /// what a commit brings to the disk.
    ///
    /// # Errors
    /// `Invalid` where the store was made with another driver, `Unsupported` where a newer program wrote it.
    pub fn open(
        root: &Path,
        driver: Box<dyn GraphDriver>,
        options: StoreOptions,
    ) -> Result<Self, GraphError> {
        let root = Folder::create_root(root)?;
        let reserve = Reserve::open(&root);
        let room = reserve.make_room();
        let database = Database::open(&root, driver.name(), options.durability)?;
        drop(room);
        let inner = Inner {
            recipes: root.child("recipes")?,
            leases: root.child("leases")?,
            spare_leases: SpareLeases::default(),
            mount_points: root.child("mnt")?,
            temporary: root.child("tmp")?,
            root,
            reserve,
            database,
            driver,
            options,
        };
        let store = Self { inner: Arc::new(inner) };
        store.recover(Unknown::Keep)?;
        store.inner.reserve.fill();
        Ok(store)
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> &dyn GraphDriver {
        &*self.inner.driver
    }

    /// The store's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.inner.root.path()
    }

    /// How long writers of this process waited for those of others, and for each other.
    #[must_use]
    pub fn waits(&self) -> Waits {
        self.inner.database.waits()
    }

    /// The time, from the clock that the store was opened with.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.inner.now()
    }

    /// Makes a temporary file in the store's folder, readable and writable, without a name: it disappears with its
    /// last descriptor.
    ///
    /// # Errors
    /// Those of making the file.
    pub fn scratch(&self) -> Result<File, GraphError> {
        self.inner.scratch()
    }
}

impl Inner {
    pub(crate) fn now(&self) -> SystemTime {
        (self.options.clock)()
    }

    pub(crate) fn scratch(&self) -> Result<File, GraphError> {
        self.temporary.anonymous_file(&random_hex()?)
    }

    /// Whether the owner of a lease lives.
    pub(crate) fn is_alive(&self, lease: &str) -> Result<bool, GraphError> {
        lease::is_alive(&self.leases, lease)
    }

    /// Whether whoever works on a layer or a mount still does.
    pub(crate) fn is_worked_on(&self, lease: Option<&str>) -> Result<bool, GraphError> {
        lease.map_or(Ok(false), |lease| self.is_alive(lease))
    }

    /// Opens what [`make_durable`](Self::make_durable) syncs through. It has to be opened before the first write of what is
    /// to be made durable: then every write that failed since is answered there.
    pub(crate) fn durability_witness(&self) -> Result<Option<Folder>, GraphError> {
        match self.options.durability {
            Durability::Full => Folder::open(self.root.path()).map(Some),
            Durability::None => Ok(None),
        }
    }

    /// Brings everything written so far to the disk, contents and names (`syncfs(2)`: "all pending modifications to file system
    /// metadata and cached file data"; a further fsync of a folder would wait for nothing). Only after this may it be committed.
    #[allow(clippy::unused_self, reason = "it is the store's files that are meant")]
    pub(crate) fn make_durable(&self, witness: Option<&Folder>) -> Result<(), GraphError> {
        witness.map_or(Ok(()), Folder::sync_filesystem)
    }

    /// Opens the recipe of a layer.
    pub(crate) fn open_recipe(&self, id: &LayerId) -> io::Result<File> {
        match self.recipes.open_existing(id.as_str()) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(io::Error::new(io::ErrorKind::NotFound, format!("layer {id} has no recipe"))),
            Err(GraphError::Io { source, .. }) => Err(source),
            Err(other) => Err(io::Error::other(other)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.spare_leases.remove(&self.leases);
    }
}
