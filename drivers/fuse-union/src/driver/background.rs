//! Mounts that a process of their own serves.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, LayerRef, MountRequest, Mounted, Teardown};
use plywood_tree::upper_layers::MountFolders;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::mounting;
use crate::transport::unmount;

/// Starts the program, which returns once the mount is there.
pub(super) fn mount(
    program: &Path,
    layer: LayerRef<'_>,
    folders: &MountFolders,
    request: &MountRequest<'_>,
    target: &Path,
) -> DriverResult<Mounted> {
    let failed = |error: Errno| DriverError::system("start fuse-union", error).at(program);
    let (alive, held) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    // The server inherits this end, and holds it until it ends.
    rustix::io::fcntl_setfd(&held, FdFlags::empty()).map_err(failed)?;
    let output = command(program)
        .arg("-o")
        .arg(OsString::from_vec(mounting::options(layer, folders, request)?.join(&b',')))
        .arg(target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| DriverError::system("start fuse-union", error).at(program))?;
    drop(held);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(DriverError::new(ErrorKind::System, "mount union", said).at(target));
    }
    Ok(Mounted::new(target.to_owned(), Box::new(Unmount { alive })))
}

#[allow(clippy::disallowed_methods, reason = "the server must outlive whoever asks for the mount")]
fn command(program: &Path) -> Command {
    Command::new(program)
}

/// Unmounts, and waits for the server, which holds the layers.
struct Unmount {
    /// Nothing comes here; it ends with the server.
    alive: OwnedFd,
}

/// How long a server is waited for: another namespace may have a copy of the mount, which it goes on serving.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

impl Teardown for Unmount {
    fn unmount(&mut self, target: &Path) -> DriverResult<()> {
        mounting::clear_dead(target)?;
        match unmount(target, false) {
            // A dead mount was there, and is gone.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
            other => other.map_err(|error| DriverError::system("unmount", error).at(target)),
        }?;
        match poll(&mut [PollFd::new(&self.alive, PollFlags::IN)], Some(&PATIENCE)) {
            Ok(0) => tracing::debug!(target = %target.display(), "the server goes on for another namespace"),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the server's end is not waited for"),
        }
        Ok(())
    }
}
