//! Copy-up: content, holes, metadata, hard links, numbers.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};

use crate::stage::{MODES, Stage, names};

/// What takes so long hangs.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_copy_has_all_that_the_file_had() {
    for io in MODES {
        let stage = Stage::new();
        let path = stage.write("lower/deep/er/file", "content");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
        rustix::fs::setxattr(&path, "user.kept", b"value", rustix::fs::XattrFlags::empty()).unwrap();
        fs::set_permissions(stage.path("lower/deep/er"), Permissions::from_mode(0o710)).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::new(1000, 5);
        File::open(&path).unwrap().set_modified(time).unwrap();
        let folder_before = fs::metadata(stage.path("lower/deep/er")).unwrap();
        let _served = stage.mount(io);
        let merged = stage.path("merged/deep/er/file");
        let before = fs::metadata(&merged).unwrap();
        assert_eq!(before.modified().unwrap(), time, "times before 1970: {io:?}");
        fs::set_permissions(&merged, Permissions::from_mode(0o600)).unwrap();
        let after = fs::metadata(&merged).unwrap();
        assert_eq!((after.ino(), after.uid(), after.gid()), (before.ino(), 1234, 4321), "{io:?}");
        assert_eq!(after.modified().unwrap(), time, "{io:?}");
        let copy = stage.path("upper/deep/er/file");
        assert_eq!(fs::read_to_string(&copy).unwrap(), "content");
        let mut value = [0_u8; 16];
        let length = rustix::fs::getxattr(&copy, "user.kept", &mut value).unwrap();
        assert_eq!(&value[..length], b"value");
        let folder = fs::metadata(stage.path("upper/deep/er")).unwrap();
        assert_eq!(folder.mode() & 0o777, 0o710);
        assert_eq!(folder.modified().unwrap(), folder_before.modified().unwrap(), "{io:?}");
    }
}

#[test]
fn numbers_stay_after_a_remount_and_a_rename() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/folder/file", "x");
        let number = |path: &str| fs::metadata(stage.path(path)).unwrap().ino();
        let served = stage.mount(io);
        let (file, folder) = (number("merged/folder/file"), number("merged/folder"));
        OpenOptions::new()
            .append(true)
            .open(stage.path("merged/folder/file"))
            .unwrap()
            .write_all(b"y")
            .unwrap();
        fs::create_dir(stage.path("merged/other")).unwrap();
        fs::rename(stage.path("merged/folder/file"), stage.path("merged/other/moved")).unwrap();
        assert_eq!((number("merged/other/moved"), number("merged/folder")), (file, folder), "{io:?}");
        drop(served);
        let _again = stage.mount(io);
        assert_eq!((number("merged/other/moved"), number("merged/folder")), (file, folder), "{io:?}");
    }
}

#[test]
fn hard_links_stay_links_of_one_file() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/one", "content");
        fs::create_dir_all(stage.path("lower/far/away")).unwrap();
        fs::hard_link(stage.path("lower/one"), stage.path("lower/far/away/two")).unwrap();
        fs::hard_link(stage.path("lower/one"), stage.path("lower/hidden")).unwrap();
        fs::create_dir(stage.path("lower/kept")).unwrap();
        fs::hard_link(stage.path("lower/one"), stage.path("lower/kept/four")).unwrap();
        let served = stage.mount(io);
        fs::remove_file(stage.path("merged/hidden")).unwrap();
        fs::rename(stage.path("merged/kept"), stage.path("merged/renamed")).unwrap();
        assert_eq!(fs::metadata(stage.path("merged/one")).unwrap().nlink(), 3, "{io:?}");
        fs::write(stage.path("merged/far/away/two"), "changed").unwrap();
        let check = |what: &str| {
            for path in ["merged/one", "merged/far/away/two", "merged/renamed/four"] {
                assert_eq!(stage.read(path), "changed", "{path} {what} {io:?}");
                assert_eq!(fs::metadata(stage.path(path)).unwrap().nlink(), 3, "{path} {what} {io:?}");
            }
            assert_eq!(names(&stage.path("merged")), ["far", "one", "renamed"]);
        };
        check("at once");
        drop(served);
        let _again = stage.mount(io);
        check("after a remount");
        assert_eq!(stage.read("lower/one"), "content");
    }
}

