//! Going on without the caller.

use std::io;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

/// Continues in a child process, in a session of its own, with `/` as the working folder and nothing on the standard streams;
/// the calling process ends with 0. Must be called before any other thread is started: a child has only the calling one.
///
/// # Errors
/// Those of `fork(2)` and `setsid(2)`.
pub fn detach() -> io::Result<()> {
    Ok(nix::unistd::daemon(false, false)?)
}

/// The signals that ask a process to end (`SIGTERM`, `SIGINT`, `SIGHUP`), kept from ending it. They wait for [`run`](Self::run).
#[derive(Debug)]
pub struct Terminations(SigSet);

impl Terminations {
    /// Holds them back, for this thread and all that it starts. A child of [`detach`] has them held back from its beginning.
    ///
    /// # Errors
    /// Those of `pthread_sigmask(3)`.
    pub fn hold_back() -> io::Result<Self> {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            signals.add(signal);
        }
        signals.thread_block()?;
        Ok(Self(signals))
    }

    /// Runs something, once, when one of them comes or has come.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn run(self, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let spawned = thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if self.0.wait().is_ok() {
                run();
            }
        });
        spawned.map(drop)
    }
}
