//! What a workload is.

use serde::{Deserialize, Serialize};

use crate::BenchError;
use crate::size::Size;
use crate::stage::Stage;

/// What is measured. Less is better, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Wall time, by the monotonic clock.
    Seconds,
    /// Bytes allocated.
    Bytes,
}

/// What kind of work it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Images come in, containers begin.
    Starting,
    /// Containers read what the image has.
    Reading,
    /// Containers write files of their own.
    Writing,
    /// Containers change files of the image.
    Changing,
    /// What a container changed is told and kept.
    Committing,
    /// Containers go.
    Removing,
    /// Disk and memory.
    Space,
}

impl Area {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Starting,
        Self::Reading,
        Self::Writing,
        Self::Changing,
        Self::Committing,
        Self::Removing,
        Self::Space,
    ];

    /// In words, as in "the best at ...".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Starting => "bringing images in and starting containers",
            Self::Reading => "reading the files of an image",
            Self::Writing => "writing new files",
            Self::Changing => "changing files that the image has",
            Self::Committing => "telling and committing what changed",
            Self::Removing => "removing",
            Self::Space => "using little disk and memory",
        }
    }
}

/// When it runs. What deletes comes after everything else: ext4 avoids inodes freed in the last half minute, which makes creating files
/// several times slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// First.
    Steady,
    /// Last.
    Deleting,
}

/// One thing that is measured on every driver.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Its name in reports and on the command line.
    pub name: &'static str,
    /// What is measured, in words.
    pub title: &'static str,
    /// What kind of work it is.
    pub area: Area,
    /// What its numbers are.
    pub unit: Unit,
    /// When it runs.
    pub phase: Phase,
    /// It needs a driver that can mount.
    pub mounts: bool,
    /// It needs an image of so many layers.
    pub layers: usize,
    /// Prepares, measures, and answers the number. What it makes stays until the end.
    pub run: fn(&mut Stage<'_>) -> Result<f64, BenchError>,
}

impl Workload {
    /// Whether it can run at this size on a driver that takes so many parents and perhaps cannot mount.
    #[must_use]
    pub fn runs_with(&self, size: &Size, most_parents: Option<usize>, may_mount: bool) -> bool {
        let deep_enough = most_parents.is_none_or(|most| self.layers <= most + 1);
        self.layers <= size.most_layers && deep_enough && (may_mount || !self.mounts)
    }
}
