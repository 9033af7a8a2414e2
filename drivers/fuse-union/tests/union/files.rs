//! What is done to open files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{AtFlags, CWD, FallocateFlags, FlockOperation, IFlags, Mode, OFlags, SeekFrom, StatxFlags};
use rustix::io::Errno;

use crate::stage::{MODES, Stage};

#[test]
fn a_file_without_a_name_can_get_one() {
    for io in MODES {
        let stage = Stage::new();
        let _served = stage.mount(io);
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        let opened = rustix::fs::open(stage.path("merged"), flags, Mode::from_raw_mode(0o640)).unwrap();
        let file = File::from(opened);
        (&file).write_all(b"content").unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0, "{io:?}");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::linkat(CWD, path, CWD, stage.path("merged/named"), AtFlags::SYMLINK_FOLLOW).unwrap();
        assert_eq!(stage.read("merged/named"), "content", "{io:?}");
        let stat = fs::metadata(stage.path("merged/named")).unwrap();
        assert_eq!((stat.nlink(), stat.mode() & 0o777), (1, 0o640), "{io:?}");
        drop(file);
        assert_eq!(stage.read("upper/named"), "content");
    }
}

#[test]
fn ranges_are_allocated_punched_and_found() {
    for io in MODES {
        let stage = Stage::new();
        let _served = stage.mount(io);
        let file =
            OpenOptions::new().create_new(true).read(true).write(true).open(stage.path("merged/f")).unwrap();
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 1 << 20).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1 << 20, "{io:?}");
        file.write_all_at(&[1; 1 << 16], 0).unwrap();
        file.write_all_at(&[1; 1 << 16], 1 << 19).unwrap();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, flags, 1 << 16, (1 << 19) - (1 << 16)).unwrap();
        file.sync_all().unwrap();
        assert_eq!(rustix::fs::seek(&file, SeekFrom::Hole(0)), Ok(1 << 16), "{io:?}");
        assert_eq!(rustix::fs::seek(&file, SeekFrom::Data(1 << 16)), Ok(1 << 19), "{io:?}");
    }
}

#[test]
fn ranges_are_copied_from_one_file_to_another() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/from", "0123456789");
        let _served = stage.mount(io);
        let from = File::open(stage.path("merged/from")).unwrap();
        let to = File::create(stage.path("merged/to")).unwrap();
        let copied = rustix::fs::copy_file_range(&from, Some(&mut 2), &to, Some(&mut 0), 5).unwrap();
        assert_eq!(copied, 5, "{io:?}");
        drop(to);
        assert_eq!(stage.read("merged/to"), "23456", "{io:?}");
    }
}

#[test]
fn locks_keep_others_out() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/file", "x");
        let _served = stage.mount(io);
        let open = || OpenOptions::new().read(true).write(true).open(stage.path("merged/file")).unwrap();
        let (one, other) = (open(), open());
        rustix::fs::flock(&one, FlockOperation::LockExclusive).unwrap();
        let refused = rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(refused, Err(Errno::WOULDBLOCK), "{io:?}");
        rustix::fs::flock(&one, FlockOperation::Unlock).unwrap();
        rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    }
}

#[test]
fn the_time_of_birth_and_the_flags_are_told() {
    for io in MODES {
        let stage = Stage::new();
        let path = stage.write("lower/file", "x");
        let file = File::open(&path).unwrap();
        let flags = rustix::fs::ioctl_getflags(&file).unwrap() | IFlags::NODUMP;
        rustix::fs::ioctl_setflags(&file, flags).unwrap();
        let born = |path: &std::path::Path| {
            let stat = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::ALL).unwrap();
            assert!(stat.stx_mask & StatxFlags::BTIME.bits() != 0, "{io:?}");
            (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)
        };
        let real = born(&path);
        let _served = stage.mount(io);
        assert_eq!(born(&stage.path("merged/file")), real, "{io:?}");
        let flags = rustix::fs::ioctl_getflags(File::open(stage.path("merged/file")).unwrap()).unwrap();
        assert!(flags.contains(IFlags::NODUMP), "{io:?}: {flags:?}");
    }
}

