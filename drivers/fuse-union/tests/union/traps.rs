//! What others of this kind got wrong: shared/fuse-union.md names each.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;

use crate::stage::{MODES, Stage};

#[test]
fn a_lower_file_that_is_open_for_reading_is_never_written() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/file", "lower");
        let served = stage.mount(io);
        let mut reader = File::open(stage.path("merged/file")).unwrap();
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        let mut writer = OpenOptions::new().read(true).write(true).open(stage.path("merged/file")).unwrap();
        writer.write_all(b"UPPER").unwrap();
        writer.sync_all().unwrap();
        assert_eq!(stage.read("lower/file"), "lower", "{io:?}");
        assert_eq!(stage.read("upper/file"), "UPPER", "{io:?}");
        // Better than the kernel's overlayfs: who had it open sees what is written.
        reader.seek(SeekFrom::Start(0)).unwrap();
        seen.clear();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "UPPER", "{io:?}");
        drop((reader, writer, served));
    }
}

#[test]
fn files_of_one_inode_are_opened_and_closed_in_every_order() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/file", "0123456789");
        let _served = stage.mount(io);
        let path = stage.path("merged/file");
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        for round in 0..8_u8 {
            let reader = File::open(&path).unwrap();
            let mut first = options.open(&path).unwrap();
            let mut second = options.open(&path).unwrap();
            drop(reader);
            first.write_all(&[b'a' + round]).unwrap();
            second.seek(SeekFrom::Start(5)).unwrap();
            second.write_all(&[b'A' + round]).unwrap();
            drop(first);
            let third = File::open(&path).unwrap();
            drop(second);
            let mut seen = String::new();
            (&third).read_to_string(&mut seen).unwrap();
            let expected = [&[b'a' + round][..], b"1234", &[b'A' + round], b"6789"].concat();
            assert_eq!(seen.as_bytes(), expected, "{io:?}, round {round}");
        }
        assert_eq!(stage.read("lower/file"), "0123456789");
    }
}

#[test]
fn removing_a_lower_tree_copies_nothing() {
    for io in MODES {
        let stage = Stage::new();
        for number in 0..200 {
            stage.write(&format!("lower/tree/{}/{number}", number % 10), &"x".repeat(4096));
        }
        let _served = stage.mount(io);
        fs::remove_dir_all(stage.path("merged/tree")).unwrap();
        assert!(!stage.path("merged/tree").exists());
        let left = fs::symlink_metadata(stage.path("upper/tree")).unwrap();
        assert_eq!((left.rdev(), left.mode() & 0o170_000), (0, 0o020_000), "a whiteout: {io:?}");
        assert_eq!(crate::stage::names(&stage.path("work/work")), ["whiteout"]);
    }
}

#[test]
fn times_are_true_after_writing_through_a_mapping() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("upper/file", &"x".repeat(8192));
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::options().write(true).open(stage.path("upper/file")).unwrap().set_modified(old).unwrap();
        let _served = stage.mount(io);
        let path = stage.path("merged/file");
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), old);
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        map_and_write(&file);
        file.sync_all().unwrap();
        drop(file);
        // The release of the file is not waited for by who closed it.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while fs::metadata(&path).unwrap().modified().unwrap() == old {
            assert!(std::time::Instant::now() < deadline, "the old time is still shown: {io:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(stage.read("upper/file").starts_with("mapped"), "{io:?}");
    }
}

#[allow(unsafe_code, reason = "only a mapping writes without a system call")]
fn map_and_write(file: &File) {
    use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};
    let flags = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new shared mapping of 4096 bytes of a file that is that long; it is unmapped below, and nobody truncates it.
    unsafe {
        let mapped = mmap(std::ptr::null_mut(), 4096, flags, MapFlags::SHARED, file, 0).unwrap();
        std::ptr::copy_nonoverlapping(b"mapped".as_ptr(), mapped.cast(), 6);
        msync(mapped, 4096, MsyncFlags::SYNC).unwrap();
        munmap(mapped, 4096).unwrap();
    }
}

#[test]
fn the_mount_point_may_be_in_a_layer() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/file", "x");
        fs::create_dir(stage.path("lower/inside")).unwrap();
        let served = crate::stage::Served::new(stage.options(io), &stage.path("lower/inside"));
        assert_eq!(crate::stage::names(&stage.path("lower/inside")), ["file", "inside"]);
        assert_eq!(crate::stage::names(&stage.path("lower/inside/inside")), Vec::<String>::new());
        drop(served);
    }
}

#[test]
fn an_unused_name_costs_nothing_after_it_is_known_to_be_free() {
    let stage = Stage::new();
    let served = stage.mount(MODES[0]);
    assert!(!stage.path("merged/absent").exists());
    let before = served.union.inodes();
    for _ in 0..100 {
        assert!(!stage.path("merged/absent").exists());
    }
    assert_eq!(served.union.inodes(), before);
    fs::write(stage.path("merged/absent"), "now").unwrap();
    assert_eq!(stage.read("merged/absent"), "now");
}
