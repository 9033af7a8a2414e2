//! Mounts that end with the process, however it ends.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;

/// Gives the process a mount namespace of its own, from which nothing reaches others: a test that is killed leaves no mount. Called
/// before there are threads. Without the privilege, which is then missing for mounts too, it says false and changes nothing.
pub(crate) fn take() -> bool {
    match nix::sched::unshare(CloneFlags::CLONE_NEWNS) {
        Ok(()) => {
            let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&Path>, "/", None::<&Path>, flags, None::<&Path>).unwrap();
            true
        }
        Err(Errno::EPERM) => false,
        Err(error) => panic!("mount namespace: {error}"),
    }
}
