//! A mount namespace of the process's own, in which nothing of the machine can be written.
//!
//! Targets that unpack, mount or open stores run as root on inputs that nobody has seen. They see the machine read-only, but
//! for a file system in memory, and for the folders that libFuzzer was told to write to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The folder over which the file system in memory lies; on the machine itself it stays empty.
const FOLDER: &str = "plywood-fuzz";
/// What may be kept in memory at once: no input of a target comes near it.
const MEMORY: &str = "mode=0755,size=512m";

/// Enters the sandbox, once, and gives the folder in memory. Needs the privilege to mount, which `scripts/fuzz` gets by a user
/// namespace where the caller is not root.
pub fn folder() -> &'static Path {
    static ENTERED: OnceLock<PathBuf> = OnceLock::new();
    ENTERED.get_or_init(enter)
}

fn enter() -> PathBuf {
    let folder = std::env::temp_dir().join(FOLDER);
    fs::create_dir_all(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    unshare(CloneFlags::CLONE_NEWNS).expect("mounting takes root, or a user namespace: use scripts/fuzz");
    let nowhere = None::<&str>;
    // Nothing that is mounted from here on is seen outside.
    mount(nowhere, "/", nowhere, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nowhere).unwrap();
    let writable = folders_of_the_command_line();
    for path in &writable {
        mount(Some(path), path, nowhere, MsFlags::MS_BIND, nowhere).unwrap();
    }
    // The present folder is still the one below the bind mount.
    std::env::set_current_dir(std::env::current_dir().unwrap()).unwrap();
    for (target, flags) in mounts() {
        if !writable.contains(&target) {
            make_read_only(&target, flags);
        }
    }
    mount(Some("none"), &folder, Some("tmpfs"), MsFlags::empty(), Some(MEMORY)).unwrap();
    tempfile::env::override_temp_dir(&folder).unwrap();
    folder
}

/// The corpora, and where findings go: libFuzzer opens them by their paths, long after the sandbox is entered.
fn folders_of_the_command_line() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::args()
        .skip(1)
        .filter_map(|argument| match argument.strip_prefix('-') {
            None => Some(PathBuf::from(argument)),
            Some(option) => option.strip_prefix("artifact_prefix=").map(PathBuf::from),
        })
        .chain([PathBuf::from(".")])
        .filter_map(|path| path.canonicalize().ok())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

/// Every mount with the flags that it must keep: a user namespace may not take them away.
fn mounts() -> Vec<(PathBuf, MsFlags)> {
    let known = [
        ("nosuid", MsFlags::MS_NOSUID),
        ("nodev", MsFlags::MS_NODEV),
        ("noexec", MsFlags::MS_NOEXEC),
        ("noatime", MsFlags::MS_NOATIME),
        ("nodiratime", MsFlags::MS_NODIRATIME),
        ("relatime", MsFlags::MS_RELATIME),
    ];
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let set = fields[5].split(',').filter_map(|word| known.iter().find(|(name, _)| *name == word));
        // An escaped name would be missed, and the remount would fail, which is noticed.
        (PathBuf::from(fields[4]), set.fold(MsFlags::empty(), |flags, (_, flag)| flags | *flag))
    };
    table.lines().map(mount).collect()
}

fn make_read_only(target: &Path, flags: MsFlags) {
    let flags = flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let made = mount(None::<&str>, target, None::<&str>, flags, None::<&str>);
    // What lies below another mount cannot be reached, and needs no guard.
    assert!(made.is_ok() || !target.exists(), "{} stays writable: {made:?}", target.display());
}
