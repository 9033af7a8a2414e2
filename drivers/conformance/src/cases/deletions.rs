//! Whiteouts, and folders that a tar only implies.

use std::fs;
use std::path::Path;

use plywood_archive::tar::{Entry, Kind};

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::{TIME, Tarball, blank, paths};

cases! {
    "deletions";
    of_ten_thousand_files_one_is_changed_and_then_all_are_deleted: [Mounts],
    a_thousand_files_are_deleted_one_by_one: [Mounts],
    whiteouts_of_what_is_not_there: [Mounts],
    a_whiteout_below_a_file_of_the_parent: [Mounts],
    what_is_deleted_and_added_in_one_layer_is_new: [Mounts],
    what_is_added_and_deleted_in_one_layer_is_gone: [Mounts],
    a_name_is_a_folder_a_file_a_symlink_and_a_folder_again: [Mounts],
    implied_folders_take_all_that_is_below: [Mounts, Root, UserXattrs],
    an_implied_folder_over_a_file_is_a_folder: [Mounts],
    a_deleted_folder_comes_back_bare_in_the_next_layer: [Mounts],
    a_container_empties_a_folder_and_its_diff_says_which_files: [Mounts],
}

fn many(count: u32) -> Vec<u8> {
    let mut tar = Tarball::new().folder("./", 0o755).folder("big/", 0o755);
    for number in 0..count {
        tar = tar.file(&format!("big/{number:05}"), "");
    }
    tar.file("beside", "x").done()
}

/// The tree's lines without their times.
fn tree(bench: &Bench) -> Vec<String> {
    below(&bench.tree(), "/").into_iter().map(str::to_owned).collect()
}

fn of_ten_thousand_files_one_is_changed_and_then_all_are_deleted(bench: &mut Bench) {
    bench.layer(&many(10_000));
    bench.change(|root| {
        fs::write(root.join("big/05000"), "x").unwrap();
        assert_eq!(fs::read_dir(root.join("big")).unwrap().count(), 10_000);
    });
    assert_eq!(bench.changes(), ["C /big", "C /big/05000"]);
    assert_eq!(paths(&bench.diff()), ["big/", "big/05000"]);
    bench.write(|root| fs::remove_dir_all(root.join("big")).unwrap());
    assert_eq!(bench.changes(), ["D /big"]);
    assert_eq!(paths(&bench.diff()), ["./", ".wh.big"]);
    assert_eq!(tree(bench), ["/ folder 755 0:0", "/beside file 'x' 644 0:0"]);
    bench.round_trip();
    assert_eq!(bench.usage().inodes, 0);
}

fn a_thousand_files_are_deleted_one_by_one(bench: &mut Bench) {
    bench.layer(&many(1000));
    let mut tar = Tarball::new();
    for number in 1..1000 {
        tar = tar.file(&format!("big/.wh.{number:05}"), "");
    }
    bench.layer(&tar.done());
    let left =
        ["/ folder 755 0:0", "/beside file 'x' 644 0:0", "/big folder 755 0:0", "/big/00000 file '' 644 0:0"];
    assert_eq!(tree(bench), left);
    assert_eq!(bench.changes().len(), 1000);
    bench.round_trip();
}

/// A folder that only a whiteout implies is made, as unpacking onto the merged view makes it.
fn whiteouts_of_what_is_not_there(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("./", 0o755).folder("d/", 0o700).file("d/f", "x").done());
    let top = Tarball::new()
        .file(".wh.nothing", "")
        .file("d/.wh.nothing", "")
        .file("no/folder/.wh.nothing", "")
        .folder("opaque/", 0o755)
        .file("opaque/.wh..wh..opq", "");
    bench.layer(&top.done());
    let expected = [
        "/ folder 755 0:0",
        "/d folder 700 0:0",
        "/d/f file 'x' 644 0:0",
        "/no folder 755 0:0",
        "/no/folder folder 755 0:0",
        "/opaque folder 755 0:0",
    ];
    assert_eq!(tree(bench), expected);
    assert_eq!(bench.changes(), ["A /no", "A /no/folder", "A /opaque"]);
    assert_eq!(bench.listing().at("d").unwrap().modified, TIME);
    bench.round_trip();
    assert_eq!(tree(bench), expected);
}

