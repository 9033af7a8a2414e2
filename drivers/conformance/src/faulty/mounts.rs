//! Mounts as a careless driver makes them and takes them down.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use plywood_graphdriver::{DriverError, DriverResult, Teardown};
use plywood_sys::mount::{self, Restrictions};

use super::fault::Fault;

/// Leaves what the fault says beside the mount at `target`.
pub(super) fn leak(fault: Fault, target: &Path) {
    match fault {
        Fault::LeakedMount => {
            let beside = target.with_extension("leaked");
            std::fs::create_dir_all(&beside).unwrap();
            // Not of the layer: a mount of that would be seen when it is removed.
            let made = mount::bind(&beside, Restrictions::default()).unwrap();
            mount::attach(made, &beside).unwrap();
        }
        Fault::LeakedDescriptor => {
            std::mem::forget(File::open("/dev/null").unwrap());
        }
        Fault::LeakedThread => {
            std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_mins(1)));
        }
        Fault::LeakedChild => {
            // A shell that leaves a daemon, as a FUSE file system's program is one.
            let mut shell = Command::new("sh");
            shell.args(["-c", "sleep 60 >/dev/null 2>&1 & exit 0"]).stdin(Stdio::null());
            assert!(shell.status().unwrap().success());
        }
        Fault::LeakedLoop => {
            let file = target.with_extension("image");
            File::create(&file).unwrap().set_len(1 << 20).unwrap();
            let attached = Command::new("losetup").arg("-f").arg(&file).status().unwrap();
            assert!(attached.success());
        }
        _ => {}
    }
}

/// Takes the mount out of sight, whoever uses it still.
pub(super) struct Lazily;

impl Teardown for Lazily {
    fn unmount(&mut self, target: &Path) -> DriverResult<()> {
        mount::detach_lazily(target).map_err(|error| DriverError::system("unmount", error))
    }
}

/// Takes nothing down.
pub(super) struct Nothing;

impl Teardown for Nothing {
    fn unmount(&mut self, _target: &Path) -> DriverResult<()> {
        Ok(())
    }
}
