//! What a process holds of the machine: mounts, devices, descriptors, children, threads.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long the kernel is given to end what was let go: loop devices and threads go a little later than the call.
const PATIENCE: Duration = Duration::from_secs(2);

/// Everything that a case must leave as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    held: BTreeSet<Held>,
    mounts: Mounts,
}

/// Which mounts are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// All: the process has a mount namespace of its own, and whatever changes there is its doing.
    All,
    /// Those below the case's folder: others come and go by the doing of others.
    BelowTheFolder,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    /// A mount, by the line of mountinfo that tells of it.
    Mount(String),
    /// A loop device whose file is below the case's folder.
    Loop(String),
    /// A device of the device mapper that stands, at some remove, on such a loop device.
    Mapped(String),
    Descriptor(String),
    Child(String),
    Thread(String),
}

impl Census {
    /// Counts what this process holds now; devices are those whose files are below `folder`.
    #[must_use]
    pub fn take(folder: &Path, mounts: Mounts) -> Self {
        let mut held = BTreeSet::new();
        let lines = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let counted = |line: &&str| mounts == Mounts::All || target(line).starts_with(folder);
        held.extend(lines.lines().filter(counted).map(|line| Held::Mount(line.to_owned())));
        let loops = loops(folder);
        held.extend(mapped(&loops).into_iter().map(Held::Mapped));
        held.extend(loops.into_iter().map(|(name, file)| Held::Loop(format!("{name} on {file}"))));
        held.extend(descriptors().into_iter().map(Held::Descriptor));
        held.extend(children().into_iter().map(Held::Child));
        held.extend(entries("/proc/self/task").into_iter().map(|path| Held::Thread(file_name(&path))));
        Self { held, mounts }
    }

    /// Counts again until it is as before, for two seconds at most, and tells the differences: empty when all is as it was.
    #[must_use]
    pub fn differences(&self, folder: &Path) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let now = Self::take(folder, self.mounts);
            let differences = self.differences_to(&now);
            if differences.is_empty() {
                return differences;
            }
            if begun.elapsed() > PATIENCE {
                return differences;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Ends what a case left behind, as well as that can be done: the machine is not to pay for a driver's fault.
pub(crate) fn clear(folder: &Path) {
    let mounts = plywood_sys::mountinfo::read().unwrap();
    for mount in mounts.iter().rev().filter(|mount| mount.target.starts_with(folder)) {
        drop(plywood_sys::mount::detach_lazily(&mount.target));
    }
    for (name, _) in loops(folder) {
        drop(Command::new("losetup").arg("-d").arg(Path::new("/dev").join(name)).status());
    }
    for child in children() {
        let number = child.split(' ').next().and_then(|number| number.parse().ok());
        if let Some(process) = number.and_then(Pid::from_raw) {
            // One that ended meanwhile is gone as well.
            rustix::process::kill_process(process, Signal::KILL).unwrap_or(());
        }
    }
}

impl Census {
    fn differences_to(&self, now: &Self) -> Vec<String> {
        let left = now.held.difference(&self.held).map(|held| format!("left behind: {held}"));
        let gone = self.held.difference(&now.held).filter(|held| !held.went_with_its_target());
        left.chain(gone.map(|held| format!("gone: {held}"))).collect()
    }
}

impl Held {
    /// Another process that removes a folder takes down what is mounted there in every namespace (Linux 3.18): no doing of the case.
    fn went_with_its_target(&self) -> bool {
        matches!(self, Self::Mount(line) if !target(line).exists())
    }
}

/// Where a line of mountinfo says that something is mounted; it is not unescaped, and temporary folders need none of that.
fn target(line: &str) -> &Path {
    Path::new(line.split(' ').nth(4).unwrap_or_default())
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Self::Mount(text) => ("mount", text),
            Self::Loop(text) => ("loop device", text),
            Self::Mapped(text) => ("mapped device", text),
            Self::Descriptor(text) => ("open file", text),
            Self::Child(text) => ("child process", text),
            Self::Thread(text) => ("thread", text),
        };
        write!(formatter, "{kind} {text}")
    }
}

/// The paths in a folder; none where it is not there.
fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let Ok(listed) = fs::read_dir(folder) else { return Vec::new() };
    listed.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Loop devices on files below a folder: the device's name, and the file's path.
fn loops(folder: &Path) -> Vec<(String, String)> {
    let blocks = entries("/sys/block").into_iter();
    let backed = blocks.filter_map(|block| {
        let file = fs::read_to_string(block.join("loop/backing_file")).ok()?;
        Path::new(&file).starts_with(folder).then(|| (file_name(&block), file.trim().to_owned()))
    });
    backed.collect()
}

/// Mapped devices that stand on these loop devices, or on one another above them.
fn mapped(loops: &[(String, String)]) -> BTreeSet<String> {
    let mut standing: BTreeSet<String> = loops.iter().map(|(name, _)| name.clone()).collect();
    let devices: Vec<PathBuf> =
        entries("/sys/block").into_iter().filter(|block| block.join("dm").exists()).collect();
    loop {
        let before = standing.len();
        for device in &devices {
            if entries(device.join("slaves")).iter().any(|slave| standing.contains(&file_name(slave))) {
                standing.insert(file_name(device));
            }
        }
        if standing.len() == before {
            break;
        }
    }
    let name = |device: &PathBuf| {
        let mapped = fs::read_to_string(device.join("dm/name")).unwrap_or_default();
        format!("{} ({})", file_name(device), mapped.trim())
    };
    devices.iter().filter(|device| standing.contains(&file_name(device))).map(name).collect()
}

fn descriptors() -> Vec<String> {
    let all = entries("/proc/self/fd").into_iter();
    // The descriptor that lists the folder is closed by now.
    let open = all.filter_map(|path| Some((file_name(&path), fs::read_link(&path).ok()?)));
    open.map(|(number, target)| format!("{number} -> {}", target.display())).collect()
}

/// Processes whose parent is this one, those that ended and were not waited for included.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = entries("/proc").into_iter().filter(|path| file_name(path).parse::<u32>().is_ok());
    let child = |path: PathBuf| {
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        // The name is in parentheses and may hold anything; state and parent follow it (proc_pid_stat(5)).
        let (name, rest) = stat.rsplit_once(") ")?;
        let parent = rest.split(' ').nth(1)?;
        (parent == own).then(|| format!("{name})"))
    };
    processes.filter_map(child).collect()
}
