//! Whose turn it is: processes that wait for the same, in the order in which they came.
//!
//! A flock does not keep an order: whoever asks while it is free is quicker than those that the kernel has yet to wake. Here everybody takes a number,
//! locks the byte of that number, and waits until nobody holds one of the bytes before. The kernel gives the bytes back with the process,
//! however it ends, so nobody waits for the dead.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use plywood_sys::range_lock::{Part, lock, try_lock, unlock};
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use crate::GraphError;
use crate::folder::Folder;

/// The file's name in the store's root. Its first eight bytes are the next number (in the machine's order: no lock outlives the machine, nor
/// does it matter then what the number is); its bytes as far as anyone counts are what is locked.
const NAME: &str = "turn";

/// Everything that may be locked.
const ALL: Part = Part { start: 0, length: 0 };

/// The queue. It may be used by one thread at a time.
#[derive(Debug)]
pub(crate) struct Turn {
    file: File,
}

/// Being the first, until dropped.
#[derive(Debug)]
pub(crate) struct First<'a> {
    file: &'a File,
    number: u64,
}

impl Turn {
    /// Opens the queue of the store in `root`.
    pub(crate) fn open(root: &Folder) -> Result<Self, GraphError> {
        Ok(Self { file: root.open_or_create(NAME)? })
    }

    /// Waits until all that came before have had their turn.
    ///
    /// # Errors
    /// Those of locking, and of writing the next number where that takes space.
    pub(crate) fn wait(&self) -> io::Result<First<'_>> {
        let first = First { file: &self.file, number: self.take_number()? };
        if first.number > 0 {
            lock(&self.file, Part { start: 0, length: first.number })?;
        }
        Ok(first)
    }

    /// Takes the next number and locks its byte.
    fn take_number(&self) -> io::Result<u64> {
        retry_on_intr(|| flock(&self.file, FlockOperation::LockExclusive))?;
        let number = self.next_number();
        flock(&self.file, FlockOperation::Unlock)?;
        number
    }

    fn next_number(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        // A new file has none.
        let mut number = match self.file.read_at(&mut bytes, 0)? {
            8 => u64::from_ne_bytes(bytes) & (u64::MAX >> 2),
            _ => 0,
        };
        self.file.write_all_at(&(number + 1).to_ne_bytes(), 0)?;
        // Only a number that was written over by somebody is still in use.
        while !try_lock(&self.file, Part { start: number, length: 1 })? {
            number += 1;
        }
        Ok(number)
    }
}

impl First<'_> {
    /// Everybody's place in the order; for tests.
    #[cfg(test)]
    fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if let Err(error) = unlock(self.file, ALL) {
            tracing::error!(%error, number = self.number, "a turn is not passed on");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn turn(root: &tempfile::TempDir) -> Turn {
        Turn::open(&Folder::open(root.path()).unwrap()).unwrap()
    }

    #[test]
    fn everybody_comes_in_the_order_of_the_numbers() {
        let root = tempfile::tempdir().unwrap();
        let served = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    // Another process's: of another open file.
                    let turn = turn(&root);
                    for _ in 0..100 {
                        let first = turn.wait().unwrap();
                        served.try_lock().unwrap().push(first.number());
                    }
                });
            }
        });
        assert_eq!(served.into_inner().unwrap(), (0..800).collect::<Vec<u64>>());
    }

    #[test]
    fn nobody_waits_for_one_that_went_away() {
        let root = tempfile::tempdir().unwrap();
        let (front, middle, last) = (turn(&root), turn(&root), turn(&root));
        let first = front.wait().unwrap();
        // One that waits and is killed: its file is closed while it has a number.
        middle.take_number().unwrap();
        let (done, is_done) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let number = last.wait().unwrap().number();
                done.send(number).unwrap();
            });
            // It goes away behind the first and before the last.
            assert!(is_done.recv_timeout(Duration::from_millis(50)).is_err());
            drop(middle);
            assert!(is_done.recv_timeout(Duration::from_millis(50)).is_err(), "the first still has its turn");
            drop(first);
            assert_eq!(is_done.recv_timeout(Duration::from_mins(1)).unwrap(), 2);
        });
    }

    #[test]
    fn a_number_that_is_in_use_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (turn(&root), turn(&root));
        let first = one.wait().unwrap();
        // Somebody writes over the file.
        one.file.set_len(0).unwrap();
        assert_eq!(other.take_number().unwrap(), 1);
        drop(first);
        one.file.write_all_at(&[0xff; 8], 0).unwrap();
        let last = other.wait().unwrap();
        assert!(last.number() > 1);
    }
}
