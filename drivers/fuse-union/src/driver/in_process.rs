//! Mounts that threads of this process serve.

use std::path::Path;
use std::sync::Arc;

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, LayerRef, MountRequest, Mounted, Teardown};
use plywood_tree::upper_layers::MountFolders;
use rustix::io::Errno;

use super::mounting;
use crate::options::{Options, Redirects};
use crate::transport::{MountError, MountOptions, Session, Unmounted, mount as make_mount, unmount};
use crate::union::Union;

/// Mounts, and starts the threads.
pub(super) fn mount(
    layer: LayerRef<'_>,
    folders: &MountFolders,
    request: &MountRequest<'_>,
    target: &Path,
) -> DriverResult<Mounted> {
    let (upper, work) = folders.upper.clone().unzip();
    let options = Options {
        lower: folders.lower.clone(),
        upper,
        work,
        redirects: Redirects::Off,
        ..Options::default()
    };
    let union = Union::open(options)
        .map_err(|error| DriverError::new(ErrorKind::System, "mount union", error).at(target))?;
    let union = Arc::new(union);
    let mount_options = MountOptions {
        source: mounting::source(layer),
        read_only: request.read_only,
        no_set_user_id: request.inspection,
        no_devices: request.inspection,
        context: request.label.map(str::to_owned),
        ..MountOptions::default()
    };
    let (device, _) = make_mount(target, &mount_options).map_err(|error| refused(error).at(target))?;
    let started = Session::new(device, Arc::clone(&union)).and_then(|session| {
        union.start_trimming();
        session.start()
    });
    let unmounted = started.map_err(|error| {
        if let Err(error) = unmount(target, true) {
            tracing::warn!(%error, "a mount that nobody serves stays");
        }
        DriverError::system("serve union", error).at(target)
    })?;
    Ok(Mounted::new(target.to_owned(), Box::new(InProcess(unmounted))))
}

fn refused(error: MountError) -> DriverError {
    let kind = match &error {
        MountError::Device(_) => ErrorKind::Unsupported,
        MountError::Mount { cause: Errno::PERM, .. } => ErrorKind::PermissionDenied,
        MountError::Mount { cause: Errno::NOENT, .. } => ErrorKind::NotFound,
        _ => ErrorKind::System,
    };
    DriverError::new(kind, "mount union", error)
}

/// Unmounts, and waits for the threads.
struct InProcess(Unmounted);

impl Teardown for InProcess {
    fn unmount(&mut self, target: &Path) -> DriverResult<()> {
        unmount(target, false).map_err(|error| DriverError::system("unmount", error).at(target))?;
        // Copies of the mount in other namespaces keep it alive: they are not waited for.
        if !self.0.wait_for(std::time::Duration::from_secs(2)) {
            tracing::debug!(target = %target.display(), "the mount lives on in another namespace");
        }
        Ok(())
    }
}
