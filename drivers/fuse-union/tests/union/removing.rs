//! Removing: whiteouts, opaque folders, what is still open.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use crate::stage::{MODES, Stage, names};

#[test]
fn what_is_removed_stays_removed_and_can_be_made_again() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/file", "lower");
        stage.write("lower/folder/inside", "x");
        stage.write("second/folder/deeper", "x");
        let served = stage.mount(io);
        fs::remove_file(stage.path("merged/file")).unwrap();
        fs::remove_dir_all(stage.path("merged/folder")).unwrap();
        assert_eq!(names(&stage.path("merged")), Vec::<String>::new(), "{io:?}");
        fs::write(stage.path("merged/file"), "again").unwrap();
        fs::create_dir(stage.path("merged/folder")).unwrap();
        let check = || {
            assert_eq!(stage.read("merged/file"), "again", "{io:?}");
            assert_eq!(names(&stage.path("merged/folder")), Vec::<String>::new(), "{io:?}");
        };
        check();
        drop(served);
        let again = stage.mount(io);
        check();
        fs::remove_dir(stage.path("merged/folder")).unwrap();
        fs::remove_file(stage.path("merged/file")).unwrap();
        drop(again);
        let _third = stage.mount(io);
        assert_eq!(names(&stage.path("merged")), Vec::<String>::new(), "{io:?}");
        assert_eq!(stage.read("lower/file"), "lower");
    }
}

#[test]
fn no_whiteout_is_written_where_nothing_is_below() {
    let stage = Stage::new();
    stage.write("lower/folder/inside", "x");
    let _served = stage.mount(MODES[0]);
    fs::write(stage.path("merged/own"), "x").unwrap();
    fs::remove_file(stage.path("merged/own")).unwrap();
    fs::remove_dir_all(stage.path("merged/folder")).unwrap();
    fs::create_dir(stage.path("merged/folder")).unwrap();
    fs::write(stage.path("merged/folder/inside"), "y").unwrap();
    fs::remove_file(stage.path("merged/folder/inside")).unwrap();
    assert_eq!(names(&stage.path("upper")), ["folder"]);
    assert_eq!(names(&stage.path("upper/folder")), Vec::<String>::new(), "the folder is opaque");
}

#[test]
fn a_folder_with_something_in_it_stays() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("second/folder/inside", "x");
        let _served = stage.mount(io);
        let refused = fs::remove_dir(stage.path("merged/folder")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::DirectoryNotEmpty, "{io:?}");
        assert_eq!(stage.read("merged/folder/inside"), "x");
    }
}

#[test]
fn open_files_outlive_their_names() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/below", "below");
        stage.write("upper/above", "above");
        let _served = stage.mount(io);
        for (name, content) in [("below", "below"), ("above", "above")] {
            let path = stage.path("merged").join(name);
            let open = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            fs::remove_file(&path).unwrap();
            assert_eq!(std::io::read_to_string(&open).unwrap(), content, "{name} {io:?}");
            std::io::Write::write_all(&mut &open, b"+").unwrap();
            let stat = open.metadata().unwrap();
            assert_eq!((stat.nlink(), stat.len()), (0, content.len() as u64 + 1), "{name} {io:?}");
            open.set_len(1).unwrap();
            open.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            assert_eq!(open.metadata().unwrap().mode() & 0o777, 0o600);
            assert!(!path.exists());
        }
        assert_eq!(stage.read("lower/below"), "below");
    }
}

#[test]
fn whoever_is_in_a_removed_folder_is_told() {
    for io in MODES {
        for place in ["lower", "upper"] {
            let stage = Stage::new();
            fs::create_dir(stage.path(place).join("folder")).unwrap();
            let _served = stage.mount(io);
            let script = "cd folder && rmdir ../folder && ls -la . >/dev/null; /bin/pwd >/dev/null 2>&1 && echo found || echo lost; touch x 2>&1; stat -c %h .";
            let said = std::process::Command::new("sh")
                .args(["-c", script])
                .current_dir(stage.path("merged"))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines.len(), 3, "{said}");
            assert_eq!(lines[0], "lost", "{place} {io:?}: {said}");
            assert!(lines[1].contains("No such file or directory"), "{place} {io:?}: {said}");
            assert_eq!(lines[2], "0", "{place} {io:?}: {said}");
        }
    }
}

#[test]
fn reading_a_folder_while_it_is_emptied_sees_every_name_once() {
    for io in MODES {
        let stage = Stage::new();
        for number in 0..1000 {
            stage.write(&format!("{}/many/{number:04}", ["lower", "upper"][number % 2]), "");
        }
        let _served = stage.mount(io);
        let mut seen = Vec::new();
        for entry in fs::read_dir(stage.path("merged/many")).unwrap() {
            let entry = entry.unwrap();
            fs::remove_file(entry.path()).unwrap();
            seen.push(entry.file_name());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1000, "{io:?}");
        assert_eq!(names(&stage.path("merged/many")), Vec::<String>::new());
        fs::remove_dir(stage.path("merged/many")).unwrap();
    }
}
