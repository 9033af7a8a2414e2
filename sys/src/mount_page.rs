//! Overlays through `mount(2)`, for kernels whose `fsconfig` does not know `lowerdir+` (before Linux 6.7).
//!
//! `fsconfig` takes 255 bytes a string, which is some six layers; `mount(2)` takes one page of options. The folders are given relative to
//! `/proc/self/fd`: those that fit by a name below a held folder (`7/<id>/diff`), so that the mount table names them, the deepest
//! ones by their descriptors alone (`12`), so that 500 fit.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, mount, mount_change, open_tree};

use crate::mount::{Overlay, Restrictions};

/// Bytes of options that `mount(2)` copies: a page and its end (`copy_mount_options`, Linux 6.1).
const PAGE: usize = 4095;

/// Bytes that one descriptor takes in the list of lower folders: up to six digits and a colon.
const DESCRIPTOR: usize = 7;

/// Mounts an overlay and answers the mount, attached nowhere.
///
/// `mount(2)` can only attach, so it does that in a mount namespace that one thread has to itself, and the mount is cloned out of there.
pub(crate) fn overlay(overlay: &Overlay) -> io::Result<OwnedFd> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| mount_apart(overlay));
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread ended early")))
    })
}

fn mount_apart(overlay: &Overlay) -> io::Result<OwnedFd> {
    // A thread's own working folder, and a mount namespace that ends with it.
    nix::sched::unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    rustix::process::chdir("/proc/self/fd")?;
    // Overlayfs takes folders of the caller's own mount namespace only, so they are opened in here.
    let mut held = Vec::new();
    let options = std::ffi::CString::new(options(overlay, &mut held)?).map_err(io::Error::other)?;
    // What is mounted over `/proc` does not hide the folder that the thread stands in.
    mount("plywood", "/proc", "overlay", flags(overlay.restrictions), options.as_c_str())?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, "/proc", flags)?)
}

fn flags(restrictions: Restrictions) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, restrictions.read_only);
    flags.set(MountFlags::NOSUID, restrictions.no_set_user_id);
    flags.set(MountFlags::NODEV, restrictions.no_devices);
    flags
}

fn options(overlay: &Overlay, held: &mut Vec<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    if let Some((upper, work)) = &overlay.upper {
        for (key, folder) in [("upperdir", upper), ("workdir", work)] {
            rest.extend_from_slice(format!(",{key}=").as_bytes());
            rest.extend(escaped(folder.as_os_str().as_bytes(), b"\\,"));
        }
    }
    for option in &overlay.options {
        rest.push(b',');
        rest.extend(escaped(option.as_bytes(), b"\\"));
    }
    let mut options = b"lowerdir=".to_vec();
    let room = PAGE.saturating_sub(options.len() + rest.len());
    options.extend(lower_folders(&overlay.lower, room, held)?);
    options.extend(rest);
    if options.len() > PAGE {
        let reason = format!("{} layers do not fit into the page that mount(2) takes", overlay.lower.len());
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    Ok(options)
}

/// The folders joined by colons: by name as long as there is room for the others' descriptors, topmost first.
fn lower_folders(lower: &[PathBuf], room: usize, held: &mut Vec<OwnedFd>) -> io::Result<Vec<u8>> {
    let base = common_folder(lower);
    let base_descriptor = hold(&base, held)?;
    let mut joined = Vec::new();
    for (position, folder) in lower.iter().enumerate() {
        if position > 0 {
            joined.push(b':');
        }
        let below = folder.strip_prefix(&base).unwrap_or(folder).as_os_str().as_bytes();
        let mut name = format!("{base_descriptor}/").into_bytes();
        name.extend(escaped(below, b"\\:,"));
        let others = (lower.len() - position - 1) * DESCRIPTOR;
        if joined.len() + name.len() + others <= room {
            joined.extend(name);
        } else {
            joined.extend(hold(folder, held)?.to_string().into_bytes());
        }
    }
    Ok(joined)
}

/// The deepest folder that all are below by two names at least: a layer's own folder and the one in it that is mounted.
fn common_folder(folders: &[PathBuf]) -> PathBuf {
    let mut common = folders.first().map_or(Path::new("/"), PathBuf::as_path);
    for folder in folders {
        let above = folder.ancestors().nth(2).unwrap_or(Path::new("/"));
        while !above.starts_with(common) {
            common = common.parent().unwrap_or(Path::new("/"));
        }
    }
    common.to_owned()
}

fn hold(folder: &Path, held: &mut Vec<OwnedFd>) -> io::Result<i32> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(folder, flags, Mode::empty())?;
    let number = descriptor.as_raw_fd();
    held.push(descriptor);
    Ok(number)
}

/// Puts a backslash before what overlayfs' option parser would take as its own.
fn escaped(bytes: &[u8], special: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if special.contains(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use rustix::fs::AtFlags;

    use super::*;

    fn folders(below: &Path, names: impl Iterator<Item = String>) -> Vec<PathBuf> {
        let make = |name: String| {
            let path = below.join(name);
            rustix::fs::mkdir(&path, Mode::RWXU).unwrap();
            path
        };
        names.map(make).collect()
    }

    #[test]
    fn five_hundred_layers_fit_and_the_mount_is_writable() {
        let folder = tempfile::tempdir().unwrap();
        let lower = folders(folder.path(), (0..500).map(|number| format!("{number:032}, a:b\\")));
        rustix::fs::mkdir(lower[499].join("seen"), Mode::RWXU).unwrap();
        let upper = folders(folder.path(), ["upper, \\".to_owned(), "work".to_owned()].into_iter());
        let (upper, work) = (upper[0].clone(), upper[1].clone());
        let options = vec!["redirect_dir=nofollow".to_owned(), "index=off".to_owned()];
        let asked = Overlay { lower, upper: Some((upper.clone(), work)), options, ..Overlay::default() };
        let mounted = overlay(&asked).unwrap();
        assert!(rustix::fs::statat(&mounted, "seen", AtFlags::empty()).is_ok());
        rustix::fs::mkdirat(&mounted, "made", Mode::RWXU).unwrap();
        assert!(rustix::fs::stat(upper.join("made")).is_ok());
    }

    #[test]
    fn restrictions_hold_and_few_layers_are_all_named() {
        let folder = tempfile::tempdir().unwrap();
        let lower = folders(folder.path(), (0..20).map(|number| format!("{number:032}")));
        let restrictions = Restrictions { read_only: true, no_set_user_id: true, no_devices: true };
        let target = folders(folder.path(), ["target".to_owned()].into_iter()).remove(0);
        let mounted = overlay(&Overlay { lower, restrictions, ..Overlay::default() }).unwrap();
        crate::mount::attach(mounted, &target).unwrap();
        let mounts = crate::mountinfo::read().unwrap();
        crate::mount::detach(&target).unwrap();
        let line = mounts.iter().find(|mount| mount.target == target).unwrap();
        for number in 0..20 {
            assert!(line.options.contains(&format!("/{number:032}")), "{}", line.options);
        }
        let refused = rustix::fs::mkdir(target.join("x"), Mode::RWXU);
        assert!(refused.is_ok(), "the mount is gone, so this is the folder below");
    }

    #[test]
    fn the_common_folder_is_above_all() {
        let paths = ["/a/b/c", "/a/b/d/e", "/a/b"].map(PathBuf::from);
        assert_eq!(common_folder(&paths[..1]), Path::new("/a"));
        assert_eq!(common_folder(&paths[..2]), Path::new("/a"));
        assert_eq!(common_folder(&paths[1..2]), Path::new("/a/b"));
        assert_eq!(common_folder(&paths), Path::new("/"));
    }
}
