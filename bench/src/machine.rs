//! Where a run took place.

use std::os::fd::AsFd;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Where a run took place. What is not known is `unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that the program may use.
    pub processors: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The distribution.
    pub system: String,
    /// The file system that the stores were on.
    pub file_system: String,
}

impl Machine {
    /// Looks at this machine, and at the file system that `folder` is on.
    #[must_use]
    pub fn look(folder: &Path) -> Self {
        let unknown = || "unknown".to_owned();
        let memory_kib =
            field("/proc/meminfo", "MemTotal:").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let backing = plywood_sys::backing::name(open(folder).as_ref().map_or(rustix::fs::CWD, AsFd::as_fd));
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_kib.unwrap_or_default() * 1024,
            kernel: read("/proc/sys/kernel/osrelease").map_or_else(unknown, |text| text.trim().to_owned()),
            system: field("/etc/os-release", "PRETTY_NAME=").unwrap_or_else(unknown),
            file_system: backing.map_or_else(|_| unknown(), str::to_owned),
        }
    }
}

/// The value of the first line of a file that begins like that.
fn field(path: &str, begins: &str) -> Option<String> {
    let text = read(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(begins))?;
    Some(line.trim_start_matches([' ', '\t', ':']).trim().trim_matches('"').to_owned())
}

#[allow(clippy::disallowed_methods, reason = "files of the system's own")]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[allow(clippy::disallowed_methods, reason = "a folder of the caller's own")]
fn open(folder: &Path) -> Option<std::fs::File> {
    std::fs::File::open(folder).ok()
}
