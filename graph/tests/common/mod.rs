//! What the suites share: a driver of plain folders, images made on the spot, a store to try.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    missing_docs
)]

pub mod driver;
pub mod images;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plywood_graph::{Durability, Store, StoreOptions};
use plywood_graphdriver::Ownership;
use tempfile::TempDir;

use driver::{Fake, Hooks};

/// A store in a temporary folder.
pub struct Bench {
    pub folder: TempDir,
    pub hooks: Arc<Hooks>,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), hooks: Arc::new(Hooks::default()) }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Opens the store: a further time, it is another one on the same folder.
    pub fn open(&self) -> Store {
        open(self.folder.path(), &self.hooks)
    }

    /// A second connection, as another process has it.
    pub fn records(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.root().join("plywood.db")).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        connection
    }

    /// The layers that the driver has.
    pub fn folders(&self) -> Vec<String> {
        names(&self.folder.path().join("layers"))
    }

    pub fn recipes(&self) -> Vec<String> {
        names(&self.root().join("recipes"))
    }

    pub fn count(&self, table: &str) -> i64 {
        self.records().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    /// Nothing is there but an empty store.
    pub fn assert_empty(&self) {
        for table in ["layers", "images", "names", "leases", "lease_layers", "containers", "pins", "mounts"] {
            assert_eq!(self.count(table), 0, "{table}");
        }
        assert_eq!(self.folders(), Vec::<String>::new());
        self.assert_no_leftovers();
        assert_eq!(self.recipes(), Vec::<String>::new());
    }

    /// No lease, temporary file or mount point is left.
    pub fn assert_no_leftovers(&self) {
        for folder in ["leases", "tmp", "mnt"] {
            assert_eq!(names(&self.root().join(folder)), Vec::<String>::new(), "{folder}");
        }
    }
}

pub fn open(folder: &Path, hooks: &Arc<Hooks>) -> Store {
    let driver = Fake::open(&folder.join("layers"), Arc::clone(hooks));
    Store::open(&folder.join("store"), Box::new(driver), options()).unwrap()
}

pub fn options() -> StoreOptions {
    StoreOptions { durability: Durability::None, ..StoreOptions::new(Ownership::Caller) }
}

pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
