//! File systems below the driver: those that help, and those that will not do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plywood_graphdriver::{Access, ErrorKind, MountRequest};
use plywood_sys::mount::{self, Overlay};

use crate::bench::Bench;
use crate::case::cases;

cases! {
    "backing";
    on_overlayfs_a_driver_works_or_says_what_to_do: [Mounts, Overlay],
    a_snapshot_shares_its_content_where_the_file_system_can: [Mounts, Xfs],
}

/// A mount that is gone when the case ends, however it ends.
pub(super) struct Attached(PathBuf);

impl Attached {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        mount::detach_lazily(&self.0).unwrap();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A file system of its own in a file, mounted by a loop device that goes with the mount.
pub(super) fn file_system(bench: &Bench, mkfs: &[&str]) -> Attached {
    let image = bench.folder().join("image");
    let target = bench.place("file-system");
    fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
    let mut arguments = mkfs[1..].to_vec();
    arguments.push(image.to_str().unwrap());
    run(mkfs[0], &arguments);
    run("mount", &["-o", "loop", image.to_str().unwrap(), target.to_str().unwrap()]);
    Attached(target)
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// No overlay stands on an overlay that is written to; other drivers may not care.
fn on_overlayfs_a_driver_works_or_says_what_to_do(bench: &mut Bench) {
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| bench.place(name));
    let overlay = Overlay { lower: vec![lower], upper: Some((upper, work)), ..Overlay::default() };
    mount::attach(mount::overlay(&overlay).unwrap(), &merged).unwrap();
    let _attached = Attached(merged.clone());
    let home = merged.join("home");
    match bench.open_at(&home) {
        Ok(driver) => {
            let layer = bench.new_layer();
            driver.snapshot(layer.as_ref(), Access::ReadWrite).unwrap();
            let target = bench.place("here");
            let mounted = driver.mount(layer.as_ref(), &MountRequest::read_write(), &target).unwrap();
            fs::write(target.join("f"), "x").unwrap();
            mounted.unmount().unwrap();
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Unsupported);
            let reason = error.source.to_string();
            for part in ["overlayfs", "--driver vfs", "ext4, xfs or btrfs"] {
                assert!(reason.contains(part), "{reason}");
            }
            let left = names(&home);
            assert!(bench.open_at(&home).is_err());
            assert_eq!(names(&home), left, "the probe cleans up");
            assert!(left.len() <= 1, "{left:?}");
        }
    }
}

fn a_snapshot_shares_its_content_where_the_file_system_can(bench: &mut Bench) {
    let attached = file_system(bench, &["mkfs.xfs", "-q", "-m", "reflink=1"]);
    let driver = bench.open_at(&attached.0.join("home")).unwrap();
    let base = bench.new_layer();
    driver.snapshot(base.as_ref(), Access::ReadWrite).unwrap();
    let target = bench.place("here");
    let mounted = driver.mount(base.as_ref(), &MountRequest::read_write(), &target).unwrap();
    fs::write(target.join("large"), vec![7_u8; 64 << 20]).unwrap();
    fs::File::open(target.join("large")).unwrap().sync_all().unwrap();
    mounted.unmount().unwrap();
    driver.seal(base.as_ref(), None).unwrap();
    let free = || {
        let stat = rustix::fs::statvfs(&attached.0).unwrap();
        stat.f_bfree * stat.f_frsize
    };
    let before = free();
    bench.chain.push(base.id);
    let child = bench.new_layer();
    driver.snapshot(child.as_ref(), Access::ReadWrite).unwrap();
    let mounted = driver.mount(child.as_ref(), &MountRequest::inspection(), &target).unwrap();
    assert_eq!(fs::metadata(target.join("large")).unwrap().len(), 64 << 20);
    let taken = before.saturating_sub(free());
    mounted.unmount().unwrap();
    assert!(taken < 8 << 20, "a snapshot of 64 MiB took {taken} bytes");
}
