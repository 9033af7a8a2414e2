//! Layers on layers: unpacked apart, and equal to what unpacking them one onto the other gives.

use plywood_graphdriver::ErrorKind;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::{SHOWN_TIME, Tarball};

cases! {
    "parents";
    an_implied_folder_is_what_it_is_below: [Mounts],
    files_below_a_link_of_a_parent_go_where_it_points: [Mounts],
    a_hard_link_to_a_file_below_copies_it_up_and_stays_one_file: [Mounts],
    a_hard_link_to_nothing_is_refused_wherever_it_shows: [Mounts],
    whiteouts_delete_and_what_comes_after_them_is_new: [Mounts],
    an_opaque_root_hides_all_below: [Mounts],
    links_of_the_layer_itself_are_followed_inside_it: [Mounts],
    a_hard_link_to_itself_is_there_already: [Mounts],
    links_to_links_to_a_file_below_are_all_one_file: [Mounts],
    a_whiteout_of_nothing_does_not_show: [Mounts],
    what_a_layer_deletes_does_not_come_back_by_a_link: [Mounts],
    a_folder_that_takes_the_place_of_a_link_below_takes_what_comes_after_it: [Mounts],
    a_hard_link_through_a_link_of_the_layer_finds_the_file_below: [Mounts],
    an_opaque_root_leaves_the_times_that_were_said: [Mounts],
}

fn an_implied_folder_is_what_it_is_below(bench: &mut Bench) {
    let base = Tarball::new().folder("./", 0o755).folder("etc/", 0o700).file("etc/a", "a").done();
    let top = Tarball::new().file("etc/b", "b").file("new/deep/c", "c").done();
    bench.layer(&base);
    bench.layer(&top);
    assert_eq!(
        bench.tree(),
        [
            "/ folder 755 0:0 @1600000000.123456789",
            "/etc folder 700 0:0 @1600000000.123456789",
            "/etc/a file 'a' 644 0:0 @1600000000.123456789",
            "/etc/b file 'b' 644 0:0 @1600000000.123456789",
            "/new folder 755 0:0 @0.000000000",
            "/new/deep folder 755 0:0 @0.000000000",
            "/new/deep/c file 'c' 644 0:0 @1600000000.123456789",
        ]
    );
}

fn files_below_a_link_of_a_parent_go_where_it_points(bench: &mut Bench) {
    let base = Tarball::new()
        .folder("usr/lib/", 0o755)
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr/../usr/lib")
        .done();
    let top = Tarball::new()
        .file("lib/one", "1")
        .file("abs/sub/two", "2")
        .file("usr/lib/one", "later")
        .file("lib/.wh.three", "")
        .done();
    bench.layer(&base);
    bench.layer(&Tarball::new().file("usr/lib/three", "3").done());
    bench.layer(&top);
    let tree = bench.tree();
    assert_eq!(below(&tree, "/lib"), ["/lib -> usr/lib 777 0:0"]);
    assert_eq!(
        below(&tree, "/usr/lib/"),
        [
            "/usr/lib/one file 'later' 644 0:0",
            "/usr/lib/sub folder 755 0:0",
            "/usr/lib/sub/two file '2' 644 0:0"
        ]
    );
}

fn a_hard_link_to_a_file_below_copies_it_up_and_stays_one_file(bench: &mut Bench) {
    let base = Tarball::new().folder("d/", 0o750).file("d/target", "content").done();
    let top = Tarball::new().link("first", "d/target").link("e/second", "/d/target").done();
    bench.layer(&base);
    bench.layer(&top);
    let tree = bench.tree();
    assert_eq!(below(&tree, "/d"), ["/d folder 750 0:0", "/d/target file 'content' 644 0:0"]);
    assert_eq!(below(&tree, "/first"), ["/first same as /d/target 644 0:0"]);
    assert_eq!(below(&tree, "/e/second"), ["/e/second same as /d/target 644 0:0"]);
    assert!(tree[1].ends_with("@1600000000.123456789"), "the folder's time changed: {}", tree[1]);
}

