//! Hard links: names of one file, in a layer, across layers, and made or parted by a container.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plywood_archive::tar::{Entry, Kind};
use rustix::fs::{AtFlags, CWD};

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::{Tarball, blank, entries, paths};

cases! {
    "links";
    five_hundred_names_are_one_file: [Mounts],
    links_to_symlinks_devices_and_fifos_are_one_inode: [Mounts, Root],
    a_container_gives_a_file_below_a_second_name: [Mounts],
    a_container_gives_a_symlink_a_device_and_a_fifo_second_names: [Mounts, Root],
    one_of_three_names_below_is_deleted: [Mounts],
    one_of_three_names_below_is_replaced: [Mounts],
    a_write_through_one_of_two_names_is_in_the_diff_as_it_is_in_the_tree: [Mounts],
    a_layer_links_to_one_of_two_names_below: [Mounts],
    a_chain_of_links_over_three_layers: [Mounts],
    a_link_outlives_the_name_that_the_same_layer_deletes: [Mounts],
    a_link_to_what_an_earlier_entry_of_the_name_was_is_to_that: [Mounts],
    names_change_hands_in_a_container: [Mounts],
    names_in_a_folder_that_is_deleted_leave_the_others: [Mounts],
}

/// Makes a name for what `from` is, not following a symlink.
fn link(from: &Path, to: &Path) {
    rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()).unwrap();
}

fn five_hundred_names_are_one_file(bench: &mut Bench) {
    let mut tar = Tarball::new().folder("d/", 0o755).folder("e/", 0o755).file("d/000", "content");
    for number in 1..500 {
        let folder = if number % 2 == 0 { "d" } else { "e" };
        tar = tar.link(&format!("{folder}/{number:03}"), "d/000");
    }
    let applied = bench.layer(&tar.done());
    assert_eq!((applied.usage.size_bytes, applied.usage.inodes), (7, 3));
    let tree = bench.tree();
    assert_eq!(tree.iter().filter(|line| line.contains(" same as /d/000 644 0:0")).count(), 499);
    bench.look(|root| assert_eq!(root.join("e/499").metadata().unwrap().nlink(), 500));
    bench.round_trip();
    bench.look(|root| assert_eq!(root.join("d/000").metadata().unwrap().nlink(), 500));
    let kinds = entries(&bench.diff()).into_iter().map(|(entry, _)| entry.kind);
    assert_eq!(kinds.filter(|kind| *kind == Kind::HardLink { target: b"d/000".to_vec() }).count(), 499);
}

fn specials() -> Tarball {
    Tarball::new()
        .folder("d/", 0o755)
        .symlink("d/symlink", "nowhere/at all")
        .entry(&blank(b"d/fifo", Kind::Fifo, 0o620), b"")
        .entry(&Entry { uid: 7, ..blank(b"d/null", Kind::CharDevice { major: 1, minor: 3 }, 0o606) }, b"")
        .entry(&blank(b"d/block", Kind::BlockDevice { major: 7, minor: 999 }, 0o600), b"")
}

fn links_to_symlinks_devices_and_fifos_are_one_inode(bench: &mut Bench) {
    let tar = specials()
        .link("z-symlink", "d/symlink")
        .link("z-fifo", "d/fifo")
        .link("z-null", "./d/null")
        .link("z-block", "/d/block")
        .done();
    bench.layer(&tar);
    let tree = bench.tree();
    let number = rustix::fs::makedev;
    assert_eq!(
        below(&tree, "/d/"),
        [
            format!("/d/block block device {} 600 0:0", number(7, 999)),
            "/d/fifo fifo 620 0:0".to_owned(),
            format!("/d/null character device {} 606 7:0", number(1, 3)),
            "/d/symlink -> nowhere/at all 777 0:0".to_owned(),
        ]
    );
    assert_eq!(
        below(&tree, "/z-"),
        [
            "/z-block same as /d/block 600 0:0",
            "/z-fifo same as /d/fifo 620 0:0",
            "/z-null same as /d/null 606 7:0",
            "/z-symlink same as /d/symlink 777 0:0",
        ]
    );
    bench.round_trip();
    // Across layers they are linked, too.
    let top = Tarball::new().link("y-symlink", "d/symlink").link("y-fifo", "d/fifo").link("y-null", "d/null");
    bench.layer(&top.done());
    let tree = bench.tree();
    assert_eq!(below(&tree, "/y-null"), ["/y-null same as /d/null 606 7:0"]);
    assert_eq!(below(&tree, "/y-fifo"), ["/y-fifo same as /d/fifo 620 0:0"]);
    assert_eq!(below(&tree, "/y-symlink"), ["/y-symlink same as /d/symlink 777 0:0"]);
}

