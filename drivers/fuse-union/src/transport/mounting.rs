//! Mounts: made by ourselves where we may, else by `fusermount3`.

use std::ffi::{CString, OsStr, OsString};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};

/// The type that mounts have in `/proc/mounts`, so that engines know whose they are.
const KIND: &str = "fuse.fuse-union";

/// The program that mounts for users without privilege (package fuse3).
const HELPER: &str = "fusermount3";

/// How a mount is to be.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent options, as of mount(8)")]
pub struct MountOptions {
    /// What `/proc/mounts` shows as its source.
    pub source: String,
    /// No writes.
    pub read_only: bool,
    /// No effect of set-user-id bits.
    pub no_set_user_id: bool,
    /// No device nodes.
    pub no_devices: bool,
    /// No programs.
    pub no_execution: bool,
    /// Other users may look at a mount that `fusermount3` makes. Mounts of our own are for all, as the kernel's overlays are.
    pub allow_other: bool,
    /// An SELinux label for every file.
    pub context: Option<String>,
}

/// Who made a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounter {
    /// This process.
    Ourselves,
    /// `fusermount3`.
    Helper,
}

/// A mount that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// `/dev/fuse` is not there for us.
    #[error("cannot open /dev/fuse: {0} (load the module fuse, or give the container the device)")]
    Device(#[source] Errno),
    /// The kernel refused.
    #[error("cannot mount at {}: {cause}", target.display())]
    Mount {
        /// Where.
        target: PathBuf,
        /// Why.
        cause: Errno,
    },
    /// `fusermount3` refused, or is not there.
    #[error("cannot mount at {}: {cause}", target.display())]
    Helper {
        /// Where.
        target: PathBuf,
        /// What it said.
        cause: String,
    },
}

/// Mounts at a folder, and answers the device to serve.
///
/// # Errors
/// As [`MountError`].
pub fn mount(target: &Path, options: &MountOptions) -> Result<(OwnedFd, Mounter), MountError> {
    match mount_ourselves(target, options) {
        Err(MountError::Mount { cause: Errno::PERM, .. } | MountError::Device(Errno::ACCESS)) => {
            Ok((mount_by_helper(target, options)?, Mounter::Helper))
        }
        other => Ok((other?, Mounter::Ourselves)),
    }
}

fn mount_ourselves(target: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(MountError::Device)?;
    let refused = |cause| MountError::Mount { target: target.to_owned(), cause };
    let mut data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
        device.as_raw_fd(),
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if let Some(context) = &options.context {
        data.extend([",context=\"", context.trim_matches('"'), "\""]);
    }
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOSUID, options.no_set_user_id);
    flags.set(MountFlags::NODEV, options.no_devices);
    flags.set(MountFlags::NOEXEC, options.no_execution);
    let data = CString::new(data).map_err(|_| refused(Errno::INVAL))?;
    rustix::mount::mount(options.source.as_str(), target, KIND, flags, Some(data.as_c_str()))
        .map_err(refused)?;
    Ok(device)
}

/// The helper sends the device over the socket whose number is in `_FUSE_COMMFD` (libfuse, `mount_util.c`).
fn mount_by_helper(target: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let refused = |cause: String| MountError::Helper { target: target.to_owned(), cause };
    let system = |error: Errno| refused(error.to_string());
    let pair = |flags| rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    // The helper's end must survive its start.
    let (ours, theirs) = pair(SocketFlags::empty()).map_err(system)?;
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC).map_err(system)?;
    let child = helper()
        .arg("-o")
        .arg(helper_options(options))
        .arg("--")
        .arg(target)
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            refused(format!("{HELPER} cannot be started: {error} (it is in the package fuse3)"))
        })?;
    drop(theirs);
    let received = receive_device(&ours);
    let output = child.wait_with_output().map_err(|error| refused(error.to_string()))?;
    received.ok_or_else(|| refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn helper_options(options: &MountOptions) -> OsString {
    let mut words = vec![format!("fsname={},subtype=fuse-union,default_permissions", options.source)];
    let flags =
        [(options.read_only, "ro"), (options.no_execution, "noexec"), (options.allow_other, "allow_other")];
    words.extend(flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()));
    words.join(",").into()
}

fn receive_device(socket: &OwnedFd) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags).ok()?;
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    })
}

/// Takes a mount down; lazily, it goes with its last user.
///
/// # Errors
/// `EBUSY` where it is in use, `EINVAL` where nothing is mounted there.
pub fn unmount(target: &Path, lazily: bool) -> std::io::Result<()> {
    let flags = if lazily { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match rustix::mount::unmount(target, flags | UnmountFlags::NOFOLLOW) {
        Err(Errno::PERM) => unmount_by_helper(target, lazily),
        other => Ok(other?),
    }
}

fn unmount_by_helper(target: &Path, lazily: bool) -> std::io::Result<()> {
    let arguments: &[&OsStr] =
        if lazily { &[OsStr::new("-u"), OsStr::new("-z")] } else { &[OsStr::new("-u")] };
    let output = helper().args(arguments).arg("--").arg(target).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let kind =
        if said.contains("busy") { std::io::ErrorKind::ResourceBusy } else { std::io::ErrorKind::Other };
    Err(std::io::Error::new(kind, said))
}

#[allow(clippy::disallowed_methods, reason = "the one program that this driver cannot do without")]
fn helper() -> Command {
    Command::new(OsStr::from_bytes(HELPER.as_bytes()))
}
