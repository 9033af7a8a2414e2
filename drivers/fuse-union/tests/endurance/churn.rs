//! Files that come and go.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::number;
use crate::server::Server;

/// Every kind of coming and going once.
fn round(root: &Path, number: u64) {
    let folder = root.join(format!("round-{}", number % 7));
    fs::create_dir_all(folder.join("deep/deeper")).unwrap();
    for name in ["a", "b", "deep/c", "deep/deeper/d"] {
        let mut file = File::create(folder.join(name)).unwrap();
        file.write_all(&[b'x'; 5000]).unwrap();
    }
    fs::hard_link(folder.join("a"), folder.join("deep/link")).unwrap();
    fs::rename(folder.join("b"), folder.join("a")).unwrap();
    fs::rename(folder.join("deep/deeper"), folder.join("deeper")).unwrap();
    // Removed while it is open.
    let mut open = File::open(folder.join("deep/c")).unwrap();
    fs::remove_file(folder.join("deep/c")).unwrap();
    let mut content = Vec::new();
    open.read_to_end(&mut content).unwrap();
    assert_eq!(content.len(), 5000);
    let below = root.join(format!("below-{}", number % 50));
    if below.exists() {
        fs::OpenOptions::new().append(true).open(below.join("file")).unwrap().write_all(b"y").unwrap();
        fs::remove_dir_all(&below).unwrap();
    } else {
        fs::create_dir(&below).unwrap();
        fs::write(below.join("file"), "again").unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn open_files_and_memory_do_not_grow() {
    let _alone = crate::alone();
    let time = Duration::from_secs(number("PLYWOOD_FUSE_SECONDS", 4));
    for io in ["noopen", "passthrough"] {
        let server = Server::start(io, |lower| {
            for number in 0..50 {
                let folder = lower.join(format!("below-{number}"));
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join("file"), "below").unwrap();
            }
        });
        let merged = server.merged();
        // Once around, so that what is kept for the whole life is there.
        (0..100).for_each(|number| round(&merged, number));
        let held = || (server.open_files(), server.memory_kilobytes().0);
        let (files, memory) = held();
        let begun = Instant::now();
        let mut rounds = 100;
        while begun.elapsed() < time / 2 {
            round(&merged, rounds);
            rounds += 1;
        }
        let patience = Instant::now();
        while held().0 > files + 20 || held().1 > memory + 4096 {
            assert!(
                patience.elapsed() < Duration::from_mins(1),
                "io={io}, {rounds} rounds: {:?} open files and kilobytes, {files} and {memory} before",
                held()
            );
            Server::forget();
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("io={io}, {rounds} rounds: {:?}, {files} and {memory} before", held());
    }
}
