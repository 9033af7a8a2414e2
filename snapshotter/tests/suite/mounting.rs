//! Mounts made as containerd makes them: `mount(2)` with the options that came back, which is one page at most; for types of `fuse3.` the
//! program `mount.fuse3`. Where the lower folders
//! of an overlay do not fit, they are named from the folder that all have in common (containerd's core/mount/mount_linux.go).

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use plywood_snapshotter::proto::types::Mount;

/// A page, less what the kernel keeps of it.
const PAGE: usize = 4095;

#[must_use]
pub struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

/// Mounts what came back at the folder.
pub fn mount_all(mounts: &[Mount], target: impl AsRef<Path>) -> Mounted {
    let target = target.as_ref();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    let one = mounts[0].clone();
    assert_eq!(one.target, "");
    let folder = target.to_owned();
    // The working folder is the thread's own.
    std::thread::spawn(move || mount_one(&one, &folder)).join().unwrap();
    Mounted(target.to_owned())
}

fn mount_one(one: &Mount, target: &Path) {
    if let Some(program) = one.r#type.strip_prefix("fuse3.") {
        let mut helper = Command::new("mount.fuse3");
        helper.arg(&one.source).arg(target);
        helper.args(one.options.iter().flat_map(|option| ["-o", option]));
        let output = helper.args(["-t", program]).output().unwrap();
        assert!(output.status.success(), "{one:?}: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let (mut flags, mut data) = (MsFlags::empty(), Vec::new());
    for option in &one.options {
        match option.as_str() {
            "ro" => flags |= MsFlags::MS_RDONLY,
            "rw" => {}
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            _ => data.push(option.clone()),
        }
    }
    if data.iter().map(|option| option.len() + 1).sum::<usize>() > PAGE {
        unshare(CloneFlags::CLONE_FS).unwrap();
        compact(&mut data);
    }
    let data = data.join(",");
    assert!(data.len() <= PAGE, "{} bytes of options", data.len());
    let (source, kind) = (one.source.as_str(), one.r#type.as_str());
    mount(Some(source), target, Some(kind), flags, Some(data.as_str()))
        .unwrap_or_else(|error| panic!("{error}: {one:?}"));
    if flags.contains(MsFlags::MS_BIND | MsFlags::MS_RDONLY) {
        let again = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, target, None::<&str>, again, None::<&str>).unwrap();
    }
}

/// Names the lower folders from the folder that is common to all of them, and goes there.
fn compact(data: &mut [String]) {
    let option = data.iter_mut().find(|option| option.starts_with("lowerdir=")).unwrap();
    let folders: Vec<&str> = option["lowerdir=".len()..].split(':').collect();
    let common = folders.iter().skip(1).fold(folders[0].len(), |length, folder| {
        let same = folder.bytes().zip(folders[0].bytes()).take_while(|(one, other)| one == other).count();
        length.min(same)
    });
    let common = &folders[0][..=folders[0][..common].rfind('/').unwrap()];
    std::env::set_current_dir(common).unwrap();
    let short: Vec<&str> = folders.iter().map(|folder| &folder[common.len()..]).collect();
    *option = format!("lowerdir={}", short.join(":"));
}
