//! A mount namespace for a test, in which an ordinary user may be what an administrator would make of one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

/// The user without privilege, and the group of the same number.
pub const USER: u32 = 4321;

/// Gives this thread, and all that it starts, mounts of its own: what a test leaves mounted ends with it.
pub fn take_own_mounts() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", flags).unwrap();
}

/// Makes the user known here, with ids of its own to give away and a `/dev/fuse` that it may open, as Debian has it. The machine's own files
/// stay as they are.
pub fn admit_user(folder: &Path) {
    let lines = [
        ("passwd", format!("plywood-test:x:{USER}:{USER}::{}:/bin/sh\n", folder.join("home").display())),
        ("group", format!("plywood-test:x:{USER}:\n")),
        ("subuid", format!("plywood-test:{}:65536\n", 1_000_000)),
        ("subgid", format!("plywood-test:{}:65536\n", 1_000_000)),
    ];
    for (name, line) in lines {
        let target = Path::new("/etc").join(name);
        let own = folder.join(name);
        let before = fs::read_to_string(&target).unwrap_or_default();
        fs::write(&own, before + &line).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).unwrap();
        mount_bind(&own, &target).unwrap();
    }
    let devices = folder.join("devices");
    fs::create_dir(&devices).unwrap();
    mount("devices", &devices, "tmpfs", MountFlags::empty(), None).unwrap();
    let fuse = devices.join("fuse");
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(CWD, &fuse, FileType::CharacterDevice, mode, rustix::fs::makedev(10, 229)).unwrap();
    fs::set_permissions(&fuse, fs::Permissions::from_mode(0o666)).unwrap();
    mount_bind(&fuse, "/dev/fuse").unwrap();
}