fn a_whiteout_below_a_file_of_the_parent(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").file("g", "x").done());
    match bench.try_layer(&Tarball::new().file("f/.wh.x", "").done()) {
        // The name must be a folder for anything to be deleted in it, so it is one.
        Ok(_) => assert_eq!(tree(bench), ["/ folder 755 0:0", "/f folder 755 0:0", "/g file 'x' 644 0:0"]),
        Err(error) => assert_eq!(error.kind, plywood_graphdriver::ErrorKind::InvalidInput),
    }
}

fn base_of_each_kind() -> Tarball {
    Tarball::new()
        .file("file", "old")
        .symlink("symlink", "old")
        .folder("folder/", 0o700)
        .file("folder/old", "x")
}

fn what_is_deleted_and_added_in_one_layer_is_new(bench: &mut Bench) {
    bench.layer(&base_of_each_kind().done());
    let top = Tarball::new()
        .file(".wh.file", "")
        .file("file", "new")
        .file(".wh.symlink", "")
        .symlink("symlink", "new")
        .file(".wh.folder", "")
        .folder("folder/", 0o755)
        .file("folder/new", "y");
    bench.layer(&top.done());
    assert_eq!(
        tree(bench),
        [
            "/ folder 755 0:0",
            "/file file 'new' 644 0:0",
            "/folder folder 755 0:0",
            "/folder/new file 'y' 644 0:0",
            "/symlink -> new 777 0:0",
        ]
    );
    assert_eq!(bench.changes(), ["C /file", "C /folder", "A /folder/new", "D /folder/old", "C /symlink"]);
    bench.round_trip();
}

fn what_is_added_and_deleted_in_one_layer_is_gone(bench: &mut Bench) {
    bench.layer(&base_of_each_kind().done());
    let top = Tarball::new()
        .file("file", "new")
        .file(".wh.file", "")
        .symlink("symlink", "new")
        .file(".wh.symlink", "")
        .folder("folder/", 0o755)
        .file("folder/new", "y")
        .file(".wh.folder", "")
        .file("own", "only here")
        .file(".wh.own", "");
    bench.layer(&top.done());
    assert_eq!(tree(bench), ["/ folder 755 0:0"]);
    assert_eq!(bench.changes(), ["D /file", "D /folder", "D /symlink"]);
    bench.round_trip();
}

fn a_name_is_a_folder_a_file_a_symlink_and_a_folder_again(bench: &mut Bench) {
    let folder = |name: &str| Tarball::new().folder("n/", 0o700).file(&format!("n/{name}"), "x");
    let stages: [(Tarball, &[&str]); 5] = [
        (folder("first"), &["/n folder 700 0:0", "/n/first file 'x' 644 0:0"]),
        (Tarball::new().file("n", "file"), &["/n file 'file' 644 0:0"]),
        (folder("second"), &["/n folder 700 0:0", "/n/second file 'x' 644 0:0"]),
        (Tarball::new().symlink("n", "elsewhere"), &["/n -> elsewhere 777 0:0"]),
        (folder("third"), &["/n folder 700 0:0", "/n/third file 'x' 644 0:0"]),
    ];
    let mut expected = Vec::new();
    for (tar, lines) in stages {
        bench.layer(&tar.done());
        assert_eq!(tree(bench)[1..], *lines);
        bench.round_trip();
        expected.push(lines);
    }
    // A container goes the same way.
    bench.chain.clear();
    let steps: [fn(&Path); 5] = [
        |root| {
            fs::create_dir(root.join("n")).unwrap();
            fs::write(root.join("n/first"), "x").unwrap();
        },
        |root| {
            fs::remove_dir_all(root.join("n")).unwrap();
            fs::write(root.join("n"), "file").unwrap();
        },
        |root| {
            fs::remove_file(root.join("n")).unwrap();
            fs::create_dir(root.join("n")).unwrap();
            fs::write(root.join("n/second"), "x").unwrap();
        },
        |root| {
            fs::remove_dir_all(root.join("n")).unwrap();
            std::os::unix::fs::symlink("elsewhere", root.join("n")).unwrap();
        },
        |root| {
            fs::remove_file(root.join("n")).unwrap();
            fs::create_dir(root.join("n")).unwrap();
            fs::write(root.join("n/third"), "x").unwrap();
        },
    ];
    for (step, lines) in steps.into_iter().zip(expected) {
        bench.change(step);
        bench.round_trip();
        let lines: Vec<String> = lines.iter().map(|line| line.replace("folder 700", "folder 755")).collect();
        assert_eq!(tree(bench)[1..], lines);
    }
}

