//! Layers in a folder of their own, and a mount of them that is served by this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plywood_fuse_union::Union;
use plywood_fuse_union::options::{IoMode, Options};
use plywood_fuse_union::transport::{MountOptions, Session, Unmounted, mount, unmount};
use tempfile::TempDir;

/// Every way in which files are read and written.
pub const MODES: [IoMode; 3] = [IoMode::NoOpen, IoMode::Cached, IoMode::Passthrough];

/// Folders for layers, made anew for each test.
pub struct Stage {
    pub folder: TempDir,
}

impl Stage {
    pub fn new() -> Self {
        isolate();
        let folder = tempfile::Builder::new().prefix("fuse-union-").tempdir().unwrap();
        for name in ["lower", "second", "upper", "work", "merged"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, below: &str, content: &str) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// `lower` over `second`, with `upper`.
    pub fn options(&self, io: IoMode) -> Options {
        Options {
            lower: vec![self.path("lower"), self.path("second")],
            upper: Some(self.path("upper")),
            work: Some(self.path("work")),
            io,
            names_as_whiteouts: true,
            ..Options::default()
        }
    }

    pub fn mount(&self, io: IoMode) -> Served {
        Served::new(self.options(io), &self.path("merged"))
    }
}

/// Gives this test mounts of its own: others that start containers meanwhile would hold copies of them.
fn isolate() {
    use rustix::mount::MountPropagationFlags as Flags;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    rustix::mount::mount_change("/", Flags::REC | Flags::PRIVATE).unwrap();
}

/// A mount, taken down when dropped.
pub struct Served {
    target: PathBuf,
    unmounted: Unmounted,
    pub union: Arc<Union>,
}

impl Served {
    pub fn new(options: Options, target: &Path) -> Self {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let read_only = options.upper.is_none();
        let union = Arc::new(Union::open(options).unwrap());
        let wanted = MountOptions { source: "test".to_owned(), read_only, ..MountOptions::default() };
        let (device, _) = mount(target, &wanted).unwrap();
        let session = Session::new(device, Arc::clone(&union)).unwrap();
        union.start_trimming();
        let unmounted = session.start().unwrap();
        Self { target: target.to_owned(), unmounted, union }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Lazily, for a test that fails with a file open; one that succeeds has closed them.
        if unmount(&self.target, false).is_err() {
            unmount(&self.target, true).unwrap();
            return;
        }
        self.unmounted.wait();
    }
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