fn a_hard_link_to_nothing_is_refused_wherever_it_shows(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("there", "x").folder("folder/", 0o755).done());
    for tar in [
        Tarball::new().link("a", "missing"),
        Tarball::new().link("a", "later").file("later", "x"),
        Tarball::new().link("a", "folder"),
        Tarball::new().folder("own/", 0o755).link("a", "own"),
        Tarball::new().file(".wh.there", "").link("a", "there"),
    ] {
        let error = bench.try_layer(&tar.done()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}: {}", error.source);
    }
}

fn whiteouts_delete_and_what_comes_after_them_is_new(bench: &mut Bench) {
    let base = Tarball::new()
        .file("gone", "x")
        .folder("again/", 0o700)
        .file("again/old", "x")
        .folder("opaque/", 0o750)
        .file("opaque/old", "x")
        .folder("opaque/kept/", 0o755)
        .file("opaque/kept/old", "x")
        .folder("replaced/", 0o755)
        .file("replaced/old", "x")
        .file("sub/deep/old", "x")
        .done();
    let top = Tarball::new()
        .file(".wh.gone", "")
        .file(".wh.never-there", "")
        .file(".wh.again", "")
        .file("again/new", "n")
        .file("opaque/kept/new", "n")
        .file("opaque/.wh..wh..opq", "")
        .file("replaced", "now a file")
        .file(".wh.replaced-later", "")
        .folder("replaced-later/", 0o711)
        .file("mine", "x")
        .file(".wh.mine", "")
        .folder("sub/deep/", 0o755)
        .file("sub/.wh.deep", "")
        .folder("sub/deep/", 0o700)
        .done();
    bench.layer(&base);
    bench.layer(&top);
    let tree: Vec<String> = below(&bench.tree(), "/").into_iter().map(str::to_owned).collect();
    assert_eq!(
        tree,
        [
            "/ folder 755 0:0",
            "/again folder 755 0:0",
            "/again/new file 'n' 644 0:0",
            "/opaque folder 750 0:0",
            "/opaque/kept folder 755 0:0",
            "/opaque/kept/new file 'n' 644 0:0",
            "/replaced file 'now a file' 644 0:0",
            "/replaced-later folder 711 0:0",
            "/sub folder 755 0:0",
            "/sub/deep folder 700 0:0",
        ]
    );
}

fn an_opaque_root_hides_all_below(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("a", "x").file("d/old", "x").done());
    bench.layer(&Tarball::new().file("d/new", "n").file(".wh..wh..opq", "").file("b", "y").done());
    let tree = bench.tree();
    assert_eq!(
        below(&tree, "/"),
        ["/ folder 755 0:0", "/b file 'y' 644 0:0", "/d folder 755 0:0", "/d/new file 'n' 644 0:0"]
    );
}

fn links_of_the_layer_itself_are_followed_inside_it(bench: &mut Bench) {
    let tar = Tarball::new()
        .symlink("p", "/out/../target")
        .file("p/f", "x")
        .symlink("chain", "p")
        .file("chain/g", "y")
        .done();
    bench.layer(&tar);
    let tree = bench.tree();
    assert_eq!(
        below(&tree, "/target"),
        ["/target folder 755 0:0", "/target/f file 'x' 644 0:0", "/target/g file 'y' 644 0:0"]
    );
    let error = bench.try_layer(&Tarball::new().symlink("l", "m").symlink("m", "l").file("l/f", "x").done());
    assert!(error.unwrap_err().source.to_string().contains("loop"));
}

fn a_hard_link_to_itself_is_there_already(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/a", "x").link("d/b", "d/a").link("d/a", "./d/a").done());
    assert_eq!(below(&bench.tree(), "/d/"), ["/d/a file 'x' 644 0:0", "/d/b same as /d/a 644 0:0"]);
}

