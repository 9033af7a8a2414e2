//! Whiteouts, opaque folders and folders that a tar only implies.

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
    an_opaque_marker_hides_the_same_before_and_after_its_siblings: [Mounts],
    an_opaque_folder_over_a_file: [Mounts],
    an_opaque_folder_over_a_symlink: [Mounts],
    opaque_folders_in_opaque_folders: [Mounts],
    whiteouts_in_an_opaque_folder_are_idle: [Mounts],
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

fn an_opaque_marker_hides_the_same_before_and_after_its_siblings(bench: &mut Bench) {
    let base =
        Tarball::new().folder("d/", 0o755).file("d/old", "x").file("d/kept/old", "x").file("d/same", "old");
    bench.layer(&base.done());
    let marker = |tar: Tarball| tar.file("d/.wh..wh..opq", "");
    let first = |tar: Tarball| tar.folder("d/", 0o750).file("d/same", "new");
    let second = |tar: Tarball| tar.file("d/kept/new", "y").file("d/new", "y");
    let orders = [
        second(first(marker(Tarball::new()))),
        second(marker(first(Tarball::new()))),
        marker(second(first(Tarball::new()))),
        marker(second(marker(first(marker(Tarball::new()))))),
    ];
    for tar in orders {
        bench.branch(1, |bench| {
            bench.layer(&tar.done());
            assert_eq!(
                tree(bench),
                [
                    "/ folder 755 0:0",
                    "/d folder 750 0:0",
                    "/d/kept folder 755 0:0",
                    "/d/kept/new file 'y' 644 0:0",
                    "/d/new file 'y' 644 0:0",
                    "/d/same file 'new' 644 0:0",
                ]
            );
            assert_eq!(
                bench.changes(),
                ["C /d", "C /d/kept", "A /d/kept/new", "D /d/kept/old", "A /d/new", "D /d/old", "C /d/same"]
            );
            bench.round_trip();
        });
    }
}

fn an_opaque_folder_over_a_file(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d", "file").file("e", "file").done());
    let top = Tarball::new()
        .folder("d/", 0o711)
        .file("d/.wh..wh..opq", "")
        .file("d/f", "x")
        .file("e/.wh..wh..opq", "")
        .file("e/g", "y");
    bench.layer(&top.done());
    let expected = [
        "/ folder 755 0:0",
        "/d folder 711 0:0",
        "/d/f file 'x' 644 0:0",
        "/e folder 755 0:0",
        "/e/g file 'y' 644 0:0",
    ];
    assert_eq!(tree(bench), expected);
    bench.round_trip();
    assert_eq!(tree(bench), expected);
}

/// Described, the folder takes the link's place; implied, it is what the link points to, which is then emptied.
fn an_opaque_folder_over_a_symlink(bench: &mut Bench) {
    let base = Tarball::new()
        .folder("target/", 0o750)
        .file("target/old", "x")
        .folder("other/", 0o700)
        .file("other/old", "x")
        .symlink("described", "target")
        .symlink("implied", "other");
    bench.layer(&base.done());
    let top = Tarball::new()
        .folder("described/", 0o711)
        .file("described/.wh..wh..opq", "")
        .file("described/f", "x")
        .file("implied/.wh..wh..opq", "")
        .file("implied/g", "y");
    bench.layer(&top.done());
    let expected = [
        "/ folder 755 0:0",
        "/described folder 711 0:0",
        "/described/f file 'x' 644 0:0",
        "/implied -> other 777 0:0",
        "/other folder 700 0:0",
        "/other/g file 'y' 644 0:0",
        "/target folder 750 0:0",
        "/target/old file 'x' 644 0:0",
    ];
    assert_eq!(tree(bench), expected);
    bench.round_trip();
    assert_eq!(tree(bench), expected);
}

fn opaque_folders_in_opaque_folders(bench: &mut Bench) {
    let base =
        Tarball::new().file("a/b/c/old", "x").file("a/b/old", "x").file("a/old", "x").file("a/d/old", "x");
    bench.layer(&base.done());
    bench.layer(&Tarball::new().file("a/b/c/middle", "x").done());
    let top = Tarball::new()
        .file("a/b/.wh..wh..opq", "")
        .file("a/b/c/.wh..wh..opq", "")
        .file("a/b/c/new", "y")
        .file("a/d/new", "y");
    bench.layer(&top.done());
    let expected = [
        "/ folder 755 0:0",
        "/a folder 755 0:0",
        "/a/b folder 755 0:0",
        "/a/b/c folder 755 0:0",
        "/a/b/c/new file 'y' 644 0:0",
        "/a/d folder 755 0:0",
        "/a/d/new file 'y' 644 0:0",
        "/a/d/old file 'x' 644 0:0",
        "/a/old file 'x' 644 0:0",
    ];
    assert_eq!(tree(bench), expected);
    bench.round_trip();
    // And one above both, with nothing else.
    bench.layer(&Tarball::new().file("a/.wh..wh..opq", "").file("a/b/c/.wh..wh..opq", "").done());
    assert_eq!(
        tree(bench),
        ["/ folder 755 0:0", "/a folder 755 0:0", "/a/b folder 755 0:0", "/a/b/c folder 755 0:0"]
    );
    bench.round_trip();
}

fn whiteouts_in_an_opaque_folder_are_idle(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/f", "x").file("d/g", "x").file("d/sub/h", "x").done());
    let top = Tarball::new()
        .file("d/.wh.f", "")
        .file("d/.wh..wh..opq", "")
        .file("d/.wh.g", "")
        .file("d/sub/.wh.h", "")
        .file("d/f", "new");
    bench.layer(&top.done());
    assert_eq!(
        tree(bench),
        ["/ folder 755 0:0", "/d folder 755 0:0", "/d/f file 'new' 644 0:0", "/d/sub folder 755 0:0"]
    );
    bench.look(|root| assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 2));
    assert_eq!(bench.changes(), ["C /d", "C /d/f", "D /d/g", "C /d/sub", "D /d/sub/h"]);
    bench.round_trip();
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
