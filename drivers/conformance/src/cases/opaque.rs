//! Opaque folders: what they hide, and over what.

use std::fs;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::Tarball;

cases! {
    "opaque";
    an_opaque_marker_hides_the_same_before_and_after_its_siblings: [Mounts],
    an_opaque_folder_over_a_file: [Mounts],
    an_opaque_folder_over_a_symlink: [Mounts],
    opaque_folders_in_opaque_folders: [Mounts],
    whiteouts_in_an_opaque_folder_are_idle: [Mounts],
}

/// The tree's lines without their times.
fn tree(bench: &Bench) -> Vec<String> {
    below(&bench.tree(), "/").into_iter().map(str::to_owned).collect()
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
