//! All workloads, in the order in which they run and are shown.

mod changing;
mod committing;
mod layers;
mod reading;
mod tree;

use crate::workload::{Area, Phase, Unit, Workload};

/// What most workloads are: wall time on a mounted container, first in the run.
const MOUNTED: Workload = Workload {
    name: "",
    title: "",
    area: Area::Reading,
    unit: Unit::Seconds,
    phase: Phase::Steady,
    mounts: true,
    layers: 0,
    run: |_| Ok(0.0),
};

/// What needs no mount.
const UNMOUNTED: Workload = Workload { mounts: false, area: Area::Starting, ..MOUNTED };

/// All workloads, in the order in which they run and are shown.
pub const ALL: [Workload; 23] = [
    Workload { name: "pull", title: "bring an image of three layers in", run: layers::pull, ..UNMOUNTED },
    Workload { name: "snapshot", title: "make a container", run: layers::snapshot, ..UNMOUNTED },
    Workload {
        name: "mount-1",
        title: "mount 1 layer",
        layers: 1,
        run: layers::mount::<1>,
        area: Area::Starting,
        ..MOUNTED
    },
    Workload {
        name: "mount-16",
        title: "mount 16 layers",
        layers: 16,
        run: layers::mount::<16>,
        area: Area::Starting,
        ..MOUNTED
    },
    Workload {
        name: "mount-128",
        title: "mount 128 layers",
        layers: 128,
        run: layers::mount::<128>,
        area: Area::Starting,
        ..MOUNTED
    },
    Workload {
        name: "mount-500",
        title: "mount 500 layers",
        layers: 500,
        run: layers::mount::<500>,
        area: Area::Starting,
        ..MOUNTED
    },
    Workload { name: "walk", title: "list every folder of the tree", run: reading::walk, ..MOUNTED },
    Workload { name: "stat", title: "look at files again and again", run: reading::stat_storm, ..MOUNTED },
    Workload { name: "read-small", title: "read every small file", run: reading::small, ..MOUNTED },
    Workload { name: "read-large", title: "read the large file", run: reading::large, ..MOUNTED },
    Workload { name: "read-random", title: "read 4 KiB at random places", run: reading::random, ..MOUNTED },
    Workload { name: "create", title: "create files", run: changing::create, area: Area::Writing, ..MOUNTED },
    Workload {
        name: "append",
        title: "append to files of the image",
        run: changing::append,
        area: Area::Changing,
        ..MOUNTED
    },
    Workload {
        name: "copy-up",
        title: "change one byte of the large file",
        run: changing::copy_up,
        area: Area::Changing,
        ..MOUNTED
    },
    Workload {
        name: "rename",
        title: "rename files of the image",
        run: changing::rename,
        area: Area::Changing,
        ..MOUNTED
    },
    Workload {
        name: "diff-small",
        title: "write the diff of a few files",
        run: committing::diff_small,
        area: Area::Committing,
        ..MOUNTED
    },
    Workload {
        name: "diff-large",
        title: "write the diff of many files",
        run: committing::diff_large,
        area: Area::Committing,
        ..MOUNTED
    },
    Workload {
        name: "changes",
        title: "list the changes of many files",
        run: committing::changes,
        area: Area::Committing,
        ..MOUNTED
    },
    Workload {
        name: "commit",
        title: "commit many files as a layer",
        run: committing::commit,
        area: Area::Committing,
        ..MOUNTED
    },
    Workload {
        name: "disk",
        title: "disk used by the image",
        unit: Unit::Bytes,
        run: layers::disk,
        area: Area::Space,
        ..UNMOUNTED
    },
    Workload {
        name: "shared-cache",
        title: "read the large file in a second container, after a first one did",
        run: reading::shared_cache,
        area: Area::Space,
        ..MOUNTED
    },
    Workload {
        name: "unlink",
        title: "unlink files of the image",
        phase: Phase::Deleting,
        run: changing::unlink,
        area: Area::Changing,
        ..MOUNTED
    },
    Workload {
        name: "remove",
        title: "remove a container with many files",
        phase: Phase::Deleting,
        run: committing::remove,
        area: Area::Removing,
        ..MOUNTED
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_a_name_of_its_own() {
        for (number, workload) in ALL.iter().enumerate() {
            assert!(!workload.name.is_empty() && !workload.title.is_empty());
            assert!(ALL[..number].iter().all(|other| other.name != workload.name), "{}", workload.name);
        }
    }
}
