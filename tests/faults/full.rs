//! Full disks: whatever cannot be done fails and says so, the store stays as it was, and deleting and collecting still work.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{DRIVERS, World, run, write_into};

/// A small file system of its own.
struct Disk {
    at: PathBuf,
    image: Option<PathBuf>,
}

/// What a disk runs out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacking {
    Space,
    Inodes,
}

const DISKS: [(&str, Lacking); 4] = [
    ("ext4", Lacking::Space),
    ("ext4", Lacking::Inodes),
    ("tmpfs", Lacking::Space),
    ("tmpfs", Lacking::Inodes),
];

impl Disk {
    fn new(kind: &str, lacking: Lacking, elsewhere: &Path) -> Self {
        let at = elsewhere.join("disk");
        fs::create_dir(&at).unwrap();
        if kind == "tmpfs" {
            let options = if lacking == Lacking::Space { "size=24m" } else { "nr_inodes=400" };
            run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at));
            return Self { at, image: None };
        }
        let image = elsewhere.join("disk.image");
        File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let inodes = if lacking == Lacking::Space { "4000" } else { "400" };
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-N", inodes]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
        Self { at, image: Some(image) }
    }

    /// Takes all that is left.
    fn fill(&self, lacking: Lacking, round: usize) {
        let folder = self.at.join(format!("full-{round}"));
        // A folder where there is no inode for one left is not needed any more.
        if fs::create_dir(&folder).is_err() && lacking == Lacking::Inodes {
            return;
        }
        match lacking {
            Lacking::Space => {
                for block in [1 << 20, 64 << 10, 4096, 512] {
                    let path = self.at.join(format!("full-{round}-{block}"));
                    let Ok(mut file) = File::create(path) else { continue };
                    while file.write_all(&vec![7; block]).and_then(|()| file.sync_data()).is_ok() {}
                }
            }
            Lacking::Inodes => {
                let mut number = 0;
                while File::create(folder.join(number.to_string())).is_ok() {
                    number += 1;
                }
            }
        }
    }
}

impl Disk {
    /// Gives back what was taken.
    fn empty(&self) {
        for name in crate::world::names(&self.at).iter().filter(|name| name.starts_with("full-")) {
            let path = self.at.join(name);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.at).status());
        if let Some(image) = &self.image {
            drop(fs::remove_file(image));
        }
    }
}

/// What takes space, and may not be had: commands, and whether they can do without after all.
const COMMANDS: [(&[&str], bool); 6] = [
    (&["pull", "-q", "oci:{layout}:other", "--name", "other"], false),
    (&["create", "base", "--name", "more"], false),
    (&["commit", "work", "made"], false),
    (&["diff", "work", "-o", "{out}"], true),
    (&["tag", "base", "further"], true),
    (&["images", "-q"], true),
];

#[test]
fn a_full_disk_is_told_and_can_be_emptied() {
    let _alone = crate::alone();
    for driver in DRIVERS {
        for (kind, lacking) in DISKS {
            let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
            let disk = Disk::new(kind, lacking, elsewhere.path());
            let source = World::new(driver);
            source.make_layout();
            let mut world = World::below(&disk.at, driver);
            fill_store(&mut world, &source);
            play(&world, &disk, lacking, &source, &format!("{driver} on {kind} without {lacking:?}"));
        }
    }
}

fn fill_store(world: &mut World, source: &World) {
    for name in ["base", "app"] {
        world.ok(&["pull", "-q", &source.source(name), "--name", name]);
    }
    world.ok(&["create", "base", "--name", "work"]);
    write_into(&world.open(), "work", "written", &crate::images::noise(9, 200_000));
}

fn play(world: &World, disk: &Disk, lacking: Lacking, source: &World, what: &str) {
    let before = world.recovered().shape();
    for (round, (command, may_succeed)) in COMMANDS.iter().enumerate() {
        disk.fill(lacking, round);
        let fill = |word: &&str| {
            let layout = source.path("layout");
            word.replace("{layout}", layout.to_str().unwrap())
                .replace("{out}", source.path("out").to_str().unwrap())
        };
        let output = world.command(command.iter().map(fill)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            assert!(*may_succeed, "{what}: {command:?} succeeded");
        } else {
            let tells = said.contains("No space left") || said.contains("disk is full");
            assert!(tells, "{what}: {command:?} does not say that the disk is full: {said}");
        }
        disk.fill(lacking, 100 + round);
        let checked = world.command(["check"]).output().unwrap();
        let said =
            String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{what}: the check after {command:?}: {said}");
        disk.empty();
        if !may_succeed {
            assert_eq!(world.recovered().shape(), before, "{what}: after {command:?}");
        }
    }
    disk.fill(lacking, 1000);
    for command in [&["rm", "work"][..], &["rmi", "app"], &["gc"], &["rmi", "base"]] {
        let output = world.command(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{what}: {command:?}: {said}");
    }
    println!("{what}: told, unchanged, and emptied");
    world.recovered();
}
