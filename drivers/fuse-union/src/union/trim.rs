//! Memory: the kernel is asked to forget inodes that nobody uses, when there are many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use super::Union;
use crate::request::NodeId;

/// Inodes in memory before the kernel is asked; one takes some 400 bytes, its name in its folder included.
const MANY: usize = 25_000;

/// Inodes that went away before memory is given back to the system.
const GONE: usize = 4_000;

/// Inodes of one notice.
const AT_ONCE: usize = 512;

/// The thread that asks, and what wakes it.
#[derive(Default)]
pub(super) struct Trimmer {
    wanted: Mutex<Wanted>,
    woken: Condvar,
    /// The kernel does not know how.
    useless: AtomicBool,
    part: AtomicUsize,
    /// The most inodes there were since memory was given back.
    most: AtomicUsize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is to do.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    #[default]
    Wait,
    Trim,
    End,
}

impl Union {
    /// Called whenever an inode was made known.
    pub(super) fn note_growth(&self) {
        let count = self.table.len();
        self.trimmer.most.fetch_max(count, Ordering::Relaxed);
        if count > MANY && !self.trimmer.useless.load(Ordering::Relaxed) {
            self.wake_trimmer();
        }
    }

    /// Called whenever the kernel has forgotten inodes.
    pub(super) fn note_loss(&self) {
        if self.table.len() + GONE < self.trimmer.most.load(Ordering::Relaxed) {
            self.wake_trimmer();
        }
    }

    fn wake_trimmer(&self) {
        let mut wanted = self.trimmer.wanted.lock();
        if *wanted == Wanted::Wait {
            *wanted = Wanted::Trim;
            self.trimmer.woken.notify_one();
        }
    }

    /// Starts the thread, until the mount is gone. Notices must not be sent by whoever answers requests:
    /// the kernel may hold for them what it needs to take a notice.
    pub fn start_trimming(self: &Arc<Self>) {
        let union = Arc::clone(self);
        let spawned = thread::Builder::new().name("forget".to_owned()).spawn(move || {
            while union.wait_for_work() {
                union.trim();
                // Nodes that went leave holes between those that stay, which are no use to the rest of the machine.
                if union.table.len() + GONE < union.trimmer.most.swap(union.table.len(), Ordering::Relaxed) {
                    union.give_memory_back();
                }
            }
        });
        match spawned {
            Ok(thread) => *self.trimmer.thread.lock() = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "memory is given back only when the kernel forgets by itself");
            }
        }
    }

    /// Ends the thread, and waits for it.
    pub(super) fn stop_trimming(&self) {
        *self.trimmer.wanted.lock() = Wanted::End;
        self.trimmer.woken.notify_one();
        let thread = self.trimmer.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that asks the kernel to forget failed");
        }
    }

    /// Answers whether there is something to do, or else it is over.
    fn wait_for_work(&self) -> bool {
        let mut wanted = self.trimmer.wanted.lock();
        while *wanted == Wanted::Wait {
            self.trimmer.woken.wait(&mut wanted);
        }
        if *wanted == Wanted::End {
            return false;
        }
        *wanted = Wanted::Wait;
        true
    }

    fn give_memory_back(&self) {
        self.folders.sweep();
        self.files.sweep();
        plywood_sys::allocator::give_back();
    }

    fn trim(&self) {
        let Some(kernel) = self.kernel().filter(|_| self.table.len() > MANY) else { return };
        for _ in 0..64 {
            if self.table.len() <= MANY / 2 {
                return;
            }
            let part = self.trimmer.part.fetch_add(1, Ordering::Relaxed);
            let nodes: Vec<NodeId> = self.table.sample(part);
            for batch in nodes.chunks(AT_ONCE) {
                if let Err(error) = kernel.prune(batch) {
                    tracing::debug!(%error, "the kernel does not forget when asked");
                    self.trimmer.useless.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    }
}
