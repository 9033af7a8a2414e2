//! A store opened, with a driver.

use std::ops::Deref;
use std::path::PathBuf;

use plywood_archive::compression::ExpansionLimit;
use plywood_graph::{Durability, Store, StoreOptions};
use plywood_graphdriver::{Limits, Ownership};
use plywood_sys::identity::Privilege;

use crate::{DriverChoice, OpenError, default_root, drivers, root};

/// How to open a store; the default is the caller's own store with the best driver.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// The store's folder; [`default_root`] where none is named.
    pub root: Option<PathBuf>,
    /// The driver.
    pub driver: DriverChoice,
    /// Whose the unpacked files are; by default those whom the layers name, where the caller may give files away.
    pub ownership: Option<Ownership>,
    /// Bounds on a layer's tar.
    pub limits: Limits,
    /// How far a packed layer may expand.
    pub expansion: ExpansionLimit,
    /// Layers of one image that are unpacked at once; by default two.
    pub workers: Option<usize>,
    /// What a commit waits for.
    pub durability: Durability,
    /// The store has to be there: none is made.
    pub must_exist: bool,
}

/// An open store. Dereferences to the [`Store`]; a clone is the same store.
#[derive(Debug, Clone)]
pub struct Plywood {
    store: Store,
    privilege: Privilege,
    ownership: Ownership,
    workers: usize,
}

impl Plywood {
    /// Opens a store, and makes it where there is none. Its folder gets the mode 0700; the driver keeps its layers in
    /// a folder of its name in it.
    ///
    /// # Errors
    /// `Driver` with the reason where the driver chosen does not work here, `OtherDriver` where the store was made with
    /// another one; `Store` for records that cannot be read.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        let privilege = Privilege::probe().map_err(|source| OpenError::Io {
            operation: "read",
            path: PathBuf::from("/proc/self/uid_map"),
            source,
        })?;
        let folder = options.root.map_or_else(|| default_root(privilege), Ok)?;
        let failed = |source| OpenError::Store { root: folder.clone(), source };
        let recorded = Store::recorded_driver(&folder).map_err(failed)?;
        if options.must_exist && recorded.is_none() {
            return Err(OpenError::NoStore { root: folder });
        }
        let folder = root::make(&folder)?;
        let driver = drivers::open(&folder, options.driver, recorded.as_deref(), privilege)?;
        let natural = if privilege.may_change_owners() { Ownership::FromLayer } else { Ownership::Caller };
        let ownership = options.ownership.unwrap_or(natural);
        let defaults = StoreOptions::new(ownership);
        let workers = options.workers.unwrap_or(defaults.workers).max(1);
        let store_options = StoreOptions {
            durability: options.durability,
            limits: options.limits,
            expansion: options.expansion,
            workers,
            ..defaults
        };
        let store = Store::open(&folder, driver, store_options)
            .map_err(|source| OpenError::Store { root: folder.clone(), source })?;
        Ok(Self { store, privilege, ownership, workers })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How much of the machine the caller may act on.
    #[must_use]
    pub fn privilege(&self) -> Privilege {
        self.privilege
    }

    /// Whose the files are that this store unpacks.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// Layers of one image that are unpacked at once.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }
}

impl Deref for Plywood {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}
