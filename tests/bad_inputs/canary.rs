//! Trees outside the store that no layer may touch.
//!
//! One folder holds the driver's folder `dest` and, next to it, `dest-evil`, whose path has the driver's as a prefix, and
//! `outside`; another folder is reached by absolute paths only. Content, mode, owner, attributes, times of change and of
//! status change are compared, and that nothing came or went.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use plywood_sys::identity::Privilege;
use rustix::fs::{XattrFlags, lsetxattr};
use tempfile::TempDir;

use crate::look::{Look, Tree};

/// The driver's folder.
pub const DRIVER: &str = "dest";

pub struct Canary {
    top: TempDir,
    far: TempDir,
    before: Option<Snapshot>,
}

#[derive(PartialEq)]
struct Snapshot {
    top: Look,
    outside: Tree,
    evil: Tree,
    far: Tree,
}

impl Canary {
    /// Makes the trees, as rich as the caller's privilege allows.
    pub fn new() -> Self {
        let (top, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fill(&top.path().join("outside"));
        fill(&far.path().join("tree"));
        fs::create_dir(top.path().join("dest-evil")).unwrap();
        fs::write(top.path().join("dest-evil/secret"), "secret").unwrap();
        Self { top, far, before: None }
    }

    /// Remembers how everything is: after the driver's folder was made, and before any layer.
    pub fn remember(&mut self) {
        self.before = Some(self.snapshot());
    }

    /// Where the driver's folder is to be.
    pub fn driver_folder(&self) -> PathBuf {
        self.top.path().join(DRIVER)
    }

    /// The canary next to the driver's folder, as an absolute path for links.
    pub fn outside(&self) -> String {
        self.top.path().join("outside").to_str().unwrap().to_owned()
    }

    /// The canary elsewhere, as an absolute path for links.
    pub fn far(&self) -> String {
        self.far.path().join("tree").to_str().unwrap().to_owned()
    }

    /// Compares everything with what was there before.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        let before = self.before.as_ref().expect("remember() was called");
        let now = self.snapshot();
        assert_eq!(before.top, now.top, "the folder around the driver's");
        for (was, is) in [(&before.outside, &now.outside), (&before.evil, &now.evil), (&before.far, &now.far)]
        {
            for (path, look) in &was.0 {
                assert_eq!(Some(look), is.0.get(path), "the canary at {path:?} changed");
            }
            assert_eq!(was.paths(), is.paths(), "something was added to a canary");
        }
        let beside: BTreeSet<_> = list(self.top.path()).collect();
        assert_eq!(
            beside,
            [DRIVER, "dest-evil", "outside"].map(str::to_owned).into(),
            "beside the driver's folder"
        );
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            top: Look::at(self.top.path()),
            outside: Tree::of(&self.top.path().join("outside")),
            evil: Tree::of(&self.top.path().join("dest-evil")),
            far: Tree::of(self.far.path()),
        }
    }
}

/// The names in a folder.
pub fn list(folder: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
}

fn fill(root: &Path) {
    fs::create_dir_all(root.join("folder")).unwrap();
    fs::write(root.join("file"), "canary").unwrap();
    fs::write(root.join("folder/inner"), "inner canary").unwrap();
    fs::write(root.join("set-user-id"), "#!").unwrap();
    symlink("file", root.join("link")).unwrap();
    // Root of a user namespace has neither other owners nor attributes of the machine.
    if Privilege::probe().unwrap() == Privilege::Root {
        chown(root.join("file"), Some(4321), Some(1234)).unwrap();
        lsetxattr(root.join("file"), "trusted.canary", b"alive", XattrFlags::empty()).unwrap();
        lsetxattr(root.join("folder"), "trusted.canary", b"alive", XattrFlags::empty()).unwrap();
    }
    for (path, mode) in [("file", 0o640), ("set-user-id", 0o4711), ("folder", 0o2751), ("", 0o1751)] {
        fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
    }
    // Not every file system has them (tmpfs before Linux 6.6).
    if let Err(error) = lsetxattr(root.join("file"), "user.canary", b"alive", XattrFlags::empty()) {
        assert_eq!(error, rustix::io::Errno::OPNOTSUPP);
    }
}

mod tests {
    use super::*;

    /// Every sort of change that a layer could make, done by hand.
    #[test]
    fn every_change_is_noticed() {
        type Tamper = fn(&Path);
        let cases: [(&str, Tamper); 9] = [
            ("content", |top| fs::write(top.join("outside/file"), "CANARY").unwrap()),
            ("mode", |top| fs::set_permissions(top.join("outside"), Permissions::from_mode(0o700)).unwrap()),
            ("a mode and back", |top| {
                fs::set_permissions(top.join("outside/file"), Permissions::from_mode(0o600)).unwrap();
                fs::set_permissions(top.join("outside/file"), Permissions::from_mode(0o640)).unwrap();
            }),
            ("attribute", |top| {
                lsetxattr(top.join("outside/file"), "user.new", b"x", XattrFlags::empty()).unwrap();
            }),
            ("added", |top| fs::write(top.join("outside/folder/new"), "").unwrap()),
            ("removed", |top| fs::remove_file(top.join("outside/link")).unwrap()),
            ("a further name", |top| {
                fs::hard_link(top.join("dest-evil/secret"), top.join("dest/h")).unwrap();
            }),
            ("sibling", |top| fs::write(top.join("dest-evil/secret"), "public").unwrap()),
            ("beside", |top| fs::create_dir(top.join("dest-evil2")).unwrap()),
        ];
        for (name, tamper) in cases {
            let mut canary = Canary::new();
            fs::create_dir(canary.driver_folder()).unwrap();
            // Before Linux 6.13 a change within the same tick of the clock, of 10 ms at most, has the same time.
            std::thread::sleep(std::time::Duration::from_millis(30));
            canary.remember();
            canary.assert_unchanged();
            tamper(canary.top.path());
            let noticed =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| canary.assert_unchanged()));
            assert!(noticed.is_err(), "{name} went unnoticed");
        }
    }
}
