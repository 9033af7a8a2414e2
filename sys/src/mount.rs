//! Mounts through the new mount API (`fsopen`, `fsconfig`, `fsmount`, `move_mount`; Linux 5.2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::{mount_page, mount_setattr};

/// What may not be done on a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// No writes.
    pub read_only: bool,
    /// No effect of set-user-id bits and file capabilities.
    pub no_set_user_id: bool,
    /// No device nodes.
    pub no_devices: bool,
}

impl Restrictions {
    fn attributes(self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::empty();
        flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, self.read_only);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.no_set_user_id);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, self.no_devices);
        flags
    }
}

/// An overlay to mount.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// Lower folders, topmost first; up to 500.
    pub lower: Vec<PathBuf>,
    /// The upper and the work folder of a writable overlay.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Further options, as `key=value` or `flag`.
    pub options: Vec<String>,
    /// Restrictions of the mount.
    pub restrictions: Restrictions,
}

/// The longest value that `fsconfig` takes as a string, in bytes (255 and the end, Linux 6.18).
const LONGEST_VALUE: usize = 255;

/// Mounts an overlay and answers the mount, which is attached nowhere yet and goes away with the fd.
///
/// # Errors
/// The kernel's, with what it wrote into the context's log where it wrote anything.
pub fn overlay(overlay: &Overlay) -> io::Result<OwnedFd> {
    match through_context(overlay) {
        // Before Linux 6.7 overlayfs does not know `lowerdir+`: it says so at once, or not before the creation.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            mount_page::overlay(overlay).map_err(|older| if error_of_options(&older) { error } else { older })
        }
        made => made,
    }
}

/// Whether `mount(2)` did not like the options either; the newer interface then says more about it.
fn error_of_options(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

fn through_context(overlay: &Overlay) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(context.as_fd(), overlay).map_err(|error| with_log(error, &context))?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, overlay.restrictions.attributes())?)
}

fn configure(context: BorrowedFd<'_>, overlay: &Overlay) -> io::Result<()> {
    // Names the file system in /proc/mounts.
    fsconfig_set_string(context, "source", "plywood")?;
    let mut held = Vec::new();
    for folder in &overlay.lower {
        set_folder(context, "lowerdir+", folder, &mut held)?;
    }
    if let Some((upper, work)) = &overlay.upper {
        set_folder(context, "upperdir", upper, &mut held)?;
        set_folder(context, "workdir", work, &mut held)?;
    }
    for option in &overlay.options {
        match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(context, key, value)?,
            None => fsconfig_set_flag(context, option.as_str())?,
        }
    }
    Ok(fsconfig_create(context)?)
}

fn set_folder(context: BorrowedFd<'_>, key: &str, folder: &Path, held: &mut Vec<OwnedFd>) -> io::Result<()> {
    // `upperdir` and `workdir` are unescaped by the kernel, `lowerdir+` is taken as it is (seen on Linux 6.18).
    let bytes = folder.as_os_str().as_bytes();
    let escaped = key != "lowerdir+" && bytes.iter().any(|byte| matches!(byte, b'\\' | b','));
    if bytes.len() <= LONGEST_VALUE && !escaped {
        return Ok(fsconfig_set_string(context, key, folder)?);
    }
    Ok(fsconfig_set_string(context, key, through_descriptor(folder, held)?.as_os_str())?)
}

/// The folder below a descriptor that is held: with its last two names where they are plain, as the mount table shows what is
/// given here, and whoever asks there what is mounted looks for those.
fn through_descriptor(folder: &Path, held: &mut Vec<OwnedFd>) -> io::Result<PathBuf> {
    let above = folder.parent().and_then(Path::parent);
    let named = above.and_then(|above| Some((above, folder.strip_prefix(above).ok()?)));
    let (open, rest) = named.filter(|(_, rest)| is_plain(rest)).unwrap_or((folder, Path::new("")));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(open, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    held.push(descriptor);
    Ok(if rest.as_os_str().is_empty() { path.into() } else { Path::new(&path).join(rest) })
}

/// Whether the kernel takes a path's end as it is, behind that of a descriptor.
fn is_plain(rest: &Path) -> bool {
    let bytes = rest.as_os_str().as_bytes();
    bytes.len() < LONGEST_VALUE - 32 && !bytes.iter().any(|byte| matches!(byte, b'\\' | b','))
}

/// Adds what the kernel wrote into the context's log to the error.
fn with_log(error: io::Error, context: &OwnedFd) -> io::Error {
    let mut message = [0_u8; 1024];
    let mut lines = Vec::new();
    while let Ok(length) = rustix::io::read(context, &mut message) {
        if length == 0 {
            break;
        }
        lines.push(String::from_utf8_lossy(&message[..length]).trim().to_owned());
    }
    if lines.is_empty() {
        error
    } else {
        io::Error::new(error.kind(), format!("{error} ({})", lines.join("; ")))
    }
}

/// Makes a bind mount of a folder, attached nowhere yet, with the restrictions given.
///
/// # Errors
/// Those of `open_tree(2)` and `mount_setattr(2)`.
pub fn bind(folder: &Path, restrictions: Restrictions) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, folder, flags)?;
    let attributes = restrictions.attributes();
    if !attributes.is_empty() {
        mount_setattr::set(&tree, u64::from(attributes.bits()))?;
    }
    Ok(tree)
}

/// Attaches a mount at a folder. The last component is not followed.
///
/// # Errors
/// Those of `move_mount(2)`.
pub fn attach(mount: impl AsFd, target: &Path) -> io::Result<()> {
    Ok(move_mount(mount.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Unmounts what is mounted at `target`, not following a link there.
///
/// # Errors
/// `EBUSY` where it is in use, `EINVAL` where nothing is mounted there.
pub fn detach(target: &Path) -> io::Result<()> {
    Ok(umount2(target, MntFlags::UMOUNT_NOFOLLOW)?)
}

/// Unmounts lazily: the mount disappears from the tree now, and ends with its last user.
///
/// # Errors
/// `EINVAL` where nothing is mounted there.
pub fn detach_lazily(target: &Path) -> io::Result<()> {
    Ok(umount2(target, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH)?)
}
