//! Writing to the disk while an engine unpacks, so that little is left to wait for when it commits.
//!
//! Left to itself the kernel begins after half a minute (`dirty_expire_centisecs`, Documentation/admin-guide/sysctl/vm.rst), and a commit would wait for
//! all of an image's layer.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plywood_graph::{GraphError, Store};

use crate::ServeError;
use crate::status::chain;

/// How often it is written; seldom enough that blocks of one file are written together.
const EVERY: Duration = Duration::from_secs(1);
/// How long nobody may have begun to unpack for it to go on: an engine that died does not say so.
const LONGEST: Duration = Duration::from_mins(10);

/// The thread that writes while anything is unpacked. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct WriteBack {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    unpacking: Mutex<Unpacking>,
    changed: Condvar,
    /// Written while it is written to the disk.
    writing: RwLock<()>,
}

/// What is unpacked now.
#[derive(Debug, Default)]
struct Unpacking {
    keys: BTreeSet<String>,
    /// Those of them in whose time a write failed: the kernel tells that once, and it was told to this thread.
    failed: BTreeSet<String>,
    /// When the last one began.
    last: Option<Instant>,
    ended: bool,
}

impl WriteBack {
    /// Starts the thread on a store.
    pub(crate) fn start(store: Store) -> Result<Self, ServeError> {
        Self::start_with(move || store.write_back(), EVERY)
    }

    fn start_with(
        write: impl Fn() -> Result<(), GraphError> + Send + 'static,
        every: Duration,
    ) -> Result<Self, ServeError> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("write-back".to_owned())
            .spawn(move || of_thread.run(&write, every))
            .map_err(|source| ServeError::Start { what: "a thread", source })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The snapshot is being unpacked into.
    pub(crate) fn begin(&self, key: &str) {
        let mut unpacking = self.shared.unpacking();
        unpacking.keys.insert(key.to_owned());
        unpacking.last = Some(Instant::now());
        self.shared.changed.notify_all();
    }

    /// The snapshot is committed or removed.
    pub(crate) fn end(&self, key: &str) {
        let mut unpacking = self.shared.unpacking();
        unpacking.keys.remove(key);
        unpacking.failed.remove(key);
    }

    /// Until this is dropped the thread writes nothing, so that it hears of no failure which a commit has to hear of.
    pub(crate) fn pause(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.writing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a write failed while the snapshot was unpacked: it must not be committed then. To be asked in a [`pause`](Self::pause).
    pub(crate) fn has_failed(&self, key: &str) -> bool {
        self.shared.unpacking().failed.contains(key)
    }
}

impl Drop for WriteBack {
    fn drop(&mut self) {
        self.shared.unpacking().ended = true;
        self.shared.changed.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes back ended badly");
        }
    }
}

impl Shared {
    fn unpacking(&self) -> MutexGuard<'_, Unpacking> {
        self.unpacking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, write: &impl Fn() -> Result<(), GraphError>, every: Duration) {
        let mut unpacking = self.unpacking();
        loop {
            let idle = |unpacking: &mut Unpacking| !unpacking.ended && unpacking.is_idle();
            unpacking = self.changed.wait_while(unpacking, idle).unwrap_or_else(PoisonError::into_inner);
            let until_ended = |unpacking: &mut Unpacking| !unpacking.ended;
            let waited = self.changed.wait_timeout_while(unpacking, every, until_ended);
            unpacking = waited.unwrap_or_else(PoisonError::into_inner).0;
            if unpacking.ended {
                return;
            }
            drop(unpacking);
            self.write_once(write);
            unpacking = self.unpacking();
        }
    }
}

impl Shared {
    fn write_once(&self, write: &impl Fn() -> Result<(), GraphError>) {
        let _writing = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        let during = self.unpacking().keys.clone();
        if let Err(error) = write() {
            tracing::error!(error = chain(&error), "what is being unpacked cannot be written to the disk");
            let mut unpacking = self.unpacking();
            // One that ended meanwhile was removed: commits wait.
            let Unpacking { keys, failed, .. } = &mut *unpacking;
            failed.extend(during.into_iter().filter(|key| keys.contains(key)));
        }
    }
}

impl Unpacking {
    fn is_idle(&self) -> bool {
        self.keys.is_empty() || self.last.is_none_or(|last| last.elapsed() > LONGEST)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn wait_until(is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < Duration::from_secs(20), "waited in vain");
            std::thread::sleep(SOON);
        }
    }

    #[test]
    fn it_writes_only_while_something_is_unpacked() {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let write = move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let write_back = WriteBack::start_with(write, SOON).unwrap();
        std::thread::sleep(20 * SOON);
        assert_eq!(written.load(Ordering::SeqCst), 0);
        write_back.begin("a");
        wait_until(|| written.load(Ordering::SeqCst) > 2);
        assert!(!write_back.has_failed("a"));
        write_back.end("a");
        drop(write_back);
        let at_the_end = written.load(Ordering::SeqCst);
        std::thread::sleep(20 * SOON);
        assert_eq!(written.load(Ordering::SeqCst), at_the_end);
    }

    #[test]
    fn a_write_that_failed_is_told_to_all_that_were_unpacked_and_to_nobody_later() {
        let fails = Arc::new(AtomicBool::new(false));
        let failing = Arc::clone(&fails);
        let write = move || {
            let disk = || GraphError::NotFound { what: "disk", query: String::new() };
            if failing.load(Ordering::SeqCst) { Err(disk()) } else { Ok(()) }
        };
        let write_back = WriteBack::start_with(write, SOON).unwrap();
        {
            let _paused = write_back.pause();
            write_back.begin("a");
            write_back.begin("b");
            fails.store(true, Ordering::SeqCst);
        }
        wait_until(|| write_back.has_failed("a"));
        assert!(write_back.has_failed("b"), "b was unpacked, too");
        {
            let _paused = write_back.pause();
            fails.store(false, Ordering::SeqCst);
            write_back.end("b");
        }
        write_back.begin("b");
        write_back.begin("c");
        std::thread::sleep(20 * SOON);
        assert!(!write_back.has_failed("b") && !write_back.has_failed("c"));
        assert!(write_back.has_failed("a"));
    }

    #[test]
    fn nothing_is_written_in_a_pause() {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let write = move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let write_back = WriteBack::start_with(write, SOON).unwrap();
        write_back.begin("a");
        wait_until(|| written.load(Ordering::SeqCst) > 2);
        {
            let _paused = write_back.pause();
            let before = written.load(Ordering::SeqCst);
            std::thread::sleep(20 * SOON);
            assert_eq!(written.load(Ordering::SeqCst), before);
        }
        let before = written.load(Ordering::SeqCst);
        wait_until(|| written.load(Ordering::SeqCst) > before);
    }
}
