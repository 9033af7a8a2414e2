//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

/// Mounts layers as one tree, in user space.
///
/// Takes the options of fuse-overlayfs, and stands in its place as `mount_program` of podman and buildah. Returns once the mount
/// is there; the server goes on in the background until it is unmounted with `fusermount3 -u MOUNTPOINT` or `umount MOUNTPOINT`.
#[derive(Debug, Parser)]
#[command(name = "fuse-union", version, after_help = OPTIONS)]
pub(crate) struct Arguments {
    /// Options, separated by commas; a backslash before a comma, a colon or a backslash makes it part of a path. May be repeated.
    #[arg(short = 'o', value_name = "OPTION,...", action = clap::ArgAction::Append)]
    pub(crate) options: Vec<OsString>,

    /// Stay in the foreground.
    #[arg(short, long)]
    pub(crate) foreground: bool,

    /// Say what goes on, on standard error; implies --foreground.
    #[arg(short, long)]
    pub(crate) debug: bool,

    /// Print the manual page, as roff, and end.
    #[arg(long, hide = true)]
    pub(crate) manual: bool,

    /// Where to mount. A source before it, as mount(8) passes, is left aside.
    #[arg(value_name = "MOUNTPOINT", required_unless_present = "manual", num_args = 1..=2)]
    pub(crate) paths: Vec<PathBuf>,
}

const OPTIONS: &str = "\
Options of -o:
  lowerdir=DIR[:DIR...]       lower folders, topmost first
  upperdir=DIR, workdir=DIR   where writes go, and a folder beside it; without them the mount is read-only
  io=auto|noopen|passthrough|cached
                              how files are read and written; auto is passthrough with privilege, noopen without
  redirect_dir=on|follow|off  how folders of lower layers are renamed; other than on, renaming them answers EXDEV
  uidmapping=..., gidmapping=...
                              owners as programs see them, as container:host:length[:container:host:length...]
  squash_to_root, squash_to_uid=UID, squash_to_gid=GID
                              all files belong to one owner
  xattr_permissions=1|2       keep owners and modes in an attribute
  volatile, fsync=0           sync nothing
  noacl, noxattrs             no access control lists, no attributes
  static_nlink                folders have one link
  whiteout_names=on|off       whether names that begin with .wh. in a layer are whiteouts (on)
  context=LABEL               an SELinux label for every file
  ro, nosuid, nodev, noexec, allow_other, fsname=NAME
                              as for every mount
Accepted, with nothing to do: rw, suid, dev, exec, atime, noatime, timeout=, threaded=, writeback=, xino=, metacopy=, index=,
max_idle_threads=, clone_fd, auto_unmount, default_permissions, userxattr, plugins=.";
