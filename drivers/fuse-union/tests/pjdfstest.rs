//! The POSIX file system tests of pjdfstest (crates.io), on a mount in every mode of I/O, and as many of them as on the kernel's overlayfs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking, and runs programs"
)]

use std::collections::BTreeMap;
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

    /// Runs the tests at `merged`.
    fn run(&self) -> Outcome {
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
        assert!(said.contains("Summary"), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let (mut passed, mut failed) = (Vec::new(), BTreeMap::<String, String>::new());
        let mut of_failed = None;
        for line in said.lines() {
            if !line.starts_with('\t') {
                let (name, outcome) = line.split_once(' ').unwrap_or_default();
                passed.extend(outcome.ends_with("ok").then(|| name.to_owned()));
                of_failed = outcome.ends_with("FAILED").then(|| name.to_owned());
            }
            if let Some(name) = &of_failed {
                failed.entry(name.clone()).or_default().extend([line, "\n"]);
            }
        }
        passed.sort();
        Outcome { passed, failed }
    }
}

/// Tests by name.
struct Outcome {
    passed: Vec<String>,
    /// What they said.
    failed: BTreeMap<String, String>,
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
    let outcome = layers.run();
    let kernel = on_overlay();
    let worse = outcome.failed.iter().filter(|(name, _)| !kernel.failed.contains_key(*name));
    let worse: String = worse.map(|(_, said)| said.as_str()).collect();
    assert!(worse.is_empty(), "io={io}:\n{worse}");
    let left_out: Vec<_> = kernel.passed.iter().filter(|name| !outcome.passed.contains(name)).collect();
    assert!(left_out.is_empty(), "io={io}: run on the kernel's overlayfs, and not here: {left_out:?}");
}

/// On the kernel's overlayfs none fails but those that make a device 0:0.
fn on_overlay() -> &'static Outcome {
    static OUTCOME: OnceLock<Outcome> = OnceLock::new();
    OUTCOME.get_or_init(|| {
        let layers = Layers::new();
        let data = std::ffi::CString::new(layers.options()).unwrap();
        mount("overlay", layers.path("merged"), "overlay", MountFlags::empty(), Some(data.as_c_str()))
            .unwrap();
        let outcome = layers.run();
        let other: Vec<_> = outcome.failed.iter().filter(|(name, _)| !name.ends_with(WHITEOUT)).collect();
        assert!(other.is_empty(), "on the kernel's overlayfs: {other:?}");
        assert!(outcome.passed.len() > 200, "only {} tests were run", outcome.passed.len());
        outcome
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
