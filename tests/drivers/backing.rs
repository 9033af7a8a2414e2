//! File systems below: those that help, and those that will not do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plywood_graphdriver::{Access, ErrorKind, GraphDriver, LayerRef};
use plywood_overlay2::Overlay2;
use plywood_sys::identity::Privilege;
use plywood_sys::mount::{self, Overlay};
use plywood_vfs::Vfs;

use crate::bench::Bench;

/// A mount that is gone when the case ends, however it ends.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        mount::detach_lazily(&self.0).unwrap();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A file system of its own in a file, mounted by a loop device that goes with the mount.
fn file_system(folder: &Path, mkfs: &[&str]) -> Mounted {
    let (image, target) = (folder.join("image"), folder.join("target"));
    fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
    fs::create_dir(&target).unwrap();
    let mut arguments = mkfs[1..].to_vec();
    arguments.push(image.to_str().unwrap());
    run(mkfs[0], &arguments);
    run("mount", &["-o", "loop", image.to_str().unwrap(), target.to_str().unwrap()]);
    Mounted(target)
}

#[test]
fn overlay2_refuses_overlayfs_below_it_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let overlay = Overlay {
        lower: vec![folder.path().join("lower")],
        upper: Some((folder.path().join("upper"), folder.path().join("work"))),
        ..Overlay::default()
    };
    let merged = folder.path().join("merged");
    mount::attach(mount::overlay(&overlay).unwrap(), &merged).unwrap();
    let _mounted = Mounted(merged.clone());
    let home = merged.join("overlay2");
    let error = Overlay2::open(&home, Privilege::probe().unwrap()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    let reason = error.source.to_string();
    for part in ["overlayfs", "--driver vfs", "ext4, xfs or btrfs"] {
        assert!(reason.contains(part), "{reason}");
    }
    let left: Vec<_> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["empty"], "the probe cleans up");
}

#[test]
fn both_drivers_work_on_xfs_and_vfs_shares_what_it_copies_there() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = file_system(folder.path(), &["mkfs.xfs", "-q", "-m", "reflink=1"]);
    let privilege = Privilege::probe().unwrap();
    Overlay2::open(&mounted.0.join("overlay2"), privilege).unwrap();

    let vfs = Vfs::open(&mounted.0.join("vfs"), privilege).unwrap();
    let mut bench = Bench::new("vfs");
    let (base, child) = (bench.new_id(), bench.new_id());
    vfs.snapshot(LayerRef::new(&base, &[]), Access::ReadWrite).unwrap();
    let large = mounted.0.join(format!("vfs/{base}/root/large"));
    fs::write(&large, vec![7_u8; 64 << 20]).unwrap();
    fs::File::open(&large).unwrap().sync_all().unwrap();
    vfs.seal(LayerRef::new(&base, &[]), None).unwrap();
    let free = || {
        let stat = rustix::fs::statvfs(&mounted.0).unwrap();
        stat.f_bfree * stat.f_frsize
    };
    let before = free();
    vfs.snapshot(LayerRef::new(&child, std::slice::from_ref(&base)), Access::ReadWrite).unwrap();
    assert_eq!(fs::read(mounted.0.join(format!("vfs/{child}/root/large"))).unwrap().len(), 64 << 20);
    let taken = before.saturating_sub(free());
    assert!(taken < 8 << 20, "a copy of 64 MiB took {taken} bytes");
}
