//! One thing in the place of another, and what lies next to it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::Tarball;

cases! {
    "replacing";
    a_folder_is_replaced_by_a_file_and_by_a_folder_again: [Mounts],
    a_file_is_replaced_by_one_of_the_same_name: [Mounts],
    nested_folders_are_deleted_in_part: [Mounts],
    a_folder_is_deleted_one_name_at_a_time: [Mounts],
    what_is_next_to_a_change_is_not_carried: [Mounts],
    hard_links_that_nobody_touched_are_no_change: [Mounts],
    the_time_of_a_link_alone_is_a_change: [Mounts],
    a_link_is_pointed_elsewhere: [Mounts],
    a_link_to_a_folder_becomes_the_folder: [Mounts],
    an_exchange_of_two_names_is_two_changes: [Mounts],
    names_that_differ_little_are_told_apart: [Mounts],
    a_long_chain_of_the_same_name_shows_the_last: [Mounts],
}

fn a_folder_is_replaced_by_a_file_and_by_a_folder_again(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("d/", 0o711).file("d/f1", "1").file("d/s/f2", "2").done());
    bench.change(|root| {
        fs::remove_dir_all(root.join("d")).unwrap();
        fs::write(root.join("d"), "a file").unwrap();
    });
    assert_eq!(bench.changes(), ["C /d"]);
    bench.round_trip();
    bench.change(|root| {
        fs::remove_file(root.join("d")).unwrap();
        fs::create_dir_all(root.join("d/s")).unwrap();
        fs::write(root.join("d/f3"), "3").unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "A /d/f3", "A /d/s"]);
    bench.round_trip();
    let shown = ["/d folder 755 0:0", "/d/f3 file '3' 644 0:0", "/d/s folder 755 0:0"];
    assert_eq!(below(&bench.tree(), "/d"), shown);
}

fn a_file_is_replaced_by_one_of_the_same_name(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("etc/passwd", "root:0").file("etc/shadow", "x").done());
    // As a careful editor does it: beside, then over.
    bench.change(|root| {
        fs::write(root.join("etc/passwd.new"), "root:1").unwrap();
        fs::rename(root.join("etc/passwd.new"), root.join("etc/passwd")).unwrap();
        fs::remove_file(root.join("etc/shadow")).unwrap();
        fs::write(root.join("etc/shadow"), "y").unwrap();
    });
    assert_eq!(bench.changes(), ["C /etc", "C /etc/passwd", "C /etc/shadow"]);
    bench.round_trip();
    let read =
        |root: &Path| ["etc/passwd", "etc/shadow"].map(|name| fs::read_to_string(root.join(name)).unwrap());
    assert_eq!(bench.look(read), ["root:1", "y"]);
}

fn nested_folders_are_deleted_in_part(bench: &mut Bench) {
    let base = Tarball::new()
        .file("test/a/a", "1")
        .file("test/a/b", "1")
        .file("test/b/c/d/e", "1")
        .file("test/b/c/f", "1")
        .file("test/g", "1")
        .done();
    bench.layer(&base);
    bench.change(|root| {
        fs::remove_dir_all(root.join("test/a")).unwrap();
        fs::remove_dir_all(root.join("test/b/c/d")).unwrap();
    });
    assert_eq!(bench.changes(), ["C /test", "D /test/a", "C /test/b", "C /test/b/c", "D /test/b/c/d"]);
    bench.round_trip();
    bench.change(|root| fs::remove_dir_all(root.join("test/b")).unwrap());
    assert_eq!(bench.changes(), ["C /test", "D /test/b"]);
    bench.round_trip();
    bench.change(|root| fs::remove_dir_all(root.join("test")).unwrap());
    assert_eq!(bench.changes(), ["D /test"]);
    bench.round_trip();
    assert_eq!(bench.tree().len(), 1);
}

fn a_folder_is_deleted_one_name_at_a_time(bench: &mut Bench) {
    let names = ["a", "b", "c", "d"];
    let base = names.iter().fold(Tarball::new(), |tar, name| tar.file(&format!("d/{name}"), "x"));
    bench.layer(&base.done());
    for name in names {
        bench.change(|root| fs::remove_file(root.join("d").join(name)).unwrap());
        assert_eq!(bench.changes(), ["C /d".to_owned(), format!("D /d/{name}")]);
        bench.round_trip();
    }
    bench.change(|root| fs::remove_dir(root.join("d")).unwrap());
    assert_eq!(bench.changes(), ["D /d"]);
    bench.round_trip();
    // Made again, it is empty.
    bench.change(|root| fs::create_dir(root.join("d")).unwrap());
    bench.look(|root| assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 0));
    bench.round_trip();
}

fn what_is_next_to_a_change_is_not_carried(bench: &mut Bench) {
    let base =
        (0..50).fold(Tarball::new(), |tar, number| tar.file(&format!("d/{number}"), &"x".repeat(10_000)));
    bench.layer(&base.done());
    bench.change(|root| fs::write(root.join("d/25"), "changed").unwrap());
    let diff = bench.diff();
    assert_eq!(crate::tarball::paths(&diff), ["d/", "d/25"]);
    assert!(diff.len() < 20_000, "{} bytes for one small file", diff.len());
    bench.round_trip();
}

