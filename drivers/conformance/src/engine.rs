//! Mounts as containerd makes them, out of what a driver tells.

use std::path::Path;
use std::process::Command;

use nix::mount::MsFlags;
use plywood_graphdriver::MountSpec;
use rustix::process::WaitOptions;

/// Makes the mounts one after the other.
///
/// # Errors
/// What the system, or the program that mounts, says.
pub(crate) fn mount(specs: &[MountSpec], target: &Path) -> Result<(), String> {
    specs.iter().try_for_each(|spec| match spec.kind.strip_prefix("fuse3.") {
        Some(program) => mount_by_helper(spec, program, target),
        None => mount_by_call(spec, target).map_err(|error| error.to_string()),
    })
}

/// A type that begins with `fuse3.` is handed to `mount.fuse3`, which runs the program that the rest names (containerd, `mount_linux.go`).
fn mount_by_helper(spec: &MountSpec, program: &str, target: &Path) -> Result<(), String> {
    let mut command = Command::new("mount.fuse3");
    command.arg(&spec.source).arg(target);
    for option in &spec.options {
        command.args(["-o", option]);
    }
    let output = command.args(["-t", program]).output().map_err(|error| format!("mount.fuse3: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Words that are flags become flags, the rest is joined by commas; a bind mount takes its restrictions in a second call.
fn mount_by_call(spec: &MountSpec, target: &Path) -> nix::Result<()> {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in &spec.options {
        match &option[..] {
            "ro" => flags |= MsFlags::MS_RDONLY,
            "rw" => {}
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "bind" => flags |= MsFlags::MS_BIND,
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            other => data.push(other),
        }
    }
    let data = data.join(",");
    nix::mount::mount(Some(&spec.source), target, Some(&spec.kind[..]), flags, Some(&data[..]))?;
    let restricted = flags & (MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    if flags.contains(MsFlags::MS_BIND) && !restricted.is_empty() {
        let flags = restricted | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
        nix::mount::mount(None::<&Path>, target, None::<&str>, flags, None::<&str>)?;
    }
    Ok(())
}

/// Takes such a mount down, and waits for what served it: that ends with the mount, and this process has adopted it.
pub(crate) fn unmount(target: &Path) {
    plywood_sys::mount::detach(target).unwrap();
    while rustix::process::wait(WaitOptions::empty()).is_ok() {}
}
