//! Renaming: folders of lower layers, exchanging, not replacing, crossing.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plywood_fuse_union::options::Redirects;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::stage::{MODES, Served, Stage, names};

#[test]
fn a_lower_folder_keeps_what_it_holds() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/folder/one", "1");
        stage.write("second/folder/two", "2");
        stage.write("second/folder/sub/three", "3");
        let served = stage.mount(io);
        fs::create_dir(stage.path("merged/other")).unwrap();
        fs::rename(stage.path("merged/folder"), stage.path("merged/other/moved")).unwrap();
        stage.write("merged/other/moved/sub/four", "4");
        fs::rename(stage.path("merged/other/moved/sub"), stage.path("merged/sub")).unwrap();
        let check = |what: &str| {
            assert_eq!(names(&stage.path("merged")), ["other", "sub"], "{what} {io:?}");
            assert_eq!(names(&stage.path("merged/other/moved")), ["one", "two"], "{what} {io:?}");
            assert_eq!(names(&stage.path("merged/sub")), ["four", "three"], "{what} {io:?}");
            assert_eq!(stage.read("merged/other/moved/two"), "2", "{what} {io:?}");
        };
        check("at once");
        drop(served);
        let again = stage.mount(io);
        check("after a remount");
        fs::create_dir(stage.path("merged/folder")).unwrap();
        assert_eq!(names(&stage.path("merged/folder")), Vec::<String>::new(), "{io:?}");
        drop(again);
    }
}

#[test]
fn the_kernels_overlay_reads_what_was_renamed() {
    let stage = Stage::new();
    stage.write("lower/folder/one", "1");
    stage.write("lower/gone", "x");
    let served = stage.mount(MODES[0]);
    fs::rename(stage.path("merged/folder"), stage.path("merged/moved")).unwrap();
    fs::remove_file(stage.path("merged/gone")).unwrap();
    drop(served);
    let overlay = plywood_sys::mount::Overlay {
        lower: vec![stage.path("upper"), stage.path("lower")],
        options: vec!["redirect_dir=follow".to_owned()],
        ..Default::default()
    };
    let mount = plywood_sys::mount::overlay(&overlay).unwrap();
    plywood_sys::mount::attach(mount, &stage.path("merged")).unwrap();
    let seen = (names(&stage.path("merged")), names(&stage.path("merged/moved")));
    plywood_sys::mount::detach(&stage.path("merged")).unwrap();
    assert_eq!(seen, (vec!["moved".to_owned()], vec!["one".to_owned()]));
}

#[test]
fn where_redirects_are_off_lower_folders_cannot_be_renamed() {
    let stage = Stage::new();
    stage.write("lower/folder/one", "1");
    let options =
        plywood_fuse_union::options::Options { redirects: Redirects::Off, ..stage.options(MODES[0]) };
    let _served = Served::new(options, &stage.path("merged"));
    let refused = fs::rename(stage.path("merged/folder"), stage.path("merged/moved")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CrossesDevices);
    fs::create_dir(stage.path("merged/own")).unwrap();
    fs::rename(stage.path("merged/own"), stage.path("merged/moved")).unwrap();
}

fn rename_with(from: &Path, to: &Path, flags: RenameFlags) -> rustix::io::Result<()> {
    renameat_with(CWD, from, CWD, to, flags)
}

#[test]
fn two_names_are_exchanged() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/file", "file");
        stage.write("lower/folder/inside", "inside");
        let served = stage.mount(io);
        let (file, folder) = (stage.path("merged/file"), stage.path("merged/folder"));
        rename_with(&file, &folder, RenameFlags::EXCHANGE).unwrap();
        let check = || {
            assert_eq!(stage.read("merged/folder"), "file", "{io:?}");
            assert_eq!(stage.read("merged/file/inside"), "inside", "{io:?}");
        };
        check();
        drop(served);
        let _again = stage.mount(io);
        check();
        let refused = rename_with(&file, &stage.path("merged/absent"), RenameFlags::EXCHANGE);
        assert_eq!(refused, Err(rustix::io::Errno::NOENT));
        assert_eq!(rename_with(&file, &folder, RenameFlags::NOREPLACE), Err(rustix::io::Errno::EXIST));
        rename_with(&folder, &stage.path("merged/free"), RenameFlags::NOREPLACE).unwrap();
        assert_eq!(stage.read("merged/free"), "file");
    }
}

#[test]
fn what_is_replaced_goes_and_what_is_below_stays_hidden() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/a", "a");
        stage.write("lower/b", "b");
        stage.write("lower/full/inside", "x");
        stage.write("lower/old/inside", "x");
        let served = stage.mount(io);
        fs::rename(stage.path("merged/a"), stage.path("merged/b")).unwrap();
        fs::create_dir(stage.path("merged/new")).unwrap();
        let refused = fs::rename(stage.path("merged/new"), stage.path("merged/full")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::DirectoryNotEmpty);
        fs::remove_file(stage.path("merged/old/inside")).unwrap();
        stage.write("merged/new/fresh", "y");
        fs::rename(stage.path("merged/new"), stage.path("merged/old")).unwrap();
        // A folder onto a name whose lower file is hidden.
        fs::create_dir(stage.path("merged/dir")).unwrap();
        fs::rename(stage.path("merged/dir"), stage.path("merged/a")).unwrap();
        let check = |what: &str| {
            assert_eq!(names(&stage.path("merged")), ["a", "b", "full", "old"], "{what} {io:?}");
            assert_eq!(stage.read("merged/b"), "a");
            assert_eq!(names(&stage.path("merged/old")), ["fresh"], "{what} {io:?}");
            assert!(stage.path("merged/a").is_dir());
        };
        check("at once");
        drop(served);
        let _again = stage.mount(io);
        check("after a remount");
    }
}

#[test]
fn an_open_file_outlives_what_replaces_it() {
    for io in MODES {
        let stage = Stage::new();
        let _served = stage.mount(io);
        fs::write(stage.path("merged/old"), "old").unwrap();
        fs::write(stage.path("merged/new"), "new").unwrap();
        let open = fs::File::open(stage.path("merged/old")).unwrap();
        fs::rename(stage.path("merged/new"), stage.path("merged/old")).unwrap();
        assert_eq!(std::io::read_to_string(&open).unwrap(), "old", "{io:?}");
        assert_eq!(open.metadata().unwrap().nlink(), 0, "{io:?}");
        assert_eq!(stage.read("merged/old"), "new");
    }
}
