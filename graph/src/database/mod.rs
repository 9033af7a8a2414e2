//! The database: one connection behind a mutex, a flock before every write, and short transactions only.

pub(crate) mod containers;
pub(crate) mod images;
pub(crate) mod layers;
pub(crate) mod leases;
pub(crate) mod mounts;
pub(crate) mod references;
mod row;
mod schema;
pub(crate) mod snapshots;

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::folder::Folder;
use crate::{Durability, GraphError};

/// The database's name in the store's root.
const FILE: &str = "plywood.db";
/// The name of the database's write-ahead log (`sqlite.org/wal.html`, section 4).
const LOG: &str = "plywood.db-wal";
/// The writers' lock's name in the store's root.
const LOCK: &str = "lock";
/// Only a reader that meets the end of another's write-ahead log waits this long; writers queue at the flock, which
/// wakes them in turn where `SQLite` would sleep and try again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The open database.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Mutex<Connection>,
    durability: Durability,
    lock: File,
    lock_path: std::path::PathBuf,
    log_path: std::path::PathBuf,
}

impl Database {
    /// Opens the database in `root`, makes or migrates it, and compares the driver's name with the one on record.
    pub(crate) fn open(root: &Folder, driver: &str, durability: Durability) -> Result<Self, GraphError> {
        let lock = root.open_or_create(LOCK)?;
        let lock_path = root.path().join(LOCK);
        let held = WritersLock::take(&lock, &lock_path)?;
        let mut connection = connect(&root.path().join(FILE), durability)?;
        schema::migrate(&mut connection, driver)?;
        drop(held);
        let log_path = root.path().join(LOG);
        Ok(Self { connection: Mutex::new(connection), durability, lock, lock_path, log_path })
    }

    /// Runs `body` on one consistent view of the records.
    pub(crate) fn read<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(GraphError::database("begin reading"))?;
        body(&transaction)
    }

    /// Runs `body` as the only writer of all processes, and commits what it did; an error undoes it all.
    /// Nothing that takes long may be done in it.
    pub(crate) fn write<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        self.write_on(&mut self.connection(), body)
    }

    /// As [`write`](Self::write), without waiting for the disk: a power cut may take back what was done, and all that was done before is
    /// kept. For what recovery does again.
    pub(crate) fn write_without_sync<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        let mut connection = self.connection();
        if self.durability == Durability::None {
            return self.write_on(&mut connection, body);
        }
        let set = |connection: &Connection, synchronous: &str| {
            let failed = GraphError::database("choose how to write");
            connection.pragma_update(None, "synchronous", synchronous).map_err(failed)
        };
        set(&connection, "NORMAL")?;
        let answer = self.write_on(&mut connection, body);
        set(&connection, "FULL")?;
        answer
    }

    /// Waits until everything committed so far is on the disk, [`write_without_sync`](Self::write_without_sync)'s too.
    pub(crate) fn sync(&self) -> Result<(), GraphError> {
        if self.durability == Durability::None {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(&self.log_path, flags, Mode::empty()) {
            Ok(log) => rustix::fs::fdatasync(log).map_err(GraphError::io("sync", &self.log_path)),
            // What was in it is in the database then, which `SQLite` synced before it gave the log up.
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(GraphError::io("open", &self.log_path)(error)),
        }
    }

    fn write_on<T>(
        &self,
        connection: &mut Connection,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        let _held = WritersLock::take(&self.lock, &self.lock_path)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(GraphError::database("begin writing"))?;
        let answer = body(&transaction)?;
        transaction.commit().map_err(GraphError::database("commit"))?;
        Ok(answer)
    }

    /// A thread that panicked in a transaction left none behind: dropping it rolled it back.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writers' flock, held until dropped.
struct WritersLock<'a>(&'a File);

impl<'a> WritersLock<'a> {
    fn take(lock: &'a File, path: &Path) -> Result<Self, GraphError> {
        loop {
            match flock(lock, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self(lock)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(GraphError::io("lock", path)(error)),
            }
        }
    }
}

impl Drop for WritersLock<'_> {
    fn drop(&mut self) {
        if let Err(error) = flock(self.0, FlockOperation::Unlock) {
            tracing::error!(%error, "the writers' lock cannot be given back");
        }
    }
}

fn connect(path: &Path, durability: Durability) -> Result<Connection, GraphError> {
    let failed = GraphError::database("open");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = open_at_real_path(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(&failed)?;
    let synchronous = if durability == Durability::Full { "FULL" } else { "OFF" };
    connection.pragma_update(None, "synchronous", synchronous).map_err(&failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(&failed)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// `SQLITE_OPEN_NOFOLLOW` refuses links anywhere in the path, but only one in the last place is a danger: the folder was
/// chosen by the user.
fn open_at_real_path(path: &Path, flags: OpenFlags) -> Result<Connection, GraphError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(GraphError::io("resolve", folder))?;
    Connection::open_with_flags(folder.join(FILE), flags).map_err(GraphError::database("open"))
}

/// The driver that a store was made with; `None` where there is no store yet. Makes nothing.
pub(crate) fn recorded_driver(root: &Path) -> Result<Option<String>, GraphError> {
    let path = root.join(FILE);
    match rustix::fs::stat(&path) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(GraphError::io("look at", path)(error)),
        Ok(_) => {}
    }
    let failed = GraphError::database("read the driver's name");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = open_at_real_path(&path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
    if schema::version(&connection)? == 0 {
        return Ok(None);
    }
    schema::recorded_driver(&connection).optional().map_err(failed)
}

/// Reads the whole database for damage that `SQLite` itself can find; empty where there is none.
pub(crate) fn integrity(transaction: &Transaction<'_>) -> Result<Vec<String>, GraphError> {
    let failed = GraphError::database("check");
    let mut statement = transaction.prepare("PRAGMA integrity_check").map_err(&failed)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(&failed)?;
    let mut found = lines.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
    found.retain(|line| line != "ok");
    Ok(found)
}
