//! Rows 8, 9 and 19: an entry where another stands already. The name itself is replaced, never what it leads to.

use crate::crafted::{Crafted, MODE};
use crate::look::{Kind, Tree};
use crate::stage::{Layer, Stage, on_each_driver};

/// Applies two parts as one layer, and the second on top of the first.
fn one_and_two(stage: &Stage, first: &Crafted, second: &Crafted) -> [Layer; 2] {
    let one = stage.accept(None, &first.clone().raw(&second.clone().cut()).end());
    let below = stage.accept(None, &first.clone().end());
    [one, stage.accept(Some(&below), &second.clone().end())]
}

#[test]
fn row_8_a_folder_replaces_a_link_and_leaves_its_target() {
    on_each_driver(|stage| {
        for outside in [stage.canary.outside(), stage.canary.far(), "../../../outside".to_owned()] {
            let link = Crafted::new().symlink("x", &outside);
            let folder = Crafted::new().folder("x", 0o707).file("x/f", b"mine");
            for layer in one_and_two(stage, &link, &folder) {
                let tree = stage.seen(&layer);
                assert_eq!((tree.at("x").kind, tree.at("x").mode), (Kind::Folder, 0o707));
                assert_eq!(tree.paths(), ["x", "x/f"]);
            }
        }
    });
}

#[test]
fn row_8_the_folder_inside_that_the_link_led_to_keeps_its_mode() {
    on_each_driver(|stage| {
        let link = Crafted::new().folder("out", 0o751).file("out/f", b"kept").symlink("x", "out");
        for layer in one_and_two(stage, &link, &Crafted::new().folder("x", 0o700)) {
            let tree = stage.seen(&layer);
            assert_eq!((tree.at("out").mode, tree.at("x").mode), (0o751, 0o700));
            assert_eq!(tree.paths(), ["out", "out/f", "x"]);
        }
    });
}

#[test]
fn row_8_what_went_through_the_link_before_stays_where_it_led() {
    on_each_driver(|stage| {
        let first = Crafted::new().folder("out", 0o751).symlink("x", "out").file("x/early", b"1");
        for layer in one_and_two(stage, &first, &Crafted::new().folder("x", 0o700).file("x/late", b"2")) {
            let tree = stage.seen(&layer);
            assert_eq!(tree.content("out/early"), b"1");
            assert_eq!(tree.content("x/late"), b"2");
            assert_eq!(tree.at("out").mode, 0o751);
            assert!(!tree.has("x/early") && !tree.has("out/late"));
        }
    });
}

#[test]
fn row_9_a_file_replaces_a_link_and_leaves_its_target() {
    on_each_driver(|stage| {
        let outside = format!("{}/file", stage.canary.outside());
        for target in [outside.as_str(), "../../../outside/file", "in", "f", "gone"] {
            let link = Crafted::new()
                .file_with("in", b"kept", |header| header.octal(MODE, 0o600))
                .symlink("f", target);
            let file = Crafted::new().file_with("f", b"mine", |header| header.octal(MODE, 0o4755));
            for layer in one_and_two(stage, &link, &file) {
                let tree = stage.seen(&layer);
                assert_eq!(
                    (tree.at("f").kind, tree.content("f"), tree.at("f").mode),
                    (Kind::File, &b"mine"[..], 0o4755)
                );
                assert_eq!((tree.content("in"), tree.at("in").mode), (&b"kept"[..], 0o600));
            }
        }
    });
}

#[test]
fn row_9_a_hard_link_and_a_device_replace_a_link_too() {
    on_each_driver(|stage| {
        let outside = format!("{}/file", stage.canary.outside());
        let links = Crafted::new().file("in", b"kept").symlink("h", &outside).symlink("d", &outside);
        let rest = Crafted::new().file("in", b"kept").hard_link("h", "in").device(b'3', "d", (1, 3));
        for layer in one_and_two(stage, &links, &rest) {
            let tree = stage.seen(&layer);
            assert_eq!(tree.at("h").inode, tree.at("in").inode);
            let made = layer.applied.skipped.devices == 0;
            assert_eq!(tree.at("d").kind, if made { Kind::CharDevice } else { Kind::Link });
        }
    });
}

#[test]
fn a_file_written_over_a_hard_link_leaves_the_other_name() {
    on_each_driver(|stage| {
        let first = Crafted::new().file("a", b"kept").hard_link("b", "a");
        for layer in one_and_two(stage, &first, &Crafted::new().file("b", b"mine")) {
            let tree = stage.seen(&layer);
            assert_eq!((tree.content("a"), tree.content("b")), (&b"kept"[..], &b"mine"[..]));
        }
    });
}

fn add(tar: Crafted, kind: Kind, round: &str) -> Crafted {
    match kind {
        Kind::Folder => tar.folder("x", 0o711).file(&format!("x/{round}"), b"child"),
        Kind::File => tar.file("x", round.as_bytes()),
        _ => tar.symlink("x", round),
    }
}

fn assert_last_won(tree: &Tree, last: Kind, round: &str) {
    let x = tree.at("x");
    assert_eq!(x.kind, last);
    match last {
        Kind::Folder => assert_eq!(tree.paths(), ["x", format!("x/{round}").as_str()]),
        Kind::File => assert_eq!(tree.content("x"), round.as_bytes()),
        _ => assert_eq!(x.target.as_deref(), Some(round.as_bytes())),
    }
    assert!(last == Kind::Folder || tree.paths() == ["x"]);
}

#[test]
fn row_19_of_a_folder_a_file_and_a_link_at_one_path_the_last_wins() {
    const KINDS: [Kind; 3] = [Kind::Folder, Kind::File, Kind::Link];
    on_each_driver(|stage| {
        let bases = KINDS.map(|kind| stage.accept(None, &add(Crafted::new(), kind, "base").end()));
        for first in KINDS {
            for second in KINDS.into_iter().filter(|kind| *kind != first) {
                for third in KINDS.into_iter().filter(|kind| ![first, second].contains(kind)) {
                    let tar = add(add(add(Crafted::new(), first, "1"), second, "2"), third, "3").end();
                    assert_last_won(&stage.seen(&stage.accept(None, &tar)), third, "3");
                    for base in &bases {
                        assert_last_won(&stage.seen(&stage.accept(Some(base), &tar)), third, "3");
                    }
                }
            }
        }
    });
}
