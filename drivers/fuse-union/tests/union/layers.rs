//! Many layers, and the forms that layers come in.

use std::fs;
use std::os::unix::fs::symlink;

use plywood_fuse_union::OpenError;
use plywood_fuse_union::Union;
use plywood_fuse_union::options::{IoMode, Options};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use crate::stage::{MODES, Served, Stage, names};

#[test]
fn five_hundred_layers_are_one_tree() {
    let stage = Stage::new();
    let mut lower = Vec::new();
    for number in 0..500 {
        stage.write(&format!("layers/{number}/own-{number}"), "x");
        stage.write(&format!("layers/{number}/shared/{number}"), &number.to_string());
        stage.write(&format!("layers/{number}/same"), &number.to_string());
        lower.push(stage.path(&format!("layers/{number}")));
    }
    let options = Options { lower, ..stage.options(IoMode::Auto) };
    let _served = Served::new(options, &stage.path("merged"));
    assert_eq!(names(&stage.path("merged")).len(), 502);
    assert_eq!(names(&stage.path("merged/shared")).len(), 500);
    assert_eq!(stage.read("merged/same"), "0");
    assert_eq!(stage.read("merged/shared/499"), "499");
    fs::remove_dir_all(stage.path("merged/shared")).unwrap();
    assert_eq!(names(&stage.path("merged")).len(), 501);
}

#[test]
fn whiteouts_of_every_form_hide_what_is_below() {
    for io in MODES {
        let stage = Stage::new();
        for name in ["device", "attribute", "name", "kept"] {
            stage.write(&format!("second/folder/{name}"), "x");
        }
        for name in ["opaque-kernel", "opaque-user", "opaque-fuse", "opaque-name"] {
            stage.write(&format!("second/{name}/below"), "x");
            stage.write(&format!("lower/{name}/above"), "x");
        }
        fs::create_dir(stage.path("lower/folder")).unwrap();
        let set = |path: &str, name: &str, value: &str| {
            rustix::fs::setxattr(stage.path(path), name, value.as_bytes(), XattrFlags::empty()).unwrap();
        };
        let kind = FileType::CharacterDevice;
        rustix::fs::mknodat(CWD, stage.path("lower/folder/device"), kind, Mode::empty(), 0).unwrap();
        stage.write("lower/folder/attribute", "");
        set("lower/folder/attribute", "trusted.overlay.whiteout", "y");
        set("lower/folder", "trusted.overlay.opaque", "x");
        stage.write("lower/folder/.wh.name", "");
        set("lower/opaque-kernel", "trusted.overlay.opaque", "y");
        set("lower/opaque-user", "user.overlay.opaque", "y");
        set("lower/opaque-fuse", "user.fuseoverlayfs.opaque", "y");
        stage.write("lower/opaque-name/.wh..wh..opq", "");
        let _served = stage.mount(io);
        assert_eq!(names(&stage.path("merged/folder")), ["kept"], "{io:?}");
        for name in ["opaque-kernel", "opaque-user", "opaque-fuse", "opaque-name"] {
            assert_eq!(names(&stage.path("merged").join(name)), ["above"], "{name} {io:?}");
        }
        fs::write(stage.path("merged/folder/device"), "again").unwrap();
        fs::remove_file(stage.path("merged/folder/device")).unwrap();
        assert_eq!(names(&stage.path("merged/folder")), ["kept"]);
    }
}

#[test]
fn another_type_hides_what_is_below() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("second/a/below", "x");
        stage.write("lower/a", "file");
        stage.write("second/b", "file");
        stage.write("lower/b/above", "x");
        symlink("/nowhere", stage.path("lower/c")).unwrap();
        stage.write("second/c/below", "x");
        let _served = stage.mount(io);
        assert_eq!(stage.read("merged/a"), "file", "{io:?}");
        assert_eq!(names(&stage.path("merged/b")), ["above"], "{io:?}");
        assert!(stage.path("merged/c").is_symlink(), "{io:?}");
    }
}

#[test]
fn without_an_upper_folder_nothing_can_be_written() {
    let stage = Stage::new();
    stage.write("lower/file", "x");
    let options = Options { upper: None, work: None, ..stage.options(IoMode::Auto) };
    let _served = Served::new(options, &stage.path("merged"));
    let refused = fs::write(stage.path("merged/file"), "y").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(stage.read("merged/file"), "x");
}

#[test]
fn what_cannot_be_a_union_is_refused_with_the_reason() {
    let stage = Stage::new();
    let open = |change: &dyn Fn(&mut Options)| {
        let mut options = stage.options(IoMode::Auto);
        change(&mut options);
        Union::open(options).unwrap_err()
    };
    let nothing = open(&|options| (options.lower, options.upper, options.work) = Default::default());
    assert!(matches!(nothing, OpenError::NoLower));
    assert!(matches!(open(&|options| options.work = None), OpenError::UpperWithoutWork));
    let missing = open(&|options| options.lower.push(stage.path("missing")));
    assert!(missing.to_string().contains("missing"), "{missing}");
    fs::create_dir(stage.path("upper/work")).unwrap();
    let inside = open(&|options| options.work = Some(stage.path("upper/work")));
    assert!(matches!(inside, OpenError::WorkInUpper { .. }));
    let other = open(&|options| options.work = Some("/dev/shm".into()));
    assert!(matches!(other, OpenError::OtherFileSystem { .. }));
    let _served = stage.mount(IoMode::Auto);
    let taken = open(&|_| {});
    assert!(matches!(taken, OpenError::InUse { .. }), "{taken}");
}

#[test]
fn memory_is_given_back() {
    let stage = Stage::new();
    for number in 0..3000 {
        stage.write(&format!("lower/{}/{number}", number % 30), "");
    }
    let served = stage.mount(IoMode::NoOpen);
    let walk = || (0..30).map(|number| names(&stage.path(&format!("merged/{number}"))).len()).sum::<usize>();
    assert_eq!(walk(), 3000);
    assert!(served.union.inodes() > 3000);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while served.union.inodes() > 100 {
        assert!(std::time::Instant::now() < deadline, "{} inodes stay", served.union.inodes());
        // What the kernel forgets we forget.
        fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(walk(), 3000);
}
