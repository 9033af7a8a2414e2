//! Others go on while a large file is copied up.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::number;
use crate::server::Server;

/// How many work beside the copy-up.
const OTHERS: u64 = 8;

/// Runs small operations in a folder of its own until told to end, and answers how long the longest took and how many there were.
fn work(folder: &Path, below: &Path, end: &AtomicBool) -> (Duration, u64) {
    fs::create_dir(folder).unwrap();
    let (mut longest, mut count) = (Duration::ZERO, 0);
    let mut timed = |run: &mut dyn FnMut()| {
        let begun = Instant::now();
        run();
        longest = longest.max(begun.elapsed());
        count += 1;
    };
    let mut number = 0;
    while !end.load(Ordering::Relaxed) {
        let file = folder.join(format!("file-{}", number % 20));
        let other = folder.join(format!("other-{}", number % 20));
        timed(&mut || fs::write(&file, "some bytes").unwrap());
        timed(&mut || assert_eq!(fs::read(&file).unwrap().len(), 10));
        timed(&mut || fs::rename(&file, &other).unwrap());
        timed(&mut || assert!(fs::read_dir(folder).unwrap().count() > 0));
        timed(&mut || assert_eq!(fs::metadata(&other).unwrap().len(), 10));
        timed(&mut || fs::remove_file(&other).unwrap());
        // And the folder that the large file is in.
        timed(&mut || assert!(fs::metadata(below).unwrap().len() > 0));
        timed(&mut || assert!(fs::read_dir(below.parent().unwrap()).unwrap().count() > 0));
        number += 1;
    }
    (longest, count)
}

#[test]
fn nobody_waits_for_a_long_copy_up() {
    let _alone = crate::alone();
    let mebibytes = number("PLYWOOD_FUSE_MEBIBYTES", 512);
    let longest_allowed = Duration::from_millis(number("PLYWOOD_FUSE_STALL_MILLISECONDS", 60_000));
    for io in ["noopen", "passthrough"] {
        let server = Server::start(io, |lower| {
            let mut file = File::create(lower.join("large")).unwrap();
            let piece = vec![b'x'; 1 << 20];
            (0..mebibytes).for_each(|_| file.write_all(&piece).unwrap());
            file.sync_all().unwrap();
        });
        let (merged, end) = (server.merged(), AtomicBool::new(false));
        let (took, worked) = std::thread::scope(|scope| {
            let others: Vec<_> = (0..OTHERS)
                .map(|number| {
                    let (folder, below, end) = (merged.join(number.to_string()), merged.join("large"), &end);
                    scope.spawn(move || work(&folder, &below, end))
                })
                .collect();
            let begun = Instant::now();
            let appended = OpenOptions::new().append(true).open(merged.join("large"));
            let appended = appended.and_then(|mut file| file.write_all(b"y"));
            let took = begun.elapsed();
            end.store(true, Ordering::Relaxed);
            appended.unwrap();
            (took, others.into_iter().map(|other| other.join().unwrap()).collect::<Vec<_>>())
        });
        let longest = worked.iter().map(|(longest, _)| *longest).max().unwrap();
        let count: u64 = worked.iter().map(|(_, count)| count).sum();
        eprintln!(
            "io={io}: copied up in {took:?}; {count} operations of others, the longest took {longest:?}"
        );
        assert_eq!(fs::metadata(merged.join("large")).unwrap().len(), (mebibytes << 20) + 1);
        assert!(
            longest < longest_allowed,
            "io={io}: somebody waited {longest:?} while a file was copied up in {took:?}"
        );
    }
}