fn a_container_gives_a_file_below_a_second_name(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("d/", 0o755).file("d/f", "content").file("d/other", "x").done());
    bench.change(|root| link(&root.join("d/f"), &root.join("name")));
    assert_eq!(bench.changes(), ["C /d", "C /d/f", "A /name"]);
    let found = entries(&bench.diff());
    let (last, _) = found.last().unwrap();
    assert_eq!((&last.path[..], &last.kind), (&b"name"[..], &Kind::HardLink { target: b"d/f".to_vec() }));
    bench.round_trip();
    assert_eq!(below(&bench.tree(), "/name"), ["/name same as /d/f 644 0:0"]);
}

fn a_container_gives_a_symlink_a_device_and_a_fifo_second_names(bench: &mut Bench) {
    bench.layer(&specials().done());
    bench.change(|root| {
        for name in ["symlink", "fifo", "null"] {
            link(&root.join("d").join(name), &root.join(format!("z-{name}")));
        }
    });
    let tree = bench.tree();
    assert_eq!(
        below(&tree, "/z-"),
        [
            "/z-fifo same as /d/fifo 620 0:0",
            "/z-null same as /d/null 606 7:0",
            "/z-symlink same as /d/symlink 777 0:0",
        ]
    );
    bench.round_trip();
}

fn three_names() -> Vec<u8> {
    Tarball::new().file("a", "content").link("b", "a").link("c", "a").file("other", "x").done()
}

/// The names that are left are what they were; a driver whose layers are whole trees may say of them that they changed.
fn one_of_three_names_below_is_deleted(bench: &mut Bench) {
    bench.layer(&three_names());
    bench.change(|root| fs::remove_file(root.join("a")).unwrap());
    let expected =
        ["/ folder 755 0:0", "/b file 'content' 644 0:0", "/c same as /b 644 0:0", "/other file 'x' 644 0:0"];
    assert_eq!(below(&bench.tree(), "/"), expected);
    let changes = bench.changes();
    assert_eq!(changes[0], "D /a");
    assert!(!changes.contains(&"C /other".to_owned()), "{changes:?}");
    bench.round_trip();
    assert_eq!(below(&bench.tree(), "/"), expected);
}

fn one_of_three_names_below_is_replaced(bench: &mut Bench) {
    bench.layer(&three_names());
    bench.change(|root| {
        fs::write(root.join("new"), "another").unwrap();
        fs::rename(root.join("new"), root.join("b")).unwrap();
    });
    let tree = bench.tree();
    assert_eq!(below(&tree, "/a"), ["/a file 'content' 644 0:0"]);
    assert_eq!(below(&tree, "/b"), ["/b file 'another' 644 0:0"]);
    assert_eq!(below(&tree, "/c"), ["/c same as /a 644 0:0"]);
    bench.round_trip();
}

/// On overlayfs without an index a write through one name parts it from the others (Documentation/filesystems/overlayfs.rst,
/// "Non-standard behavior"); on whole trees the names stay one. Whichever a driver shows, its diff says.
fn a_write_through_one_of_two_names_is_in_the_diff_as_it_is_in_the_tree(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("a", "before").link("b", "a").done());
    bench.change(|root| {
        use std::io::Write as _;
        let mut file = fs::File::options().append(true).open(root.join("b")).unwrap();
        file.write_all(b" and after").unwrap();
    });
    let tree = bench.tree();
    let (a, b) = (below(&tree, "/a"), below(&tree, "/b"));
    let parted = a == ["/a file 'before' 644 0:0"] && b == ["/b file 'before and after' 644 0:0"];
    let one = a == ["/a file 'before and after' 644 0:0"] && b == ["/b same as /a 644 0:0"];
    assert!(parted || one, "{tree:?}");
    assert_eq!(bench.changes(), if one { vec!["C /a", "C /b"] } else { vec!["C /b"] });
    bench.round_trip();
    // A layer by itself does not part what it does not name: the other way is the same on every driver.
    bench.chain.truncate(1);
    bench.layer(&Tarball::new().file("b", "replaced").done());
    let tree = bench.tree();
    assert_eq!(below(&tree, "/a"), ["/a file 'before' 644 0:0"]);
    assert_eq!(below(&tree, "/b"), ["/b file 'replaced' 644 0:0"]);
}