#[test]
fn holes_stay_holes() {
    for io in MODES {
        let stage = Stage::new();
        let file = File::create(stage.path("lower/sparse")).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"data", 32 << 20).unwrap();
        drop(file);
        let _served = stage.mount(io);
        let file = OpenOptions::new().write(true).open(stage.path("merged/sparse")).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.sync_all().unwrap();
        let copy = fs::metadata(stage.path("upper/sparse")).unwrap();
        assert_eq!(copy.len(), 64 << 20);
        assert!(copy.blocks() < 1024, "{} blocks: {io:?}", copy.blocks());
        let mut read = [0_u8; 4];
        File::open(stage.path("merged/sparse")).unwrap().read_exact_at(&mut read, 32 << 20).unwrap();
        assert_eq!(&read, b"data");
    }
}

#[test]
fn truncating_a_large_file_does_not_copy_it() {
    for io in MODES {
        let stage = Stage::new();
        let file = File::create(stage.path("lower/large")).unwrap();
        file.write_all_at(&vec![7; 8 << 20], 0).unwrap();
        let _served = stage.mount(io);
        fs::write(stage.path("merged/large"), "short").unwrap();
        assert_eq!(stage.read("merged/large"), "short", "{io:?}");
        assert_eq!(stage.read("upper/large"), "short", "{io:?}");
    }
}

#[test]
fn links_and_special_files_are_copied_up() {
    for io in MODES {
        let stage = Stage::new();
        symlink("target", stage.path("lower/link")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, stage.path("lower/pipe"), kind, mode, 0).unwrap();
        let _served = stage.mount(io);
        std::os::unix::fs::lchown(stage.path("merged/link"), Some(7), None).unwrap();
        fs::set_permissions(stage.path("merged/pipe"), Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fs::read_link(stage.path("upper/link")).unwrap().to_str(), Some("target"));
        assert_eq!(fs::symlink_metadata(stage.path("merged/link")).unwrap().uid(), 7);
        assert_eq!(fs::symlink_metadata(stage.path("upper/pipe")).unwrap().mode(), 0o010_600);
    }
}

/// Stops whoever opens a file for the first time, until told to go on.
struct Held {
    reached: Receiver<()>,
    go_on: Sender<()>,
}

impl Held {
    fn at(path: &Path) -> Self {
        let watch = Fanotify::init(InitFlags::FAN_CLASS_CONTENT, EventFFlags::O_RDONLY).unwrap();
        let here = rustix::fs::CWD;
        watch.mark(MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN_PERM, here, Some(path)).unwrap();
        let ((reach, reached), (go_on, going_on)) = (channel(), channel());
        std::thread::spawn(move || {
            let events = watch.read_events().unwrap();
            reach.send(()).unwrap();
            // Where the test failed there is nobody to say so.
            going_on.recv().unwrap_or(());
            for event in &events {
                watch
                    .write_response(FanotifyResponse::new(event.fd().unwrap(), Response::FAN_ALLOW))
                    .unwrap();
            }
            // Later ones are let through with the end of the watch.
        });
        Self { reached, go_on }
    }
}

#[test]
fn a_copy_holds_up_nobody_else() {
    for io in MODES {
        let stage = Stage::new();
        let large = stage.write("lower/folder/large", "content");
        stage.write("lower/folder/small", "x");
        let served = stage.mount(io);
        let merged = stage.path("merged/folder");
        let held = Held::at(&large);
        let path = merged.join("large");
        let copying = std::thread::spawn(move || {
            OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap();
        });
        held.reached.recv_timeout(PATIENCE).unwrap();
        let (done, others) = channel();
        let working = std::thread::spawn(move || {
            fs::write(merged.join("new"), "y").unwrap();
            assert_eq!(fs::read_to_string(merged.join("small")).unwrap(), "x");
            OpenOptions::new().append(true).open(merged.join("small")).unwrap().write_all(b"y").unwrap();
            fs::rename(merged.join("new"), merged.join("newer")).unwrap();
            assert_eq!(names(&merged), ["large", "newer", "small"]);
            fs::remove_file(merged.join("newer")).unwrap();
            fs::create_dir(merged.join("sub")).unwrap();
            done.send(()).unwrap();
        });
        let waited = others.recv_timeout(PATIENCE);
        assert!(!copying.is_finished(), "{io:?}: it was not held");
        held.go_on.send(()).unwrap();
        copying.join().unwrap();
        working.join().unwrap();
        assert_eq!(waited, Ok(()), "{io:?}: others waited for the copy");
        assert_eq!(stage.read("upper/folder/large"), "contentx", "{io:?}");
        drop(served);
    }
}
