//! A server in a process of its own, and what it holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use tempfile::TempDir;

/// Layers, mounted.
pub struct Server {
    folder: TempDir,
    child: Child,
}

impl Server {
    /// Makes the folders, lets `fill` at the lower one, and mounts them.
    pub fn start(io: &str, fill: impl FnOnce(&Path)) -> Self {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
        let folder = tempfile::Builder::new().prefix("endurance-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["lower", "upper", "work", "merged"] {
            fs::create_dir(path(name)).unwrap();
        }
        fill(&path("lower"));
        let options = format!(
            "lowerdir={},upperdir={},workdir={},volatile,io={io}",
            path("lower").display(),
            path("upper").display(),
            path("work").display()
        );
        let child = Command::new(env!("CARGO_BIN_EXE_fuse-union"))
            .args(["--foreground", "-o", &options])
            .arg(path("merged"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { folder, child };
        let begun = Instant::now();
        while !plywood_sys::mountinfo::is_mounted(&server.merged()).unwrap() {
            assert!(begun.elapsed() < Duration::from_mins(1), "the mount does not come");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    pub fn merged(&self) -> PathBuf {
        self.folder.path().join("merged")
    }

    /// Kilobytes of memory that its process holds beside its program's file, and the most that it ever held with that
    /// (`proc_pid_status(5)`).
    pub fn memory_kilobytes(&self) -> (u64, u64) {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (field("RssAnon:"), field("VmHWM:"))
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Has the kernel forget what it keeps of names and inodes.
    pub fn forget() {
        fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        unmount(self.merged(), UnmountFlags::DETACH).unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success() || std::thread::panicking(), "{ended}");
    }
}
