//! Change lists, to the letter.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use plywood_graphdriver::{ChangeKind, DriverError, ErrorKind};
use rustix::fs::XattrFlags;

use crate::bench::Bench;
use crate::case::cases;
use crate::tarball::Tarball;

cases! {
    "lists";
    files_and_folders_added_modified_and_deleted: [Mounts],
    a_name_that_becomes_something_else_is_modified: [Mounts],
    each_thing_that_can_change_alone_is_a_change: [Mounts, Root, UserXattrs],
    what_is_made_and_deleted_again_is_no_change: [Mounts],
    a_rename_is_a_deletion_and_an_addition: [Mounts],
    a_file_comes_goes_and_comes_again_at_ten_depths: [Mounts],
    of_a_base_everything_is_added: [Mounts],
    of_an_applied_layer_it_is_what_its_tar_did: [Mounts],
    lists_are_sorted_by_bytes_and_folder_by_folder: [Mounts],
    the_visitors_error_ends_the_walk: [Mounts],
}

fn base() -> Vec<u8> {
    Tarball::new()
        .folder("./", 0o755)
        .folder("d/", 0o755)
        .file("d/f", "content")
        .file("d/g", "content")
        .folder("d/sub/", 0o755)
        .file("d/sub/h", "content")
        .file("file", "content")
        .file("other", "another")
        .symlink("link", "file")
        .folder("empty/", 0o755)
        .done()
}

fn files_and_folders_added_modified_and_deleted(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        fs::write(root.join("d/new"), "").unwrap();
        fs::create_dir(root.join("d/newer")).unwrap();
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("d/sub/h"), "other content").unwrap();
        fs::remove_file(root.join("other")).unwrap();
        fs::remove_dir(root.join("empty")).unwrap();
    });
    let expected = [
        "A /a",
        "A /a/b",
        "A /a/b/c",
        "C /d",
        "A /d/new",
        "A /d/newer",
        "C /d/sub",
        "C /d/sub/h",
        "D /empty",
        "D /other",
    ];
    assert_eq!(bench.changes(), expected);
    bench.round_trip();
    assert_eq!(bench.changes(), expected);
}

fn a_name_that_becomes_something_else_is_modified(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        fs::remove_file(root.join("file")).unwrap();
        fs::create_dir(root.join("file")).unwrap();
        fs::write(root.join("file/inner"), "x").unwrap();
        fs::remove_dir_all(root.join("d")).unwrap();
        fs::write(root.join("d"), "now a file").unwrap();
        fs::remove_file(root.join("link")).unwrap();
        fs::write(root.join("link"), "now a file").unwrap();
        fs::remove_file(root.join("other")).unwrap();
        symlink("file", root.join("other")).unwrap();
        fs::remove_dir(root.join("empty")).unwrap();
        symlink("d", root.join("empty")).unwrap();
    });
    let expected = ["C /d", "C /empty", "C /file", "A /file/inner", "C /link", "C /other"];
    assert_eq!(bench.changes(), expected);
    bench.round_trip();
    assert_eq!(bench.changes(), expected);
    // And back.
    bench.change(|root| {
        fs::remove_dir_all(root.join("file")).unwrap();
        fs::write(root.join("file"), "content").unwrap();
        fs::remove_file(root.join("d")).unwrap();
        fs::create_dir(root.join("d")).unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "C /file"]);
    bench.round_trip();
    bench.look(|root| {
        assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 0, "what was below shows again");
    });
}

fn each_thing_that_can_change_alone_is_a_change(bench: &mut Bench) {
    type Change = fn(&Path);
    let all: [(&str, Change); 6] = [
        ("content of the same size and time", |path| {
            let time = path.metadata().unwrap().modified().unwrap();
            fs::write(path, "CONTENT").unwrap();
            fs::File::open(path).unwrap().set_modified(time).unwrap();
        }),
        ("mode", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap()),
        ("owner", |path| chown(path, Some(7), None).unwrap()),
        ("group", |path| chown(path, None, Some(7)).unwrap()),
        ("time", |path| fs::File::open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap()),
        ("attribute", |path| rustix::fs::setxattr(path, "user.x", b"1", XattrFlags::empty()).unwrap()),
    ];
    bench.layer(&base());
    for (what, change) in all {
        bench.branch(1, |bench| {
            bench.change(|root| change(&root.join("d/f")));
            assert_eq!(bench.changes(), ["C /d", "C /d/f"], "{what}");
            bench.round_trip();
        });
        if what.starts_with("content") {
            continue;
        }
        bench.branch(1, |bench| {
            bench.change(|root| change(&root.join("d/sub")));
            assert_eq!(bench.changes(), ["C /d", "C /d/sub"], "{what} of a folder");
            bench.round_trip();
        });
    }
}