fn implied_folders_take_all_that_is_below(bench: &mut Bench) {
    let folder = |path: &[u8], mode, uid| Entry {
        uid,
        gid: uid + 1,
        xattrs: vec![(b"user.of".to_vec(), path.to_vec())],
        ..blank(path, Kind::Directory, mode)
    };
    let base = Tarball::new()
        .entry(&folder(b"./", 0o711, 1), b"")
        .entry(&folder(b"a/", 0o1777, 10), b"")
        .entry(&folder(b"a/b/", 0o2750, 100_000), b"");
    bench.layer(&base.done());
    bench.layer(&Tarball::new().file("a/b/c/new", "x").done());
    let expected = [
        "/ folder 711 1:2 user.of=./",
        "/a folder 1777 10:11 user.of=a/",
        "/a/b folder 2750 100000:100001 user.of=a/b/",
        "/a/b/c folder 755 0:0",
        "/a/b/c/new file 'x' 644 0:0",
    ];
    assert_eq!(tree(bench), expected);
    for path in ["", "a", "a/b"] {
        assert_eq!(bench.listing().at(path).unwrap().modified, TIME, "/{path}");
    }
    assert_eq!(bench.changes(), ["C /a", "C /a/b", "A /a/b/c", "A /a/b/c/new"]);
    bench.round_trip();
    // Through a layer that says nothing of them.
    bench.layer(&Tarball::new().file("beside", "").done());
    bench.layer(&Tarball::new().file("a/b/later", "").done());
    assert_eq!(below(&bench.tree(), "/a/b "), [expected[2]]);
}

fn an_implied_folder_over_a_file_is_a_folder(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "file").file("d/g", "file").done());
    bench.layer(&Tarball::new().file("f/new", "x").file("d/g/deep/new", "x").done());
    let expected = [
        "/ folder 755 0:0",
        "/d folder 755 0:0",
        "/d/g folder 755 0:0",
        "/d/g/deep folder 755 0:0",
        "/d/g/deep/new file 'x' 644 0:0",
        "/f folder 755 0:0",
        "/f/new file 'x' 644 0:0",
    ];
    assert_eq!(tree(bench), expected);
    bench.round_trip();
    assert_eq!(tree(bench), expected);
}

fn a_deleted_folder_comes_back_bare_in_the_next_layer(bench: &mut Bench) {
    let described = Entry { uid: 9, ..blank(b"d/", Kind::Directory, 0o700) };
    bench.layer(&Tarball::new().entry(&described, b"").file("d/old", "x").done());
    bench.layer(&Tarball::new().file(".wh.d", "").done());
    bench.layer(&Tarball::new().file("d/new", "y").done());
    assert_eq!(tree(bench), ["/ folder 755 0:0", "/d folder 755 0:0", "/d/new file 'y' 644 0:0"]);
    assert_eq!(bench.changes(), ["A /d", "A /d/new"]);
    bench.round_trip();
    // The same with the deletion in a container.
    bench.chain.truncate(1);
    bench.commit(|root| fs::remove_dir_all(root.join("d")).unwrap());
    bench.layer(&Tarball::new().file("d/new", "y").done());
    assert_eq!(tree(bench), ["/ folder 755 0:0", "/d folder 755 0:0", "/d/new file 'y' 644 0:0"]);
}

fn a_container_empties_a_folder_and_its_diff_says_which_files(bench: &mut Bench) {
    bench.layer(
        &Tarball::new().folder("d/", 0o755).file("d/f", "x").file("d/sub/g", "x").file("d/z", "x").done(),
    );
    bench.change(|root| {
        fs::remove_file(root.join("d/f")).unwrap();
        fs::remove_dir_all(root.join("d/sub")).unwrap();
        fs::remove_file(root.join("d/z")).unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "D /d/f", "D /d/sub", "D /d/z"]);
    assert_eq!(paths(&bench.diff()), ["d/", "d/.wh.f", "d/.wh.sub", "d/.wh.z"]);
    bench.round_trip();
    assert_eq!(tree(bench), ["/ folder 755 0:0", "/d folder 755 0:0"]);
}
