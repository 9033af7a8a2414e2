//! What is done on a mount, and how long it may take.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::contender::{Contender, Mounted};
use crate::tree::Tree;

/// A row of the table.
pub struct Row {
    pub name: &'static str,
    pub limits: Limits,
}

/// Ratios to the kernel's overlayfs that are not to be passed, as root and without privilege.
pub struct Limits {
    as_root: Option<f64>,
    without: Option<f64>,
}

const fn row(name: &'static str, as_root: Option<f64>, without: Option<f64>) -> Row {
    Row { name, limits: Limits { as_root, without } }
}

/// In the order in which [`measure`] does them.
pub const ROWS: [Row; 14] = [
    row("find, names only, fresh mount", None, None),
    row("find with sizes, fresh mount", Some(1.4), Some(1.4)),
    row("walk and stat, warm", Some(0.8), Some(0.8)),
    row("open and read all, repeated", None, Some(0.8)),
    row("tar, fresh mount", Some(3.5), Some(3.5)),
    row("lstat in random order, first time", Some(4.5), Some(4.5)),
    row("create files of 1 KiB", Some(2.0), Some(2.0)),
    row("unlink them", Some(3.5), Some(3.5)),
    row("rm -rf of a lower tree", Some(2.5), Some(2.5)),
    row("write, 4 KiB at a time", Some(1.1), Some(1.5)),
    row("write, 1 MiB at a time", Some(1.0), None),
    row("read what was written, 1 MiB at a time", Some(1.0), None),
    row("read what was written, 4 KiB at a time", None, None),
    row("append a byte to 1,000 lower files", None, None),
];

impl Limits {
    pub fn shown(&self) -> String {
        match (self.as_root, self.without) {
            (Some(one), Some(other)) if (one - other).abs() > f64::EPSILON => format!("{one:.1}, {other:.1}"),
            (Some(one), Some(_)) => format!("{one:.1}"),
            (Some(one), None) => format!("{one:.1} as root"),
            (None, Some(other)) => format!("{other:.1} without"),
            (None, None) => String::new(),
        }
    }

    /// `ratios` are those of fuse-union as root and without privilege, then the peers'.
    pub fn verdict(&self, ratios: &[f64]) -> &'static str {
        let within = |limit: Option<f64>, ratio: f64| limit.is_none_or(|limit| ratio <= limit);
        let best = ratios[0].min(ratios[1]);
        match () {
            () if !within(self.as_root, ratios[0]) || !within(self.without, ratios[1]) => "over",
            () if ratios[2..].iter().any(|peer| *peer < best) => "a peer is faster",
            () if self.as_root.is_none() && self.without.is_none() => "",
            () => "within",
        }
    }
}

/// Does all rows on a contender, in the folder of a new run.
pub fn measure(contender: &Contender, tree: &Tree, run: &str) -> Vec<Duration> {
    let run = tree.runs.join(run);
    let mut times = Vec::new();
    {
        let mounted = contender.mount(tree, &run);
        times.push(timed(|| quiet(Command::new("find").arg(&mounted.target))));
    }
    {
        let mounted = contender.mount(tree, &run);
        let walk = || quiet(Command::new("find").arg(&mounted.target).args(["-printf", "%s %T@\\n"]));
        times.push(timed(walk));
        walk();
        times.push(timed(walk));
        // Reading changes the time of access, which is asked for once more before the next reading.
        (0..2).for_each(|_| read_all(tree, &mounted));
        times.push(timed(|| read_all(tree, &mounted)));
    }
    {
        let mounted = contender.mount(tree, &run);
        times.push(timed(|| archive(&mounted.target)));
    }
    {
        let mounted = contender.mount(tree, &run);
        times.push(timed(|| stat_all(tree, &mounted)));
    }
    // What the rows before left to be written must not be written during the next ones.
    rustix::fs::sync();
    {
        let mounted = contender.mount(tree, &run);
        times.push(timed(|| create(tree, &mounted)));
        times.push(timed(|| unlink(tree, &mounted)));
        times.push(timed(|| quiet(Command::new("rm").arg("-rf").arg(mounted.target.join("tree")))));
    }
    rustix::fs::sync();
    {
        let mounted = contender.mount(tree, &run);
        times.push(write(tree, &mounted, 4 << 10));
        times.push(write(tree, &mounted, 1 << 20));
        read(&mounted, 1 << 20);
        times.push(timed(|| read(&mounted, 1 << 20)));
        times.push(timed(|| read(&mounted, 4 << 10)));
        fs::remove_file(mounted.target.join("large")).unwrap();
    }
    {
        let again = tree.runs.join(format!("{}-again", run.file_name().unwrap().display()));
        let mounted = contender.mount(tree, &again);
        times.push(timed(|| append(tree, &mounted)));
    }
    rustix::fs::sync();
    times
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

fn quiet(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// tar does not read files that it would write to `/dev/null`.
fn archive(target: &Path) {
    quiet(Command::new("sh").args(["-c", "tar -cf - . | cat"]).current_dir(target));
}

fn read_all(tree: &Tree, mounted: &Mounted) {
    let mut content = Vec::with_capacity(8192);
    for path in &tree.shuffled {
        content.clear();
        File::open(mounted.target.join(path)).unwrap().read_to_end(&mut content).unwrap();
        assert!(content.len() >= 512);
    }
}

fn stat_all(tree: &Tree, mounted: &Mounted) {
    for path in &tree.shuffled {
        fs::symlink_metadata(mounted.target.join(path)).unwrap();
    }
}

fn create(tree: &Tree, mounted: &Mounted) {
    let folder = mounted.target.join("made");
    fs::create_dir(&folder).unwrap();
    for number in 0..tree.size.made {
        fs::write(folder.join(number.to_string()), [b'y'; 1024]).unwrap();
    }
}

fn unlink(tree: &Tree, mounted: &Mounted) {
    for number in 0..tree.size.made {
        fs::remove_file(mounted.target.join("made").join(number.to_string())).unwrap();
    }
}

/// Writes a new file in pieces; it is made before the time begins.
fn write(tree: &Tree, mounted: &Mounted, piece: usize) -> Duration {
    let path = mounted.target.join("large");
    let mut file = File::create(&path).unwrap();
    let bytes = vec![b'z'; piece];
    timed(|| {
        for _ in 0..tree.size.bytes / piece {
            file.write_all(&bytes).unwrap();
        }
        drop(file);
    })
}

fn read(mounted: &Mounted, piece: usize) {
    let mut file = File::open(mounted.target.join("large")).unwrap();
    let mut bytes = vec![0_u8; piece];
    while file.read(&mut bytes).unwrap() > 0 {}
}

fn append(tree: &Tree, mounted: &Mounted) {
    for path in tree.shuffled.iter().take(1000) {
        let mut file = File::options().append(true).open(mounted.target.join(path)).unwrap();
        file.write_all(b"z").unwrap();
    }
}