#[test]
fn names_and_devices_are_made_and_told_apart() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/there", "x");
        let _served = stage.mount(io);
        let make = |name: &str, kind, device| {
            let mode = Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(CWD, stage.path("merged").join(name), kind, mode, device)
        };
        use rustix::fs::FileType;
        let device = rustix::fs::makedev(1, 3);
        make("null", FileType::CharacterDevice, device).unwrap();
        let stat = fs::symlink_metadata(stage.path("merged/null")).unwrap();
        assert_eq!((stat.rdev(), stat.mode()), (device, 0o020_600), "{io:?}");
        make("socket", FileType::Socket, 0).unwrap();
        assert_eq!(make("whiteout", FileType::CharacterDevice, 0), Err(Errno::PERM), "{io:?}");
        assert_eq!(make("there", FileType::Fifo, 0), Err(Errno::EXIST), "{io:?}");
        assert_eq!(make(&"n".repeat(256), FileType::Fifo, 0), Err(Errno::NAMETOOLONG), "{io:?}");
        assert!(fs::write(stage.path("merged/.wh.there"), "x").is_err(), "{io:?}");
        std::os::unix::fs::symlink("null", stage.path("merged/link")).unwrap();
        assert_eq!(fs::read_link(stage.path("merged/link")).unwrap().to_str(), Some("null"));
    }
}

#[test]
fn large_writes_and_reads_come_back_as_they_were() {
    for io in MODES {
        let stage = Stage::new();
        let _served = stage.mount(io);
        let data: Vec<u8> =
            (0..(5 << 20) + 123_u32).map(|number| (number.wrapping_mul(31) >> 3) as u8).collect();
        fs::write(stage.path("merged/data"), &data).unwrap();
        assert!(fs::read(stage.path("merged/data")).unwrap() == data, "{io:?}");
        let file = OpenOptions::new().append(true).open(stage.path("merged/data")).unwrap();
        for _ in 0..100 {
            (&file).write_all(b"appended").unwrap();
        }
        drop(file);
        let read = fs::read(stage.path("merged/data")).unwrap();
        assert!(read[..data.len()] == data && read[data.len()..] == *b"appended".repeat(100), "{io:?}");
    }
}

#[test]
fn files_of_every_size_are_read_and_then_written() {
    const SIZES: [usize; 10] = [0, 1, 4095, 4096, 4097, 70_000, 131_071, 131_072, 131_073, 1_000_000];
    for io in MODES {
        let stage = Stage::new();
        let content = |size: usize| (0..size).map(|at| b'a' + (at % 23) as u8).collect::<Vec<u8>>();
        for size in SIZES {
            fs::write(stage.path(&format!("lower/{size}")), content(size)).unwrap();
        }
        let _served = stage.mount(io);
        for size in SIZES {
            let path = stage.path(&format!("merged/{size}"));
            // Several at once ask for the same pages.
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope
                        .spawn(|| assert!(fs::read(&path).unwrap() == content(size), "{io:?}, {size} bytes"));
                }
            });
            let mut appended = fs::OpenOptions::new().append(true).open(&path).unwrap();
            appended.write_all(b"end").unwrap();
            drop(appended);
            let expected = [&content(size)[..], b"end"].concat();
            assert!(fs::read(&path).unwrap() == expected, "{io:?}, {size} bytes and three");
            assert!(fs::read(stage.path(&format!("upper/{size}"))).unwrap() == expected, "{io:?}, {size}");
            assert!(
                fs::read(stage.path(&format!("lower/{size}"))).unwrap() == content(size),
                "{io:?}, {size}"
            );
        }
    }
}

#[test]
fn a_file_that_is_executed_is_not_truncated() {
    for io in MODES {
        let stage = Stage::new();
        let _served = stage.mount(io);
        let path = stage.path("merged/program");
        // Not by this process, whose children could have the copy open for writing.
        assert!(std::process::Command::new("cp").arg("/bin/sleep").arg(&path).status().unwrap().success());
        let length = fs::metadata(&path).unwrap().len();
        let mut running = std::process::Command::new(&path).arg("60").spawn().unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::TRUNC;
        let opened = rustix::fs::open(&path, flags, rustix::fs::Mode::empty());
        let left = fs::metadata(stage.path("upper/program")).unwrap().len();
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!((opened.err(), left), (Some(rustix::io::Errno::TXTBSY), length), "{io:?}");
    }
}
