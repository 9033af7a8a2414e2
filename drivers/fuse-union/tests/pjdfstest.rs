//! The POSIX file system tests of pjdfstest (crates.io), on a mount in every mode of I/O, and as many of them as on the kernel's overlayfs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking, and runs programs"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

/// What the tests may expect, and two users of Debian's whose own groups they are in.
const SETTINGS: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.03
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

/// How the names of tests end that make a character device 0:0. In a layer that means a whiteout, and overlayfs refuses it as fuse-union does;
/// other devices are made in tests/union/files.rs.
const WHITEOUT: &str = "::char";

/// The program, built once.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/pjdfstest");
        let built =
            Command::new(script).arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("pjdfstest")).output();
        let built = built.unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        PathBuf::from(String::from_utf8(built.stdout).unwrap().trim_end())
    })
}

struct Layers(tempfile::TempDir);

impl Layers {
    fn new() -> Self {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
        let folder = tempfile::Builder::new().prefix("pjdfstest-").tempdir().unwrap();
        for name in ["lower", "upper", "work", "merged", "other"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        // Ordinary users must get to the mount.
        let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(folder.path(), open).unwrap();
        fs::write(folder.path().join("settings"), SETTINGS).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        format!("lowerdir={},upperdir={},workdir={}", path("lower"), path("upper"), path("work"))
    }

    /// Runs the tests at `merged`; answers how many passed, and what the failed ones said.
    fn run(&self) -> (usize, String) {
        let other = self.path("other");
        mount("other", &other, "tmpfs", MountFlags::empty(), None).unwrap();
        let output = Command::new(program())
            .arg("--configuration-file")
            .arg(self.path("settings"))
            .arg("--secondary-fs")
            .arg(&other)
            .arg("--path")
            .arg(self.path("merged"))
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        unmount(&other, UnmountFlags::empty()).unwrap();
        unmount(self.path("merged"), UnmountFlags::empty()).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let passed = said.lines().filter(|line| line.ends_with(" ok")).count();
        assert!(said.contains("Summary"), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let mut failed = String::new();
        let mut of_failed = false;
        for line in said.lines() {
            if !line.starts_with('\t') {
                let (name, outcome) = line.split_once(' ').unwrap_or_default();
                of_failed = outcome.ends_with("FAILED") && !name.ends_with(WHITEOUT);
            }
            if of_failed {
                failed += line;
                failed.push('\n');
            }
        }
        (passed, failed)
    }
}

fn on_fuse_union(io: &str) {
    let layers = Layers::new();
    let options = format!("{},io={io}", layers.options());
    let served = Command::new(env!("CARGO_BIN_EXE_fuse-union"))
        .args(["-o", &options])
        .arg(layers.path("merged"))
        .output()
        .unwrap();
    assert!(served.status.success(), "{}", String::from_utf8_lossy(&served.stderr));
    let (passed, failed) = layers.run();
    assert!(failed.is_empty(), "io={io}:\n{failed}");
    assert_eq!(passed, on_overlay(), "tests were left out that run on the kernel's overlayfs");
}

/// How many pass on the kernel's overlayfs, where none fails.
fn on_overlay() -> usize {
    static PASSED: OnceLock<usize> = OnceLock::new();
    *PASSED.get_or_init(|| {
        let layers = Layers::new();
        let data = std::ffi::CString::new(layers.options()).unwrap();
        mount("overlay", layers.path("merged"), "overlay", MountFlags::empty(), Some(data.as_c_str()))
            .unwrap();
        let (passed, failed) = layers.run();
        assert!(failed.is_empty(), "on the kernel's overlayfs:\n{failed}");
        assert!(passed > 200, "only {passed} tests were run");
        passed
    })
}

#[test]
fn with_passthrough() {
    on_fuse_union("passthrough");
}

#[test]
fn without_opening() {
    on_fuse_union("noopen");
}

#[test]
fn with_a_cache() {
    on_fuse_union("cached");
}
