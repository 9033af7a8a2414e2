//! Mounts through the new mount API (`fsopen`, `fsconfig`, `fsmount`, `move_mount`; Linux 5.2).

use std::ffi::OsStr;
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

use crate::mount_setattr;

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
    match overlay_with(overlay, set_lower) {
        // Before Linux 6.7 overlayfs does not know `lowerdir+`: it says so at once, or not before the creation.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => overlay_with(overlay, set_lower_joined)
            .map_err(|joined| if joined.kind() == io::ErrorKind::Unsupported { joined } else { error }),
        made => made,
    }
}

/// Tells the context the lower folders. Folders that are passed through a descriptor are held in the list until the creation.
type SetLower = fn(BorrowedFd<'_>, &[PathBuf], &mut Vec<OwnedFd>) -> io::Result<()>;

fn overlay_with(overlay: &Overlay, set_lower: SetLower) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(context.as_fd(), overlay, set_lower).map_err(|error| with_log(error, &context))?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, overlay.restrictions.attributes())?)
}

fn configure(context: BorrowedFd<'_>, overlay: &Overlay, set_lower: SetLower) -> io::Result<()> {
    // Names the file system in /proc/mounts.
    fsconfig_set_string(context, "source", "plywood")?;
    let mut held = Vec::new();
    set_lower(context, &overlay.lower, &mut held)?;
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

/// One `lowerdir+` a folder.
fn set_lower(context: BorrowedFd<'_>, lower: &[PathBuf], held: &mut Vec<OwnedFd>) -> io::Result<()> {
    lower.iter().try_for_each(|folder| set_folder(context, "lowerdir+", folder, held))
}

/// All folders in one string, through descriptors because that is shorter: some fourteen fit.
fn set_lower_joined(context: BorrowedFd<'_>, lower: &[PathBuf], held: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut joined = Vec::new();
    for folder in lower {
        if !joined.is_empty() {
            joined.push(b':');
        }
        joined.extend_from_slice(through_descriptor(folder, held)?.as_bytes());
    }
    if joined.len() > LONGEST_VALUE {
        let reason = "this kernel has no lowerdir+ (Linux 6.7) and takes only some fourteen layers at once";
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    Ok(fsconfig_set_string(context, "lowerdir", OsStr::from_bytes(&joined))?)
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

fn through_descriptor(folder: &Path, held: &mut Vec<OwnedFd>) -> io::Result<std::ffi::OsString> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(folder, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    held.push(descriptor);
    Ok(path.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_kernels_take_the_layers_in_one_string() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: String| {
            let path = folder.path().join(name);
            rustix::fs::mkdir(&path, Mode::RWXU).unwrap();
            path
        };
        let lower: Vec<PathBuf> = (0..20).map(|number| make(format!("lower-{number}"))).collect();
        rustix::fs::mkdir(lower[11].join("seen"), Mode::RWXU).unwrap();
        let overlay = Overlay { lower: lower[..12].to_vec(), ..Overlay::default() };
        let mounted = overlay_with(&overlay, set_lower_joined).unwrap();
        assert!(rustix::fs::statat(&mounted, "seen", rustix::fs::AtFlags::empty()).is_ok());
        let error = overlay_with(&Overlay { lower, ..Overlay::default() }, set_lower_joined).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    }
}
