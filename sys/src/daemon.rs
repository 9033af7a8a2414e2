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

/// Runs something, once, when the process is asked to end (`SIGTERM`, `SIGINT`, `SIGHUP`), in place of ending. Must be called
/// before other threads are started, which inherit that the signals do not reach them.
///
/// # Errors
/// Those of `pthread_sigmask(3)` and of starting a thread.
pub fn on_termination(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let spawned = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.wait().is_ok() {
            run();
        }
    });
    spawned.map(drop)
}
