//! Mounts that a process of their own serves.

use std::path::Path;
use std::process::{Command, Stdio};

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, LayerRef, MountRequest, Mounted, Teardown};
use plywood_tree::upper_layers::MountFolders;

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
    let output = command(program)
        .arg("-o")
        .arg(mounting::options(layer, folders, request).join(","))
        .arg(target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| DriverError::system("start fuse-union", error).at(program))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(DriverError::new(ErrorKind::System, "mount union", said).at(target));
    }
    Ok(Mounted::new(target.to_owned(), Box::new(Unmount)))
}

#[allow(clippy::disallowed_methods, reason = "the server must outlive whoever asks for the mount")]
fn command(program: &Path) -> Command {
    Command::new(program)
}

/// Unmounts; the server ends by itself.
struct Unmount;

impl Teardown for Unmount {
    fn unmount(&mut self, target: &Path) -> DriverResult<()> {
        mounting::clear_dead(target)?;
        match unmount(target, false) {
            // A dead mount was there, and is gone.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
            other => other.map_err(|error| DriverError::system("unmount", error).at(target)),
        }
    }
}