fn hard_links_that_nobody_touched_are_no_change(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/a", "x").link("d/b", "d/a").link("e/c", "d/a").file("f", "y").done());
    bench.change(|root| {
        assert_eq!(fs::read_to_string(root.join("d/b")).unwrap(), "x");
        fs::write(root.join("f"), "changed").unwrap();
    });
    assert_eq!(bench.changes(), ["C /f"]);
    assert_eq!(crate::tarball::paths(&bench.diff()), ["f"]);
    bench.round_trip();
    let tree = bench.tree();
    assert_eq!(below(&tree, "/e/c"), ["/e/c same as /d/a 644 0:0"]);
}

fn the_time_of_a_link_alone_is_a_change(bench: &mut Bench) {
    bench.layer(&Tarball::new().symlink("l", "nowhere").symlink("other", "nowhere").done());
    let time = Timespec { tv_sec: 1_500_000_000, tv_nsec: 987_654_321 };
    bench.change(|root| {
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, root.join("l"), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    });
    assert_eq!(bench.changes(), ["C /l"]);
    bench.round_trip();
    assert!(bench.tree()[1].ends_with("@1500000000.987654321"), "{:?}", bench.tree());
}

fn a_link_is_pointed_elsewhere(bench: &mut Bench) {
    bench.layer(
        &Tarball::new()
            .file("releases/1/f", "1")
            .file("releases/2/f", "2")
            .symlink("current", "releases/1")
            .done(),
    );
    bench.change(|root| {
        symlink("releases/2", root.join("next")).unwrap();
        fs::rename(root.join("next"), root.join("current")).unwrap();
    });
    assert_eq!(bench.changes(), ["C /current"]);
    bench.round_trip();
    assert_eq!(bench.look(|root| fs::read_to_string(root.join("current/f")).unwrap()), "2");
}

fn a_link_to_a_folder_becomes_the_folder(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("usr/lib/f", "x").symlink("lib", "usr/lib").done());
    bench.change(|root| {
        fs::remove_file(root.join("lib")).unwrap();
        fs::rename(root.join("usr/lib/f"), root.join("f")).unwrap();
        fs::create_dir(root.join("lib")).unwrap();
        fs::rename(root.join("f"), root.join("lib/f")).unwrap();
        fs::remove_dir(root.join("usr/lib")).unwrap();
        symlink("../lib", root.join("usr/lib")).unwrap();
    });
    assert_eq!(bench.changes(), ["C /lib", "A /lib/f", "C /usr", "C /usr/lib"]);
    bench.round_trip();
    let tree = bench.tree();
    assert_eq!(below(&tree, "/lib"), ["/lib folder 755 0:0", "/lib/f file 'x' 644 0:0"]);
    assert_eq!(below(&tree, "/usr/lib"), ["/usr/lib -> ../lib 777 0:0"]);
}

fn an_exchange_of_two_names_is_two_changes(bench: &mut Bench) {
    bench.layer(
        &Tarball::new().file("a", "of a").file("b", "of b").folder("d/", 0o700).file("d/f", "x").done(),
    );
    bench.change(|root| {
        for (from, to) in [("a", "t"), ("b", "a"), ("t", "b")] {
            fs::rename(root.join(from), root.join(to)).unwrap();
        }
    });
    assert_eq!(bench.changes(), ["C /a", "C /b"]);
    bench.round_trip();
    assert_eq!(below(&bench.tree(), "/a"), ["/a file 'of b' 644 0:0"]);
}

fn names_that_differ_little_are_told_apart(bench: &mut Bench) {
    // Upper and lower case, composed and decomposed, with and without a point or a space at the end.
    let names =
        ["README", "Readme", "readme", "\u{e9}", "e\u{301}", "f", "f.", "f ", " f", ".f", "..f", "f\u{200b}"];
    bench.layer(&names.iter().fold(Tarball::new(), |tar, name| tar.file(name, name)).done());
    bench.look(|root| {
        for name in names {
            assert_eq!(fs::read_to_string(root.join(name)).unwrap(), name);
        }
    });
    bench.change(|root| {
        for name in names.iter().step_by(2) {
            fs::remove_file(root.join(name)).unwrap();
        }
    });
    assert_eq!(bench.changes().len(), names.len() / 2);
    bench.round_trip();
    bench.look(|root| {
        for (number, name) in names.iter().enumerate() {
            assert_eq!(root.join(name).exists(), number % 2 == 1, "{name:?}");
        }
    });
}

fn a_long_chain_of_the_same_name_shows_the_last(bench: &mut Bench) {
    // A file, a folder, nothing, a link, by turns.
    for number in 0..24_u32 {
        bench.commit(|root| {
            let path = root.join("name");
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path).unwrap();
            } else if path.symlink_metadata().is_ok() {
                fs::remove_file(&path).unwrap();
            }
            match number % 4 {
                0 => fs::write(&path, number.to_string()).unwrap(),
                1 => {
                    fs::create_dir(&path).unwrap();
                    fs::write(path.join(number.to_string()), "x").unwrap();
                }
                2 => {}
                _ => symlink(number.to_string(), &path).unwrap(),
            }
        });
        let expected = match number % 4 {
            0 if number == 0 => vec!["A /name".to_owned()],
            0 | 2 => vec![format!("{} /name", if number % 4 == 0 { 'C' } else { 'D' })],
            1 => vec!["C /name".to_owned(), format!("A /name/{number}")],
            _ => vec!["A /name".to_owned()],
        };
        assert_eq!(bench.changes(), expected, "layer {number}");
        bench.round_trip();
    }
    for number in (1..24).step_by(4) {
        let inner = bench.look_at(&bench.at(number), |root| fs::read_dir(root.join("name")).unwrap().count());
        assert_eq!(inner, 1, "layer {number} shows what earlier ones held");
    }
}
