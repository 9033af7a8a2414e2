//! SIGINT and SIGTERM, caught while something is unpacked: it ends early, and cleans up what it had begun.
//!
//! Commands that are not long do not catch them: they end at once, and whoever opens the store next cleans up, as after any death.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SigSet, Signal};

/// The signal that came, or 0.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// What shells add to a signal's number for a process that it ended.
const ENDED_BY: i32 = 128;

/// What waits for a pipe that nobody writes into does not see that it is to end.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Catches both from here on. A second one ends the program at once, and so does the first where nothing comes of it within five
/// seconds.
pub(crate) fn catch() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Threads that are made later inherit the mask, so that only the one that waits gets them.
    if let Err(error) = signals.thread_block() {
        tracing::debug!(%error, "signals are not caught");
        return;
    }
    let waiting = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            let ended = ENDED_BY + signal as i32;
            if CAUGHT.swap(signal as i32, Ordering::Relaxed) != 0 {
                std::process::exit(ended);
            }
            std::thread::spawn(move || {
                std::thread::sleep(PATIENCE);
                std::process::exit(ended);
            });
        }
    });
    if let Err(error) = waiting {
        tracing::debug!(%error, "signals are not waited for");
    }
}

/// The exit code for the signal that came, if one did.
pub(crate) fn caught() -> Option<u8> {
    let signal = CAUGHT.load(Ordering::Relaxed);
    (signal != 0).then(|| u8::try_from(ENDED_BY + signal).unwrap_or(u8::MAX))
}