fn what_is_made_and_deleted_again_is_no_change(bench: &mut Bench) {
    bench.layer(&base());
    let time = |path: &Path| path.metadata().unwrap().modified().unwrap();
    bench.change(|root| {
        let (at_root, at_folder) = (time(root), time(&root.join("d")));
        fs::write(root.join("d/new"), "x").unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::remove_file(root.join("d/new")).unwrap();
        fs::remove_dir_all(root.join("a")).unwrap();
        fs::File::open(root.join("d")).unwrap().set_modified(at_folder).unwrap();
        fs::File::open(root).unwrap().set_modified(at_root).unwrap();
    });
    assert_eq!(bench.changes(), [""; 0]);
    assert_eq!(bench.diff(), Tarball::new().done());
}

fn a_rename_is_a_deletion_and_an_addition(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        fs::rename(root.join("file"), root.join("renamed")).unwrap();
        fs::rename(root.join("d/f"), root.join("d/sub/f")).unwrap();
        fs::rename(root.join("d/g"), root.join("other")).unwrap();
    });
    let expected =
        ["C /d", "D /d/f", "D /d/g", "C /d/sub", "A /d/sub/f", "D /file", "C /other", "A /renamed"];
    assert_eq!(bench.changes(), expected);
    bench.round_trip();
    assert_eq!(bench.changes(), expected);
}

fn a_file_comes_goes_and_comes_again_at_ten_depths(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("before", "x").done());
    for depth in 0..10 {
        let folders: Vec<String> = (1..=depth).map(|depth| vec!["deep"; depth].join("/")).collect();
        let folder = folders.last().cloned().unwrap_or_default();
        bench.commit(|root| fs::create_dir_all(root.join(&folder)).unwrap());
        let file = Path::new(&folder).join("echo");
        let parents: Vec<String> = folders.iter().map(|folder| format!("C /{folder}")).collect();
        let with = |kind: char| [&parents[..], &[format!("{kind} /{}", file.display())]].concat();
        for content in ["first", "second"] {
            bench.change(|root| fs::write(root.join(&file), content).unwrap());
            assert_eq!(bench.changes(), with('A'));
            bench.round_trip();
            bench.change(|root| fs::remove_file(root.join(&file)).unwrap());
            assert_eq!(bench.changes(), with('D'));
            bench.round_trip();
            assert!(!bench.look(|root| root.join(&file).exists()));
        }
    }
}

fn of_a_base_everything_is_added(bench: &mut Bench) {
    bench.layer(&base());
    let expected =
        ["A /d", "A /d/f", "A /d/g", "A /d/sub", "A /d/sub/h", "A /empty", "A /file", "A /link", "A /other"];
    assert_eq!(bench.changes(), expected);
    bench.round_trip();
}

fn of_an_applied_layer_it_is_what_its_tar_did(bench: &mut Bench) {
    bench.layer(&base());
    let top = Tarball::new()
        .file(".wh.file", "")
        .file("d/f", "content")
        .file("d/sub/.wh..wh..opq", "")
        .file("d/sub/new", "")
        .folder("empty/", 0o700)
        .file("other", "CONTENT")
        .done();
    bench.layer(&top);
    // Of `d/f` the tar says what it was already.
    let expected = ["C /d", "C /d/sub", "D /d/sub/h", "A /d/sub/new", "C /empty", "D /file", "C /other"];
    assert_eq!(bench.changes(), expected);
    bench.round_trip();
}

fn lists_are_sorted_by_bytes_and_folder_by_folder(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("a-", "x").file("a.b", "x").file("B", "x").done());
    bench.change(|root| {
        for folder in ["a", "a!"] {
            fs::create_dir(root.join(folder)).unwrap();
            fs::write(root.join(folder).join("z"), "").unwrap();
        }
        for file in ["a-", "a.b", "B"] {
            fs::remove_file(root.join(file)).unwrap();
        }
        fs::write(root.join("\u{e9}"), "").unwrap();
    });
    let expected = ["D /B", "A /a", "A /a/z", "A /a!", "A /a!/z", "D /a-", "D /a.b", "A /\\xc3\\xa9"];
    assert_eq!(bench.changes(), expected);
    bench.round_trip();
}

fn the_visitors_error_ends_the_walk(bench: &mut Bench) {
    bench.layer(&base());
    let mut seen = Vec::new();
    let answer = bench.driver.changes(bench.top().as_ref(), &mut |change| {
        assert_eq!(change.kind, ChangeKind::Added);
        seen.push(change.path);
        if seen.len() == 2 {
            Err(DriverError::new(ErrorKind::LimitExceeded, "count", "enough"))
        } else {
            Ok(())
        }
    });
    let error = answer.unwrap_err();
    assert_eq!((error.kind, error.source.to_string()), (ErrorKind::LimitExceeded, "enough".to_owned()));
    assert_eq!(seen, [b"d".to_vec(), b"d/f".to_vec()]);
}
