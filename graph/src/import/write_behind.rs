//! Bringing to the disk what is unpacked while more is being unpacked, so that little is left to wait for at the commit.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::GraphError;
use crate::folder::Folder;

/// Short imports end before it, and pay for nothing; each further one commits the file system's journal once more.
const PAUSE: Duration = Duration::from_millis(300);

/// Tells the thread that writes back when it is over.
#[derive(Debug, Default)]
pub(super) struct WriteBehind {
    over: Mutex<bool>,
    changed: Condvar,
}

impl WriteBehind {
    /// Syncs the file system of `folder` again and again until [`WhileUnpacking`] is dropped.
    ///
    /// # Errors
    /// Those of `syncfs(2)`: what was unpacked must not be committed then. The commit's own sync answers them as well, as it goes
    /// through a descriptor that was opened before (Linux 5.8 tells each of them); but nothing may hang on that alone.
    pub(super) fn run(&self, folder: &Folder) -> Result<(), GraphError> {
        while !self.wait() {
            folder.sync_filesystem()?;
        }
        Ok(())
    }

    /// Says when all is unpacked, a panic included.
    pub(super) fn while_unpacking(&self) -> WhileUnpacking<'_> {
        WhileUnpacking(self)
    }

    /// Waits for the next turn; answers whether it is over.
    fn wait(&self) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), PAUSE, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as this lives, more is being unpacked.
pub(super) struct WhileUnpacking<'a>(&'a WriteBehind);

impl Drop for WhileUnpacking<'_> {
    fn drop(&mut self) {
        *self.0.lock() = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn it_ends_with_the_unpacking_be_that_a_panic() {
        let top = tempfile::tempdir().unwrap();
        let folder = Folder::open(top.path()).unwrap();
        for panics in [false, true] {
            let write_behind = WriteBehind::default();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                std::thread::scope(|scope| {
                    let unpacking = write_behind.while_unpacking();
                    let writing = scope.spawn(|| write_behind.run(&folder));
                    // Long enough for it to sync once.
                    std::thread::sleep(PAUSE + PAUSE / 2);
                    assert!(!writing.is_finished());
                    if panics {
                        std::panic::resume_unwind(Box::new("unpacking panicked"));
                    }
                    drop(unpacking);
                    writing.join().unwrap().unwrap();
                });
            }));
            assert_eq!(ended.is_err(), panics);
        }
    }
}
