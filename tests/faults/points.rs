//! The twenty points at which nothing may be lost, each as a call of an operation: there the process dies, or the call fails.

use rustix::io::Errno;

use crate::operations::{Expected, operation};
use crate::supervisor::{Call, Verdict};
use crate::world::DRIVERS;

/// A point: after `after` was seen so many times, the next call that `is` it.
struct Point {
    number: &'static str,
    operation: &'static str,
    after: fn(&Call) -> bool,
    times: usize,
    is: fn(&Call) -> bool,
    /// What must be there afterwards, where it is not left open.
    left: Left,
}

/// What is there after recovery, where the process died at the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// As before the operation.
    Before,
    /// As after it.
    After,
    /// Either, and nothing between.
    Either,
}

fn any(_: &Call) -> bool {
    true
}

/// In the driver's folder, with something below the layer's own.
fn in_layer(call: &Call) -> bool {
    let below = call.path.split_once("/store/overlay2/").or_else(|| call.path.split_once("/store/vfs/"));
    below.is_some_and(|(_, below)| {
        below.len() > 32 && !below.starts_with("probe") && below.as_bytes()[32] == b'/'
    })
}

fn makes_layer(call: &Call) -> bool {
    let below = call.path.split_once("/store/overlay2/").or_else(|| call.path.split_once("/store/vfs/"));
    call.name == "mkdirat" && below.is_some_and(|(_, below)| below.len() == 32)
}

fn is_log(call: &Call) -> bool {
    call.path.ends_with("plywood.db-wal")
}

fn logs(call: &Call) -> bool {
    is_log(call) && call.name == "pwrite64"
}

fn commits(call: &Call) -> bool {
    is_log(call) && call.name.ends_with("sync")
}

fn is_syncfs(call: &Call) -> bool {
    call.name == "syncfs"
}

fn syncs_folder(call: &Call) -> bool {
    call.name == "fsync" && call.path.ends_with("/store")
}

fn seals(call: &Call) -> bool {
    call.path.ends_with("/sealed") && call.name.starts_with("openat")
}