fn links_to_links_to_a_file_below_are_all_one_file(bench: &mut Bench) {
    let base = Tarball::new()
        .file("f", "content")
        .symlink("s", "f")
        .folder("usr/lib/", 0o755)
        .symlink("lib", "usr/lib");
    let base = base.file("usr/lib/x", "x").done();
    let top = Tarball::new()
        .link("a", "f")
        .link("b", "f")
        .link("c", "b")
        .link("d", "c")
        .link("t", "s")
        .link("u", "t")
        .link("y", "lib/x")
        .done();
    bench.layer(&base);
    bench.layer(&top);
    let tree = bench.tree();
    for name in ["/b ", "/c ", "/d ", "/f "] {
        assert_eq!(below(&tree, name), [format!("{name}same as /a 644 0:0")]);
    }
    assert_eq!(below(&tree, "/a "), ["/a file 'content' 644 0:0"]);
    assert_eq!(below(&tree, "/s "), ["/s -> f 777 0:0"]);
    for name in ["/t ", "/u "] {
        assert_eq!(below(&tree, name), [format!("{name}same as /s 777 0:0")]);
    }
    assert_eq!(below(&tree, "/usr/lib/x "), ["/usr/lib/x file 'x' 644 0:0"]);
    assert_eq!(below(&tree, "/y "), ["/y same as /usr/lib/x 644 0:0"]);
}

fn a_whiteout_of_nothing_does_not_show(bench: &mut Bench) {
    let top = Tarball::new()
        .folder("new/", 0o755)
        .file("new/.wh.x", "")
        .file(".wh.y", "")
        .file("old/.wh.z", "")
        .folder("fresh/", 0o755)
        .file("fresh/.wh..wh..opq", "")
        .folder("file/", 0o755)
        .file("file/.wh..wh..opq", "")
        .file("file/.wh.x", "")
        .done();
    bench.layer(&Tarball::new().folder("old/", 0o755).file("old/a", "a").file("file", "x").done());
    bench.layer(&top);
    bench.look(|root| {
        for (folder, count) in [("", 4), ("new", 0), ("old", 1), ("fresh", 0), ("file", 0)] {
            let listed: Vec<_> =
                std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap()).collect();
            assert_eq!(listed.len(), count, "{folder}: {listed:?}");
        }
    });
    let tree = bench.tree();
    assert!(tree[1..].iter().all(|line| line.ends_with(SHOWN_TIME)), "{tree:?}");
}

fn what_a_layer_deletes_does_not_come_back_by_a_link(bench: &mut Bench) {
    let base = Tarball::new().folder("d/", 0o755).file("d/f", "content").done();
    bench.layer(&base);
    bench.layer(&Tarball::new().link("x", "d/f").file(".wh.d", "").done());
    let tree = bench.tree();
    assert_eq!(below(&tree, "/"), ["/ folder 755 0:0", "/x file 'content' 644 0:0"]);
}

fn a_folder_that_takes_the_place_of_a_link_below_takes_what_comes_after_it(bench: &mut Bench) {
    let base = Tarball::new().folder("usr/lib/", 0o755).symlink("lib", "usr/lib").done();
    let top = Tarball::new()
        .file("lib/a", "a")
        .link("lib/a2", "lib/a")
        .folder("lib/", 0o755)
        .file("lib/b", "b")
        .done();
    bench.layer(&base);
    bench.layer(&top);
    let tree = bench.tree();
    assert_eq!(below(&tree, "/lib"), ["/lib folder 755 0:0", "/lib/b file 'b' 644 0:0"]);
    assert_eq!(
        below(&tree, "/usr/lib/"),
        ["/usr/lib/a file 'a' 644 0:0", "/usr/lib/a2 same as /usr/lib/a 644 0:0"]
    );
}

fn a_hard_link_through_a_link_of_the_layer_finds_the_file_below(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("d/", 0o755).file("d/f", "content").done());
    bench.layer(&Tarball::new().symlink("l", "/d").link("x", "l/f").done());
    let tree = bench.tree();
    assert_eq!(below(&tree, "/x"), ["/x same as /d/f 644 0:0"]);
}

fn an_opaque_root_leaves_the_times_that_were_said(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("bin/", 0o755).file("etc/x", "x").done());
    bench.layer(&Tarball::new().folder("./", 0o755).folder("etc/", 0o755).file(".wh..wh..opq", "").done());
    let time = "@1600000000.123456789";
    assert_eq!(bench.tree(), [format!("/ folder 755 0:0 {time}"), format!("/etc folder 755 0:0 {time}")]);
}
