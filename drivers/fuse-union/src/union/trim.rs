//! Memory: the kernel is asked to forget inodes that nobody uses, when there are many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::Union;
use crate::request::NodeId;

/// Inodes in memory before the kernel is asked; one takes some 400 bytes, its name in its folder included.
const MANY: usize = 40_000;

/// Inodes of one notice.
const AT_ONCE: usize = 512;

/// Wakes the thread that asks.
#[derive(Default)]
pub(super) struct Trimmer {
    wanted: Mutex<bool>,
    woken: Condvar,
    /// The kernel does not know how.
    useless: AtomicBool,
    part: AtomicUsize,
}

impl Union {
    /// Called whenever an inode was made known.
    pub(super) fn note_growth(&self) {
        if self.table.len() > MANY && !self.trimmer.useless.load(Ordering::Relaxed) {
            let mut wanted = self.trimmer.wanted.lock();
            if !*wanted {
                *wanted = true;
                self.trimmer.woken.notify_one();
            }
        }
    }

    /// Starts the thread. It ends with the process: notices must not be sent by whoever answers requests, since the kernel may
    /// hold for them what it needs to take a notice.
    pub fn start_trimming(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let spawned = thread::Builder::new().name("forget".to_owned()).spawn(move || {
            while let Some(union) = weak.upgrade() {
                let mut wanted = union.trimmer.wanted.lock();
                if !*wanted {
                    union.trimmer.woken.wait_for(&mut wanted, std::time::Duration::from_secs(1));
                }
                let trim = std::mem::take(&mut *wanted);
                drop(wanted);
                if trim {
                    union.trim();
                }
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "memory is given back only when the kernel forgets by itself");
        }
    }

    fn trim(&self) {
        let Some(kernel) = self.kernel() else { return };
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
