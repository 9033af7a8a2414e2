//! What both kinds of server share: options, and mounts that nobody serves any more.

use std::path::Path;

use plywood_graphdriver::{DriverError, DriverResult, LayerId, LayerRef, MountRequest, MountSpec};
use plywood_tree::upper_layers::MountFolders;
use rustix::io::Errno;

use super::Server;
use crate::transport::unmount;

/// What `/proc/mounts` shows as the source, so that a layer in use is known as such.
pub(super) fn source(layer: LayerRef<'_>) -> String {
    format!("plywood-{}", layer.id)
}

/// The options as the program takes them.
pub(super) fn options(
    layer: LayerRef<'_>,
    folders: &MountFolders,
    request: &MountRequest<'_>,
) -> Vec<String> {
    let joined = folders.lower.iter().map(|folder| escape(folder, "\\:,")).collect::<Vec<_>>().join(":");
    let mut options = vec![
        format!("lowerdir={joined}"),
        // What images say about overlays is data; renaming what is below answers EXDEV, since nobody exports redirects.
        "redirect_dir=off".to_owned(),
        "whiteout_names=off".to_owned(),
        format!("fsname={}", source(layer)),
    ];
    if let Some((upper, work)) = &folders.upper {
        options.push(format!("upperdir={}", escape(upper, "\\,")));
        options.push(format!("workdir={}", escape(work, "\\,")));
    }
    options.extend(request.label.map(|label| format!("context={}", label.replace(',', "\\,"))));
    let flags = [(request.read_only, "ro"), (request.inspection, "nosuid"), (request.inspection, "nodev")];
    options.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| (*flag).to_owned()));
    options
}

/// The same as containerd and mount(8) take it.
///
/// Both run `mount.fuse3` (package fuse3), which runs the program: that in the type, found in `PATH`, or that in the source.
pub(super) fn spec(
    server: &Server,
    layer: LayerRef<'_>,
    folders: &MountFolders,
    request: &MountRequest<'_>,
) -> MountSpec {
    let (kind, source) = match server {
        Server::Program(path) => ("fuse3", format!("{}#overlay", path.display())),
        Server::ThisProcess => ("fuse3.fuse-union", "overlay".to_owned()),
    };
    MountSpec { kind: kind.to_owned(), source: source.into(), options: options(layer, folders, request) }
}

fn escape(folder: &Path, special: &str) -> String {
    let mut escaped = String::new();
    for character in folder.to_string_lossy().chars() {
        if special.contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
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
    // Attributes are answered from the kernel's memory, with or without a server; this never is.
    rustix::fs::statfs(target).is_err_and(|error| error == Errno::NOTCONN)
}
