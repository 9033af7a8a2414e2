//! The program, stores for it, and the tools that know nothing of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder for a test's stores and images.
pub struct World {
    folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        crate::programs::build();
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program on the store `store` with a driver.
    pub fn plywood(&self, store: &str, driver: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plywood"));
        command.arg("--root").arg(self.path(store)).args(["--driver", driver]);
        command
    }

    /// Runs the program, which must succeed, and answers what it printed.
    pub fn run<I: AsRef<OsStr>>(
        &self,
        store: &str,
        driver: &str,
        arguments: impl IntoIterator<Item = I>,
    ) -> String {
        succeed(self.plywood(store, driver).args(arguments))
    }

    /// Mounts an image or container and lists its tree by the independent tool.
    pub fn tree_of(&self, store: &str, driver: &str, name: &str) -> String {
        let target = self.path("tree");
        std::fs::create_dir_all(&target).unwrap();
        self.run(store, driver, [OsStr::new("mount"), OsStr::new(name), target.as_os_str()]);
        let listed = list_tree(&target);
        self.run(store, driver, [OsStr::new("umount"), target.as_os_str()]);
        listed
    }
}

/// Runs one of tests/tools, which must succeed.
pub fn tool<I: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = I>) -> String {
    succeed(
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(name)).args(arguments),
    )
}

pub fn list_tree(folder: &Path) -> String {
    tool("list-tree", [folder])
}

/// Runs a command, which must succeed, and answers its standard output.
pub fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    assert!(status.success(), "{command:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// The first line in which two lists differ, for messages that can be read.
pub fn first_difference(one: &str, other: &str) -> Option<String> {
    let (mut ones, mut others) = (one.lines(), other.lines());
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return None,
            (one, other) if one != other => return Some(format!("{one:?}\n{other:?}")),
            _ => {}
        }
    }
}
