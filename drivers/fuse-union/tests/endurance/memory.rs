//! Memory after walking many files.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::number;
use crate::server::Server;

/// Kilobytes that the server may hold, however many files there are.
const MOST: u64 = 32 << 10;

/// Kilobytes that it may keep, beyond what it began with, of files that the kernel has forgotten.
const KEPT: u64 = 10 << 10;

fn fill(root: &Path, files: u64) {
    for folder in 0..files.div_ceil(250) {
        let path = root.join(format!("part-{}/folder-{folder}", folder % 40));
        fs::create_dir_all(&path).unwrap();
        for file in 0..250 {
            File::create(path.join(format!("a-file-with-a-longer-name-{file}"))).unwrap();
        }
    }
}

#[test]
fn a_walk_over_many_files_takes_bounded_memory_and_gives_it_back() {
    let _alone = crate::alone();
    let files = number("PLYWOOD_FUSE_FILES", 100_000);
    // Names and attributes are kept alike in every mode.
    let io = "noopen";
    let server = Server::start(io, |lower| fill(lower, files));
    let (before, _) = server.memory_kilobytes();
    let output = Command::new("find")
        .arg(server.merged())
        .args(["-type", "f", "-printf", "%s\\n"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let seen = output.stdout.split(|byte| *byte == b'\n').count() - 1;
    assert_eq!(seen as u64, files.div_ceil(250) * 250);
    let (after, most) = server.memory_kilobytes();
    eprintln!("io={io}, {seen} files: {before} KiB before, {after} after, {most} at most");
    assert!(most < MOST, "io={io}: {most} KiB at most");
    let begun = Instant::now();
    loop {
        Server::forget();
        // It is told to the server a little later.
        std::thread::sleep(Duration::from_secs(1));
        let (now, _) = server.memory_kilobytes();
        if now < before + KEPT {
            eprintln!("io={io}: {now} KiB once forgotten");
            break;
        }
        let patient = begun.elapsed() < Duration::from_mins(1);
        assert!(patient, "io={io}: {now} KiB stay, {before} were before");
    }
}
