//! What both kinds of server share: options, and mounts that nobody serves any more.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, LayerId, LayerRef, MountRequest, MountSpec};
use plywood_tree::mount_options::{self, IN_LOWER, IN_UPPER, escaped};
use plywood_tree::upper_layers::MountFolders;
use rustix::fs::Access;
use rustix::io::Errno;

use super::Server;
use crate::transport::unmount;

/// What `/proc/mounts` shows as the source, so that a layer in use is known as such.
pub(super) fn source(layer: LayerRef<'_>) -> String {
    format!("plywood-{}", layer.id)
}

/// The options as the program takes them, in bytes, as paths are.
pub(super) fn options(
    layer: LayerRef<'_>,
    folders: &MountFolders,
    request: &MountRequest<'_>,
) -> DriverResult<Vec<Vec<u8>>> {
    let lower: Vec<Vec<u8>> = folders.lower.iter().map(|folder| escaped(folder, IN_LOWER)).collect();
    let mut options = vec![
        [b"lowerdir=", &lower.join(&b':')[..]].concat(),
        // What images say about overlays is data; renaming what is below answers EXDEV, since nobody exports redirects.
        b"redirect_dir=off".to_vec(),
        b"whiteout_names=off".to_vec(),
        format!("fsname={}", source(layer)).into_bytes(),
    ];
    if let Some((upper, work)) = &folders.upper {
        options.push([b"upperdir=", &escaped(upper, IN_UPPER)[..]].concat());
        options.push([b"workdir=", &escaped(work, IN_UPPER)[..]].concat());
    }
    if let Some(label) = request.label {
        options.push(mount_options::context(label)?.into_bytes());
    }
    let flags = [(request.read_only, "ro"), (request.inspection, "nosuid"), (request.inspection, "nodev")];
    options.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag.as_bytes().to_vec()));
    Ok(options)
}

/// Refuses a label where the kernel has none: a mount without it must not pass for one with it.
pub(super) fn check_label(request: &MountRequest<'_>) -> DriverResult<()> {
    if request.label.is_none() || rustix::fs::access("/sys/fs/selinux/enforce", Access::EXISTS).is_ok() {
        return Ok(());
    }
    let reason = "the kernel gives mounts no label (context=): SELinux is off";
    Err(DriverError::new(ErrorKind::Unsupported, "mount union", reason))
}

/// The same as containerd takes it.
///
/// Of a type that begins with `fuse3.` containerd has `mount.fuse3` (package fuse3) run the program that the rest names, and gives it
/// source and options. mount(8) hands the type on as it is: there `mount -t fuse3 PROGRAM#overlay` is the form.
pub(super) fn spec(
    server: &Server,
    layer: LayerRef<'_>,
    folders: &MountFolders,
    request: &MountRequest<'_>,
) -> DriverResult<MountSpec> {
    let program = match server {
        Server::Program(path) => mount_options::text(path.as_os_str().as_bytes().to_vec())?,
        // Whoever mounts has it in `PATH`, or has no server.
        Server::ThisProcess => "fuse-union".to_owned(),
    };
    let options = options(layer, folders, request)?
        .into_iter()
        .map(mount_options::text)
        .collect::<DriverResult<_>>()?;
    Ok(MountSpec { kind: format!("fuse3.{program}"), source: "overlay".into(), options })
}

/// Takes down a mount whose server is gone. What was written is in the upper layer.
pub(super) fn clear_dead(target: &Path) -> DriverResult<()> {
    // Several may lie over each other.
    while is_dead(target) {
        tracing::warn!(target = %target.display(), "the server of a mount is gone: it is taken down");
        unmount(target, true).map_err(|error| DriverError::system("unmount", error).at(target))?;
    }
    Ok(())
}

/// As [`clear_dead`], wherever the layer is mounted.
pub(super) fn clear_dead_of(id: &LayerId) -> DriverResult<()> {
    let mounts = plywood_sys::mountinfo::read().map_err(|error| DriverError::system("read mounts", error))?;
    let wanted = format!("plywood-{id}");
    mounts
        .iter()
        .filter(|mount| mount.source.as_os_str() == wanted.as_str())
        .try_for_each(|mount| clear_dead(&mount.target))
}

fn is_dead(target: &Path) -> bool {
    // Attributes are answered from the kernel's memory, with or without a server; this never is. What was asked while the server's descriptors
    // were being closed one after the other is broken off.
    rustix::fs::statfs(target).is_err_and(|error| matches!(error, Errno::NOTCONN | Errno::CONNABORTED))
}
