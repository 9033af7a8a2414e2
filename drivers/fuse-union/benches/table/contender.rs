//! What is measured: mounts of the same layers by different file systems.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use crate::tree::Tree;

pub struct Contender {
    pub name: String,
    kind: Kind,
}

pub enum Kind {
    /// The kernel's overlayfs.
    Kernel,
    FuseUnion {
        io: &'static str,
    },
    /// A program with the options of fuse-overlayfs.
    Peer {
        command: Vec<String>,
    },
}

/// A mount, taken down when dropped, with the server ended.
pub struct Mounted {
    pub target: PathBuf,
}

/// Mounts that end with this process.
pub fn take_own_mounts() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
}

impl Contender {
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind }
    }

    /// Mounts the tree's layers below the folders of one run, which keeps its upper folder from one mount to the next.
    pub fn mount(&self, tree: &Tree, run: &Path) -> Mounted {
        for name in ["upper", "work", "merged"] {
            fs::create_dir_all(run.join(name)).unwrap();
        }
        let lower: Vec<String> = tree.lower.iter().map(|lower| lower.display().to_string()).collect();
        let path = |name: &str| run.join(name).display().to_string();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), path("upper"), path("work"));
        let target = run.join("merged");
        match &self.kind {
            Kind::Kernel => {
                let data = CString::new(options).unwrap();
                mount("overlay", &target, "overlay", MountFlags::empty(), Some(data.as_c_str())).unwrap();
            }
            Kind::FuseUnion { io } => {
                serve(
                    Command::new(env!("CARGO_BIN_EXE_fuse-union"))
                        .arg("-o")
                        .arg(format!("{options},io={io}")),
                    &target,
                );
            }
            Kind::Peer { command } => {
                serve(Command::new(&command[0]).args(&command[1..]).arg("-o").arg(options), &target);
            }
        }
        Mounted { target }
    }
}

fn serve(command: &mut Command, target: &Path) {
    let status = command.arg(target).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.target, UnmountFlags::empty()).unwrap();
    }
}
