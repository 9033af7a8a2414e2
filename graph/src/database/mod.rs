//! The database: one connection behind a mutex, the writers' lock before every write, and short transactions only.

pub(crate) mod containers;
pub(crate) mod images;
pub(crate) mod layers;
pub(crate) mod leases;
pub(crate) mod mounts;
pub(crate) mod references;
mod row;
mod schema;
pub(crate) mod snapshots;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use rustix::fs::{Mode, OFlags};

use crate::folder::Folder;
use crate::reserve::{Reserve, is_full};
use crate::writers_lock::{Waits, WritersLock};
use crate::{Durability, GraphError};

/// The database's name in the store's root.
const FILE: &str = "plywood.db";
/// The name of the database's write-ahead log (`sqlite.org/wal.html`, section 4).
const LOG: &str = "plywood.db-wal";
/// Nobody waits for `SQLite`'s own locks but programs that are not Plywood: writers, openers and closers queue at the
/// writers' lock, and readers of a write-ahead log wait for nobody.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Pages in the write-ahead log after which a commit brings it into the database: a megabyte. Whoever opens the store after a crash reads it.
const CHECKPOINT_PAGES: u32 = 256;

/// Steps of `SQLite`'s machine after which a look is taken at how many there were.
const STEPS_AT_ONCE: i32 = 1_000_000;
/// Looks in one transaction, so 60 million steps; a row that is read and sorted takes some 50. Pages of a damaged database may lead to each
/// other so that a walk along them would take years.
const MOST_LOOKS: u32 = 60;

/// The open database.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Mutex<Connection>,
    /// How often a look was taken in this transaction.
    looks: Arc<AtomicU32>,
    durability: Durability,
    lock: WritersLock,
    log_path: PathBuf,
}

impl Database {
    /// Opens the database in `root`, makes or migrates it, and compares the driver's name with the one on record.
    pub(crate) fn open(root: &Folder, driver: &str, durability: Durability) -> Result<Self, GraphError> {
        let lock = WritersLock::open(root)?;
        let held = lock.take()?;
        let opened = connect(&root.path().join(FILE), durability).and_then(|mut connection| {
            schema::migrate(&mut connection, driver)?;
            Ok(connection)
        });
        let mut connection = opened.map_err(|error| in_plain_words(error, root))?;
        drop(held);
        let looks = limit_steps(&mut connection)?;
        let log_path = root.path().join(LOG);
        Ok(Self { connection: Mutex::new(connection), looks, durability, lock, log_path })
    }

    /// How long the writers of this process waited for their turn.
    pub(crate) fn waits(&self) -> Waits {
        self.lock.waits()
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
        let _held = self.lock.take()?;
        write_on(&mut self.connection(), body)
    }

    /// As [`write`](Self::write), without waiting for the disk: a power cut may take back what was done, and all that was done before is
    /// kept. For what recovery does again.
    pub(crate) fn write_without_sync<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        let _held = self.lock.take()?;
        let mut connection = self.connection();
        if self.durability == Durability::None {
            return write_on(&mut connection, body);
        }
        let set = |connection: &Connection, synchronous: &str| {
            let failed = GraphError::database("choose how to write");
            connection.pragma_update(None, "synchronous", synchronous).map_err(failed)
        };
        set(&connection, "NORMAL")?;
        let answer = write_on(&mut connection, body);
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

    /// For one transaction. A thread that panicked in one left none behind: dropping it rolled it back.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        self.looks.store(0, Ordering::Relaxed);
        connection
    }
}

impl Drop for Database {
    /// The last one to close brings the write-ahead log into the database, and whoever opens it meanwhile waits at the writers' lock.
    fn drop(&mut self) {
        match self.lock.take() {
            // The fields are dropped in their order: first the connection, then the lock with its files.
            Ok(held) => held.keep_until_closed(),
            Err(error) => tracing::warn!(%error, "the database is closed without the writers' lock"),
        }
    }
}

/// Ends every transaction that takes too many steps with `SQLITE_INTERRUPT`; what is answered counts the looks and is to be set to nothing
/// before each.
fn limit_steps(connection: &mut Connection) -> Result<Arc<AtomicU32>, GraphError> {
    let looks = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&looks);
    let is_too_much = move || counted.fetch_add(1, Ordering::Relaxed) >= MOST_LOOKS;
    connection
        .progress_handler(STEPS_AT_ONCE, Some(is_too_much))
        .map_err(GraphError::database("limit the steps of"))?;
    Ok(looks)
}

fn write_on<T>(
    connection: &mut Connection,
    body: impl FnOnce(&Transaction<'_>) -> Result<T, GraphError>,
) -> Result<T, GraphError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(GraphError::database("begin writing"))?;
    let answer = body(&transaction)?;
    transaction.commit().map_err(GraphError::database("commit"))?;
    Ok(answer)
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
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(&failed)?;
    // Nothing of a transaction goes into files elsewhere, whose disk may be full.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(&failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(&failed)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Plans do not depend on values: else a statement whose table has a partial index is compiled anew whenever another value is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(&failed)?;
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
    let root = Folder::open(root)?;
    let reserve = Reserve::existing(root.path());
    let _room = reserve.make_room();
    read_driver(&path).map_err(|error| in_plain_words(error, &root))
}

fn read_driver(path: &Path) -> Result<Option<String>, GraphError> {
    let failed = GraphError::database("read the driver's name");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = open_at_real_path(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
    if schema::version(&connection)? == 0 {
        return Ok(None);
    }
    schema::recorded_driver(&connection).optional().map_err(failed)
}

/// `SQLite` says of a full disk, where its files cannot be made or made larger, only that they cannot.
fn in_plain_words(error: GraphError, root: &Folder) -> GraphError {
    use rusqlite::ErrorCode;
    let of_files = |source: &rusqlite::Error| {
        matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly)
        )
    };
    match &error {
        GraphError::Database { operation, source } if of_files(source) && is_full(root) => {
            let source = rustix::io::Errno::NOSPC.into();
            GraphError::Io { operation, path: root.path().join(FILE), source }
        }
        _ => error,
    }
}

/// Reads the whole database for damage that `SQLite` itself can find; empty where there is none.
pub(crate) fn integrity(transaction: &Transaction<'_>) -> Result<Vec<String>, GraphError> {
    let failed = GraphError::database("check");
    let mut statement = transaction.prepare("PRAGMA integrity_check").map_err(&failed)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(&failed)?;
    let mut found = lines.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
    found.retain(|line| line != "ok");
    let mut statement = transaction.prepare("PRAGMA foreign_key_check").map_err(&failed)?;
    let broken = statement
        .query_map([], |row| {
            Ok(format!(
                "a row of '{}' refers to one of '{}' that is gone",
                row.get::<_, String>(0)?,
                row.get::<_, String>(2)?
            ))
        })
        .map_err(&failed)?;
    found.extend(broken.collect::<Result<Vec<_>, _>>().map_err(&failed)?);
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use plywood_graphdriver::ErrorKind;

    use super::*;

    #[test]
    fn what_does_not_end_is_damage_and_the_next_transaction_has_all_steps_again() {
        let top = tempfile::tempdir().unwrap();
        let database = Database::open(&Folder::open(top.path()).unwrap(), "none", Durability::None).unwrap();
        let count = |most: i64| {
            database.read(|transaction| {
                let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT max(i) FROM n";
                let failed = GraphError::database("count");
                transaction.query_row(text, [most], |row| row.get::<_, i64>(0)).map_err(failed)
            })
        };
        for _ in 0..3 {
            assert_eq!(count(1_000_000).unwrap(), 1_000_000);
            assert_eq!(count(i64::MAX).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
