//! The writers' lock: one writer of all processes at a time, in the order in which they came, and how long they waited.
//!
//! A flock keeps writers apart, and a turn keeps their order: a writer waits for its turn, waits as the first for the flock, and then passes the
//! turn on. Both go with their process, however it ends. They come before `SQLite`'s own locks, which are waited for by sleeping and trying
//! again.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use crate::GraphError;
use crate::folder::Folder;
use crate::turn::Turn;

/// The lock's name in the store's root.
const LOCK: &str = "lock";
/// Waits up to this many milliseconds are counted apart; nobody should ever wait longer.
const COUNTED_MILLISECONDS: usize = 4096;
/// Whoever waits longer than this is told of in the log.
const LONG: Duration = Duration::from_secs(1);

/// How long writers of this process waited for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// Waits by whole milliseconds, rounded down; the last place has all longer ones too.
    pub by_millisecond: Vec<u64>,
    /// The longest one.
    pub longest: Duration,
}

impl Waits {
    /// The time that `percent` of all waits did not pass, rounded up to a millisecond.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Duration {
        let count: u64 = self.by_millisecond.iter().sum();
        let wanted = count.saturating_mul(percent.min(100)).div_ceil(100);
        let mut within = 0;
        for (milliseconds, waits) in (1_u64..).zip(&self.by_millisecond) {
            within += waits;
            if within >= wanted && within > 0 {
                return Duration::from_millis(milliseconds);
            }
        }
        Duration::ZERO
    }
}

/// The lock.
#[derive(Debug)]
pub(crate) struct WritersLock {
    turn: Turn,
    lock: File,
    path: PathBuf,
    /// Descriptors are shared by all threads, so the flocks only tell processes apart.
    process: Mutex<()>,
    by_millisecond: Box<[AtomicU64]>,
    longest_microseconds: AtomicU64,
}

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    lock: &'a File,
    _process: MutexGuard<'a, ()>,
}

impl WritersLock {
    /// Opens the lock of the store in `root`.
    pub(crate) fn open(root: &Folder) -> Result<Self, GraphError> {
        Ok(Self {
            turn: Turn::open(root)?,
            lock: root.open_or_create(LOCK)?,
            path: root.path().join(LOCK),
            process: Mutex::new(()),
            by_millisecond: (0..COUNTED_MILLISECONDS).map(|_| AtomicU64::new(0)).collect(),
            longest_microseconds: AtomicU64::new(0),
        })
    }

    /// Waits until it is this writer's turn.
    pub(crate) fn take(&self) -> Result<Held<'_>, GraphError> {
        let began = Instant::now();
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a turn it is the order that suffers.
        let turn = self.turn.wait().inspect_err(|error| tracing::debug!(%error, "writers come as they can"));
        retry_on_intr(|| flock(&self.lock, FlockOperation::LockExclusive))
            .map_err(GraphError::io("lock", &self.path))?;
        drop(turn);
        self.note(began.elapsed());
        Ok(Held { lock: &self.lock, _process: process })
    }

    /// How long the writers of this process waited so far.
    pub(crate) fn waits(&self) -> Waits {
        Waits {
            by_millisecond: self.by_millisecond.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            longest: Duration::from_micros(self.longest_microseconds.load(Ordering::Relaxed)),
        }
    }

    fn note(&self, waited: Duration) {
        let place = usize::try_from(waited.as_millis()).unwrap_or(usize::MAX).min(COUNTED_MILLISECONDS - 1);
        self.by_millisecond[place].fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.longest_microseconds.fetch_max(microseconds, Ordering::Relaxed);
        if waited > LONG {
            tracing::warn!(?waited, "waited long for other writers of the store");
        }
    }
}

impl Held<'_> {
    /// Gives the lock up only when its file is closed.
    pub(crate) fn keep_until_closed(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        unlock(self.lock);
    }
}

fn unlock(file: &File) {
    if let Err(error) = flock(file, FlockOperation::Unlock) {
        tracing::error!(%error, "the writers' lock cannot be given back");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lock(root: &tempfile::TempDir) -> WritersLock {
        WritersLock::open(&Folder::open(root.path()).unwrap()).unwrap()
    }

    #[test]
    fn percentiles_come_from_the_counts() {
        let root = tempfile::tempdir().unwrap();
        let lock = lock(&root);
        assert_eq!(lock.waits().percentile(99), Duration::ZERO);
        for milliseconds in 0..200 {
            lock.note(Duration::from_millis(milliseconds));
        }
        lock.note(Duration::from_mins(1));
        let waits = lock.waits();
        assert_eq!(waits.percentile(50), Duration::from_millis(101));
        assert_eq!(waits.percentile(99), Duration::from_millis(199));
        assert_eq!(
            (waits.percentile(100), waits.longest),
            (Duration::from_millis(4096), Duration::from_mins(1))
        );
    }
}
