//! Going on without the caller.

use std::io;

/// Continues in a child process, in a session of its own, with `/` as the working folder and nothing on the standard streams;
/// the calling process ends with 0. Must be called before any other thread is started: a child has only the calling one.
///
/// # Errors
/// Those of `fork(2)` and `setsid(2)`.
pub fn detach() -> io::Result<()> {
    Ok(nix::unistd::daemon(false, false)?)
}
