//! Leases: who is at work, and which layers that work needs.
//!
//! The owner of a lease holds a flock on its file. The kernel gives it up with the process, however that ends, so a
//! lease is alive exactly while its file is locked: no process ids, no time-outs.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use plywood_graphdriver::LayerId;
use rusqlite::Transaction;
use rustix::fs::{FlockOperation, flock};

use crate::GraphError;
use crate::database::leases;
use crate::folder::Folder;
use crate::random::random_hex;
use crate::store::Inner;

/// A lease of this process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Lease {
    inner: Arc<Inner>,
    id: String,
    purpose: &'static str,
    row_is_gone: bool,
    /// Holds the flock; `None` once it is kept for the next lease.
    file: Option<File>,
}

/// Files of leases that ended, still locked, for the next ones of this process: a service makes a thousand leases a minute, and some file
/// systems are slow to make a file where one was just removed. They go with the store.
#[derive(Debug, Default)]
pub(crate) struct SpareLeases(Mutex<Vec<(String, File)>>);

impl SpareLeases {
    /// Removals that a service gathers hold one each.
    const MOST: usize = 64;

    fn take(&self) -> Option<(String, File)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Gives the file back where there are enough.
    fn keep(&self, id: &str, file: File) -> Option<File> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() >= Self::MOST {
            return Some(file);
        }
        spare.push((id.to_owned(), file));
        None
    }

    /// Removes their files. Recovery takes those that cannot be removed.
    pub(crate) fn remove(&mut self, leases: &Folder) {
        for (id, _locked) in self.0.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Err(error) = leases.remove_file(&id) {
                tracing::warn!(lease = id, %error, "lease left behind");
            }
        }
    }
}

impl Lease {
    /// Begins a lease: from here on it is alive. Its row comes with the first transaction that calls
    /// [`record`](Self::record).
    pub(crate) fn begin(inner: &Arc<Inner>, purpose: &'static str) -> Result<Self, GraphError> {
        if let Some((id, file)) = inner.spare_leases.take() {
            return Ok(Self { inner: Arc::clone(inner), id, purpose, row_is_gone: false, file: Some(file) });
        }
        loop {
            let id = random_hex()?;
            let file = inner.leases.create_file(&id)?;
            let path = inner.leases.path().join(&id);
            flock(&file, FlockOperation::LockExclusive).map_err(GraphError::io("lock", &path))?;
            // Between the two calls, recovery in another process may have taken the file for one left behind.
            let links = rustix::fs::fstat(&file).map_err(GraphError::io("look at", &path))?.st_nlink;
            if links > 0 {
                return Ok(Self {
                    inner: Arc::clone(inner),
                    id,
                    purpose,
                    row_is_gone: false,
                    file: Some(file),
                });
            }
        }
    }

    /// The store it is of.
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The lease's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Adds the lease's row; answers its place in the order of all leases.
    pub(crate) fn record(&self, transaction: &Transaction<'_>) -> Result<i64, GraphError> {
        leases::insert(transaction, &self.id, self.purpose, self.inner.now())
    }

    /// Holds a layer, as long as the lease is there.
    pub(crate) fn hold(&self, transaction: &Transaction<'_>, layer: &LayerId) -> Result<(), GraphError> {
        leases::hold(transaction, &self.id, layer)
    }

    /// Gives back all that it holds; what it works on stays its own.
    pub(crate) fn release(&self, transaction: &Transaction<'_>) -> Result<(), GraphError> {
        leases::release(transaction, &self.id)
    }

    /// Ends the lease, after a transaction that dropped its row with [`drop_row`](Self::drop_row).
    pub(crate) fn ended(mut self) {
        self.row_is_gone = true;
    }

    /// As [`ended`](Self::ended), for an operation that nobody waits for: whoever waits for a lease waits for the end of its lock, and that is
    /// kept here. No row may name the lease any more.
    pub(crate) fn ended_unawaited(mut self) {
        self.row_is_gone = true;
        if let Some(file) = self.file.take() {
            self.file = self.inner.spare_leases.keep(&self.id, file);
        }
    }

    /// Drops the lease's row as part of the transaction.
    pub(crate) fn drop_row(&self, transaction: &Transaction<'_>) -> Result<(), GraphError> {
        leases::delete(transaction, &self.id)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.file.is_none() {
            return;
        }
        // No lease outlives the machine: where a power cut takes this back, recovery drops the row.
        let drop_row = || self.inner.database.write_without_sync(|tx| self.drop_row(tx));
        let row = if self.row_is_gone { Ok(()) } else { drop_row() };
        if let Err(error) = row.and_then(|()| self.inner.leases.remove_file(&self.id).map(drop)) {
            // Recovery takes care of it: the flock goes with the descriptor.
            tracing::warn!(lease = self.id, %error, "lease left behind");
        }
    }
}

/// Whether the lease's owner lives. A lease without a file has none.
pub(crate) fn is_alive(leases: &Folder, id: &str) -> Result<bool, GraphError> {
    // Lease ids come from the database, which may be damaged: none may reach out of the folder.
    if id.parse::<LayerId>().is_err() {
        return Ok(false);
    }
    let Some(file) = leases.open_existing(id)? else { return Ok(false) };
    // A shared lock, so that those who ask do not take each other for the owner.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(GraphError::io("lock", leases.path().join(id))(error)),
    }
}

/// Removes the file `name` unless somebody holds a flock on it; answers whether it was removed. With `dry_run`
/// answers whether it would be.
pub(crate) fn remove_if_unlocked(folder: &Folder, name: &str, dry_run: bool) -> Result<bool, GraphError> {
    let Some(file) = folder.open_existing(name)? else { return Ok(false) };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if dry_run => Ok(true),
        // The lock is held until the name is gone: see `Lease::begin`.
        Ok(()) => folder.remove_file(name),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(GraphError::io("lock", folder.path().join(name))(error)),
    }
}