/// As unpacking onto the merged view has it: the name that is linked to leaves the others.
fn a_layer_links_to_one_of_two_names_below(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("a", "content").link("b", "a").done());
    bench.layer(&Tarball::new().link("x", "a").done());
    let tree = bench.tree();
    assert_eq!(below(&tree, "/a"), ["/a file 'content' 644 0:0"]);
    assert_eq!(below(&tree, "/b"), ["/b file 'content' 644 0:0"]);
    assert_eq!(below(&tree, "/x"), ["/x same as /a 644 0:0"]);
    bench.round_trip();
}

fn a_chain_of_links_over_three_layers(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "content").done());
    bench.layer(&Tarball::new().link("g", "f").done());
    bench.layer(&Tarball::new().link("h", "g").done());
    let tree = bench.tree();
    assert_eq!(below(&tree, "/f"), ["/f file 'content' 644 0:0"]);
    assert_eq!(below(&tree, "/g"), ["/g file 'content' 644 0:0"]);
    assert_eq!(below(&tree, "/h"), ["/h same as /g 644 0:0"]);
    let tree = bench.branch(2, |bench| bench.tree());
    assert_eq!(below(&tree, "/g"), ["/g same as /f 644 0:0"]);
}

fn a_link_outlives_the_name_that_the_same_layer_deletes(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("d/", 0o755).file("d/lower", "below").done());
    let tar = Tarball::new()
        .link("kept", "d/lower")
        .file("d/.wh.lower", "")
        .file("own", "mine")
        .link("own-kept", "own")
        .file(".wh.own", "")
        .done();
    bench.layer(&tar);
    let expected = [
        "/ folder 755 0:0",
        "/d folder 755 0:0",
        "/kept file 'below' 644 0:0",
        "/own-kept file 'mine' 644 0:0",
    ];
    assert_eq!(below(&bench.tree(), "/"), expected);
    bench.look(|root| assert_eq!(root.join("own-kept").metadata().unwrap().nlink(), 1));
    assert_eq!(bench.changes(), ["C /d", "D /d/lower", "A /kept", "A /own-kept"]);
    bench.round_trip();
    assert_eq!(below(&bench.tree(), "/"), expected);
}

fn a_link_to_what_an_earlier_entry_of_the_name_was_is_to_that(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "below").done());
    let tar = Tarball::new()
        .link("of-below", "f")
        .file("f", "second")
        .link("of-second", "f")
        .file("f", "third")
        .link("of-third", "f")
        .done();
    bench.layer(&tar);
    assert_eq!(
        below(&bench.tree(), "/"),
        [
            "/ folder 755 0:0",
            "/f file 'third' 644 0:0",
            "/of-below file 'below' 644 0:0",
            "/of-second file 'second' 644 0:0",
            "/of-third same as /f 644 0:0",
        ]
    );
}

fn names_change_hands_in_a_container(bench: &mut Bench) {
    let base = Tarball::new().file("a", "first").link("a2", "a").file("b", "second").link("b2", "b");
    bench.layer(&base.folder("d/", 0o755).done());
    bench.change(|root| {
        // Each of two files gets a name of the other's.
        fs::remove_file(root.join("a2")).unwrap();
        fs::remove_file(root.join("b2")).unwrap();
        link(&root.join("b"), &root.join("a2"));
        link(&root.join("a"), &root.join("b2"));
        link(&root.join("a"), &root.join("d/a3"));
    });
    assert_eq!(
        below(&bench.tree(), "/"),
        [
            "/ folder 755 0:0",
            "/a file 'first' 644 0:0",
            "/a2 file 'second' 644 0:0",
            "/b same as /a2 644 0:0",
            "/b2 same as /a 644 0:0",
            "/d folder 755 0:0",
            "/d/a3 same as /a 644 0:0",
        ]
    );
    bench.round_trip();
}

fn names_in_a_folder_that_is_deleted_leave_the_others(bench: &mut Bench) {
    let base = Tarball::new().folder("d/", 0o755).file("d/f", "content").link("kept", "d/f");
    bench.layer(&base.link("d/g", "d/f").done());
    bench.layer(&Tarball::new().file(".wh.d", "").done());
    assert_eq!(below(&bench.tree(), "/"), ["/ folder 755 0:0", "/kept file 'content' 644 0:0"]);
    bench.chain.truncate(1);
    bench.change(|root| fs::remove_dir_all(root.join("d")).unwrap());
    assert_eq!(below(&bench.tree(), "/"), ["/ folder 755 0:0", "/kept file 'content' 644 0:0"]);
    assert!(paths(&bench.diff()).contains(&".wh.d".to_owned()));
    bench.round_trip();
}
