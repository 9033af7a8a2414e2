//! A bound on open descriptors.

use std::collections::VecDeque;
use std::sync::Weak;

use parking_lot::Mutex;

/// Something whose descriptor can be closed and opened again.
pub(super) trait Closable: Send + Sync {
    /// Closes it, unless it was used since the last time, or must stay open. Answers whether it is closed, or was already.
    fn close_if_idle(&self) -> bool;
}

/// Keeps the number of open descriptors near a limit, closing those first that were not used for the longest time.
pub(super) struct DescriptorCache {
    limit: usize,
    opened: Mutex<Opened>,
}

struct Opened {
    /// The longest unused first.
    queue: VecDeque<Weak<dyn Closable>>,
    /// How long the queue may get until those are taken out that went away: each keeps the memory of what it was.
    next_sweep: usize,
}

impl Opened {
    fn sweep(&mut self) {
        self.queue.retain(|one| one.strong_count() > 0);
        self.queue.shrink_to(FEW);
        self.next_sweep = 2 * self.queue.len().max(FEW / 2);
    }
}

/// A queue that is shorter is not worth sweeping.
const FEW: usize = 64;

impl DescriptorCache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, opened: Mutex::new(Opened { queue: VecDeque::new(), next_sweep: FEW }) }
    }

    /// Notes that something was opened. The caller must not hold its lock.
    pub(super) fn note(&self, opened: Weak<dyn Closable>) {
        let mut noted = self.opened.lock();
        noted.queue.push_back(opened);
        if noted.queue.len() > noted.next_sweep {
            noted.sweep();
        }
        let queue = &mut noted.queue;
        // Each is looked at twice at most: what is used, or held, gets a second round.
        let mut looks = 2 * queue.len();
        while queue.len() > self.limit && looks > 0 {
            looks -= 1;
            let Some(oldest) = queue.pop_front() else { return };
            if oldest.upgrade().is_some_and(|oldest| !oldest.close_if_idle()) {
                queue.push_back(oldest);
            }
        }
    }

    /// Takes out what went away.
    pub(super) fn sweep(&self) {
        self.opened.lock().sweep();
    }

    /// How many are open, those that went away without notice included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.opened.lock().queue.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct One {
        used: AtomicBool,
        closed: AtomicBool,
    }

    impl Closable for One {
        fn close_if_idle(&self) -> bool {
            if self.used.swap(false, Ordering::Relaxed) {
                return false;
            }
            self.closed.store(true, Ordering::Relaxed);
            true
        }
    }

    #[test]
    fn what_was_used_stays_and_the_rest_goes() {
        let cache = DescriptorCache::new(2);
        let all: Vec<Arc<One>> = (0..4)
            .map(|number| {
                let one = One { used: AtomicBool::new(number == 0), closed: AtomicBool::new(false) };
                Arc::new(one)
            })
            .collect();
        for one in &all {
            let weak: Weak<One> = Arc::downgrade(one);
            cache.note(weak);
        }
        let closed: Vec<bool> = all.iter().map(|one| one.closed.load(Ordering::Relaxed)).collect();
        assert_eq!(closed, [false, true, true, false]);
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn what_went_away_takes_no_memory() {
        let cache = DescriptorCache::new(usize::MAX / 4);
        let one = || Arc::new(One { used: AtomicBool::new(false), closed: AtomicBool::new(false) });
        let stays: Vec<Arc<One>> = (0..100).map(|_| one()).collect();
        for number in 0..10_000 {
            let weak: Weak<One> = stays.get(number).map_or_else(|| Arc::downgrade(&one()), Arc::downgrade);
            cache.note(weak);
        }
        assert!((100..=200).contains(&cache.len()), "{}", cache.len());
    }
}
