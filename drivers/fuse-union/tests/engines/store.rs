//! A store of containers/storage of its own, and the programs on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::apart::USER;

/// Who runs the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Root,
    User,
}

/// What mounts the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounter {
    /// The kernel's overlayfs.
    Kernel,
    FuseUnion,
}

pub struct Store {
    pub who: Who,
    pub mounter: Mounter,
    folder: PathBuf,
}

/// Debian's own defaults suit a machine with systemd and cgroups v2; these suit any.
const CONTAINERS: &str = "\
[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]
[engine]
runtime = \"runc\"
cgroup_manager = \"cgroupfs\"
events_logger = \"file\"
";

impl Store {
    /// A store in a folder, which is made.
    pub fn new(folder: PathBuf, who: Who, mounter: Mounter) -> Self {
        for below in ["home", "run", "run/user"] {
            fs::create_dir_all(folder.join(below)).unwrap();
        }
        fs::write(folder.join("containers.conf"), CONTAINERS).unwrap();
        let program = match mounter {
            Mounter::Kernel => String::new(),
            Mounter::FuseUnion => {
                let program = env!("CARGO_BIN_EXE_fuse-union");
                format!("[storage.options.overlay]\nmount_program = \"{program}\"\n")
            }
        };
        let shown = folder.display();
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{shown}/graph\"\nrunroot = \"{shown}/run/storage\"\n\
             rootless_storage_path = \"{shown}/graph\"\n{program}"
        );
        fs::write(folder.join("storage.conf"), storage).unwrap();
        fs::write(folder.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)
            .unwrap();
        if who == Who::User {
            for path in [folder.clone(), folder.join("home"), folder.join("run"), folder.join("run/user")] {
                std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
            }
        }
        Self { who, mounter, folder }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.join(below)
    }

    /// One of the programs, as the one who uses the store.
    pub fn command(&self, program: &str) -> Command {
        let mut command = match self.who {
            Who::Root => Command::new(program),
            Who::User => {
                let mut command = Command::new("setpriv");
                let id = format!("--reuid={USER}");
                command.args([&id, &format!("--regid={USER}"), "--clear-groups", program]);
                command
            }
        };
        command
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run/user"))
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"))
            .env("TMPDIR", "/var/tmp")
            .current_dir("/")
            .stdin(Stdio::null());
        if program == "podman" && self.who == Who::Root {
            command.arg("--tmpdir").arg(self.path("run/libpod"));
        }
        command
    }

    /// Runs a program, which must succeed, and answers what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(program).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&stderr);
        assert!(
            status.success(),
            "{:?} {:?}: {program} {arguments:?}: {status}: {said}",
            self.who,
            self.mounter
        );
        String::from_utf8(stdout).unwrap()
    }

    pub fn podman(&self, arguments: &[&str]) -> String {
        self.run("podman", arguments)
    }

    pub fn buildah(&self, arguments: &[&str]) -> String {
        self.run("buildah", arguments)
    }

    /// The servers whose mounts are in this store.
    pub fn servers(&self) -> usize {
        let own = self.folder.display().to_string();
        let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let line = fs::read(entry.unwrap().path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).into_owned())
        });
        lines.filter(|line| line.contains("fuse-union\0") && line.contains(&own)).count()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Ends the process that keeps an ordinary user's namespaces.
        let ended = self.command("podman").args(["system", "migrate"]).output().unwrap();
        if !std::thread::panicking() {
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        let kept = self.path("run/user/libpod/tmp/pause.pid");
        assert!(!kept.exists() || std::thread::panicking(), "{} is still there", kept.display());
    }
}

/// The entries of a tar, without times: what a container did just now has other ones each time.
pub fn entries(tar: &Path) -> Vec<String> {
    let output = Command::new("python3").arg("-c").arg(LIST).arg(tar).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

const LIST: &str = "\
import hashlib, sys, tarfile
entries = []
with tarfile.open(sys.argv[1]) as tar:
    for one in tar:
        content = hashlib.sha256(tar.extractfile(one).read()).hexdigest()[:16] if one.isreg() else '-'
        entries.append((one.name.strip('/.') or '.', one.type.decode(), oct(one.mode), one.uid, one.gid, one.size, one.linkname.lstrip('/.'),
                        content))
print(*sorted(entries), sep='\\n')
";
