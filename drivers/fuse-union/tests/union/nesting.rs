//! Unions and overlays on and in each other.

use std::fs;

use plywood_fuse_union::options::{IoMode, Options};
use plywood_sys::mount::{Overlay, attach, detach, overlay};

use crate::stage::{MODES, Served, Stage, names};

/// Does what leaves every kind of mark, and checks it.
fn change(stage: &Stage, at: &str) {
    fs::remove_file(stage.path(&format!("{at}/gone"))).unwrap();
    fs::remove_dir_all(stage.path(&format!("{at}/folder"))).unwrap();
    fs::create_dir(stage.path(&format!("{at}/folder"))).unwrap();
    stage.write(&format!("{at}/folder/new"), "new");
    stage.write(&format!("{at}/file"), "changed");
    check(stage, at);
}

fn check(stage: &Stage, at: &str) {
    assert_eq!(names(&stage.path(at)), ["file", "folder"]);
    assert_eq!(names(&stage.path(&format!("{at}/folder"))), ["new"]);
    assert_eq!(stage.read(&format!("{at}/file")), "changed");
}

fn fill(stage: &Stage) {
    stage.write("lower/file", "x");
    stage.write("lower/gone", "x");
    stage.write("lower/folder/old", "x");
}

#[test]
fn a_union_stands_on_a_union() {
    for io in MODES {
        let stage = Stage::new();
        fill(&stage);
        for name in ["upper2", "work2", "merged2"] {
            fs::create_dir(stage.path(name)).unwrap();
        }
        let served = stage.mount(io);
        let options = Options {
            lower: vec![stage.path("merged")],
            upper: Some(stage.path("upper2")),
            work: Some(stage.path("work2")),
            io,
            ..Options::default()
        };
        let above = Served::new(options, &stage.path("merged2"));
        change(&stage, "merged2");
        assert_eq!(names(&stage.path("merged")), ["file", "folder", "gone"], "{io:?}");
        drop((above, served));
    }
}

#[test]
fn a_union_is_written_in_a_union() {
    for io in MODES {
        let stage = Stage::new();
        fill(&stage);
        fs::create_dir(stage.path("merged2")).unwrap();
        let served = stage.mount(io);
        for name in ["inner-upper", "inner-work"] {
            fs::create_dir(stage.path("merged").join(name)).unwrap();
        }
        let options = Options {
            lower: vec![stage.path("lower")],
            upper: Some(stage.path("merged/inner-upper")),
            work: Some(stage.path("merged/inner-work")),
            io,
            ..Options::default()
        };
        let inner = Served::new(options.clone(), &stage.path("merged2"));
        change(&stage, "merged2");
        drop(inner);
        let again = Served::new(options, &stage.path("merged2"));
        check(&stage, "merged2");
        drop((again, served));
    }
}

#[test]
fn the_kernels_overlay_stands_on_a_union_and_under_it() {
    for io in MODES {
        let stage = Stage::new();
        fill(&stage);
        for name in ["upper2", "work2", "merged2"] {
            fs::create_dir(stage.path(name)).unwrap();
        }
        let kernel = |lower: &str| Overlay {
            lower: vec![stage.path(lower)],
            upper: Some((stage.path("upper2"), stage.path("work2"))),
            ..Overlay::default()
        };
        let served = stage.mount(io);
        attach(overlay(&kernel("merged")).unwrap(), &stage.path("merged2")).unwrap();
        change(&stage, "merged2");
        detach(&stage.path("merged2")).unwrap();
        drop(served);
        // And the other way round: its view is a lower layer.
        attach(overlay(&kernel("lower")).unwrap(), &stage.path("merged2")).unwrap();
        let options = Options { lower: vec![stage.path("merged2")], ..stage.options(IoMode::Auto) };
        let served = Served::new(options, &stage.path("merged"));
        check(&stage, "merged");
        fs::write(stage.path("merged/file"), "again").unwrap();
        assert_eq!(stage.read("merged2/file"), "changed");
        drop(served);
        detach(&stage.path("merged2")).unwrap();
    }
}