/// The points of shared/bad-inputs.md that can be met with a driver of folders; 19 is the thin devices'.
const POINTS: &[Point] = &[
    Point {
        number: "1 before the staging row",
        operation: "pull",
        after: any,
        times: 0,
        is: logs,
        left: Left::Before,
    },
    Point {
        number: "2 after the staging row",
        operation: "pull",
        after: commits,
        times: 1,
        is: makes_layer,
        left: Left::Before,
    },
    Point {
        number: "3 after the folder is made",
        operation: "pull",
        after: makes_layer,
        times: 1,
        is: any,
        left: Left::Before,
    },
    Point {
        number: "4 in a file",
        operation: "pull",
        after: |call| call.name == "write" && call.path.ends_with("data/large"),
        times: 1,
        is: |call| call.name == "write" && call.path.ends_with("data/large"),
        left: Left::Before,
    },
    Point {
        number: "5 between entries",
        operation: "pull",
        after: |call| call.path.ends_with("top/one"),
        times: 1,
        is: |call| call.path.ends_with("top/two"),
        left: Left::Before,
    },
    Point {
        number: "6 while setting metadata",
        operation: "pull",
        after: any,
        times: 0,
        is: |call| in_layer(call) && (call.name.contains("chown") || call.name == "utimensat"),
        left: Left::Before,
    },
    Point {
        number: "7 the digest is wrong",
        operation: "pull of another image",
        after: any,
        times: 0,
        is: |call| call.name == "unlinkat" && in_layer(call),
        left: Left::Before,
    },
    Point {
        number: "8 after the recipe is written",
        operation: "pull",
        after: |call| call.name == "write" && call.path.contains("/recipes/"),
        times: 2,
        is: any,
        left: Left::Before,
    },
    Point { number: "9 syncfs", operation: "pull", after: any, times: 0, is: is_syncfs, left: Left::Before },
    Point {
        number: "10 after syncfs",
        operation: "pull",
        after: is_syncfs,
        times: 1,
        is: any,
        left: Left::Before,
    },
    Point {
        number: "11 before the folder is synced",
        operation: "pull",
        after: any,
        times: 0,
        is: syncs_folder,
        left: Left::Before,
    },
    Point {
        number: "11 after the folder is synced",
        operation: "pull",
        after: syncs_folder,
        times: 1,
        is: any,
        left: Left::Before,
    },
    Point {
        number: "12 sealed, before the commit",
        operation: "pull",
        after: seals,
        times: 2,
        is: is_syncfs,
        left: Left::Before,
    },
    Point {
        number: "13 in the commit",
        operation: "pull",
        after: is_syncfs,
        times: 1,
        is: logs,
        left: Left::Before,
    },
    Point {
        number: "13 in the commit, written and not synced",
        operation: "pull",
        after: is_syncfs,
        times: 1,
        is: commits,
        left: Left::Either,
    },
    Point {
        number: "14 after the commit, before the answer",
        operation: "pull",
        after: is_syncfs,
        times: 1,
        is: |call| call.name == "unlinkat" && call.path.contains("/leases/"),
        left: Left::After,
    },
    Point {
        number: "15 a commit of several layers",
        operation: "pull",
        after: |call| is_syncfs(call) || logs(call),
        times: 12,
        is: logs,
        left: Left::Either,
    },
    Point {
        number: "16 deleting, after the mark",
        operation: "remove image",
        after: commits,
        times: 1,
        is: |call| call.name == "unlinkat" && in_layer(call),
        left: Left::After,
    },
    Point {
        number: "17 deleting, half-way through",
        operation: "remove image",
        after: |call| call.name == "unlinkat" && in_layer(call),
        times: 3,
        is: |call| call.name == "unlinkat",
        left: Left::After,
    },
    Point {
        number: "18 before it is mounted",
        operation: "mount",
        after: |call| call.name == "fsmount" || call.name == "open_tree",
        times: 1,
        is: |call| call.name == "move_mount",
        left: Left::Before,
    },
    Point {
        number: "18 mounted, not recorded",
        operation: "mount",
        after: |call| call.name == "move_mount" && call.path.contains("/mnt/"),
        times: 1,
        is: logs,
        left: Left::After,
    },
    Point {
        number: "18 unmounted, still recorded",
        operation: "unmount",
        after: |call| call.name == "umount2" && call.path.contains("/mnt/"),
        times: 1,
        is: logs,
        left: Left::After,
    },
    Point {
        number: "20 in recovery",
        operation: "recover",
        after: any,
        times: 0,
        is: |call| call.name == "unlinkat" && in_layer(call),
        left: Left::Either,
    },
    Point {
        number: "20 in recovery, later",
        operation: "recover",
        after: |call| call.name == "unlinkat" && in_layer(call),
        times: 2,
        is: logs,
        left: Left::Either,
    },
    Point {
        number: "20 in a checkpoint",
        operation: "pull",
        after: is_syncfs,
        times: 1,
        is: |call| call.path.ends_with("plywood.db") && call.name == "pwrite64",
        left: Left::After,
    },
    Point {
        number: "20 in a migration",
        operation: "make",
        after: any,
        times: 0,
        is: logs,
        left: Left::Either,
    },
];

/// What befalls the process there.
const FAULTS: [Verdict; 3] =
    [Verdict::Kill, Verdict::Fail(Errno::IO.raw_os_error()), Verdict::Fail(Errno::NOSPC.raw_os_error())];

#[test]
fn at_each_of_the_twenty_points_nothing_is_lost() {
    let _alone = crate::alone();
    for driver in DRIVERS {
        let mut expected: Vec<(&str, Expected)> = Vec::new();
        for point in POINTS {
            if !expected.iter().any(|(name, _)| *name == point.operation) {
                expected.push((point.operation, Expected::of(operation(point.operation), driver)));
            }
            let known = &expected.iter().find(|(name, _)| *name == point.operation).unwrap().1;
            for fault in FAULTS {
                let operation = operation(point.operation);
                let world = operation.copy(&known.template);
                let (mut seen, mut met) = (0, None);
                let ended = operation.run_in(&world, &mut |call| {
                    let is_here = seen >= point.times && met.is_none() && (point.is)(call);
                    seen += usize::from((point.after)(call));
                    if !is_here {
                        return Verdict::Go;
                    }
                    met = Some(format!("{} {}", call.name, call.path));
                    fault
                });
                let what = format!("{driver}, {}, {fault:?} at {met:?}", point.number);
                assert!(met.is_some(), "{what}: not reached");
                let killed = fault == Verdict::Kill;
                if let Err(reason) = known.judge(&world, &ended, killed) {
                    panic!("{what}: {reason}");
                }
                if killed {
                    let found = world.recovered().shape();
                    let fits = match point.left {
                        Left::Before => found == known.before,
                        Left::After => found == known.after,
                        Left::Either => true,
                    };
                    assert!(fits, "{what}: not {:?}: {found:#?}", point.left);
                }
            }
        }
        println!("{driver}: {} points, {} faults at each", POINTS.len(), FAULTS.len());
    }
}
