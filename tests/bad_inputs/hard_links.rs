//! Rows 11, 12 and 13: hard links to what is outside, to symlinks, and to what is not there.

use crate::crafted::{Crafted, MODE};
use crate::look::Kind;
use crate::stage::{Refusal, on_each_driver};

const ABSENT: &str = "not there";

#[test]
fn row_11_a_hard_link_reaches_nothing_outside() {
    on_each_driver(|stage| {
        let base = stage.accept(None, &Crafted::new().file("base", b"x").end());
        for folder in [stage.canary.outside(), stage.canary.far()] {
            let target = format!("{folder}/file");
            let tar = Crafted::new().hard_link("h", &target).end();
            stage.refuse(None, &tar, Refusal::invalid(&target, ABSENT));
            stage.refuse(Some(&base), &tar, Refusal::invalid(&target, ABSENT));
            // By a link to the folder it is as far away.
            let linked = Crafted::new().symlink("d", &folder).hard_link("h", "d/file").end();
            stage.refuse(None, &linked, Refusal::invalid(&target, ABSENT));
            stage.refuse(Some(&base), &linked, Refusal::invalid(&target, ABSENT));
        }
        for target in
            ["../../../outside/file", "../../../dest-evil/secret", "a/../../../../outside/file", ".."]
        {
            let refusal = Refusal::invalid(target, "'..' component");
            stage.refuse(None, &Crafted::new().hard_link("h", target).end(), refusal);
            stage.refuse(Some(&base), &Crafted::new().hard_link("h", target).end(), refusal);
            let named = Crafted::new().pax(&[("linkpath", target.as_bytes())]).hard_link("h", "base").end();
            stage.refuse(Some(&base), &named, refusal);
        }
    });
}

#[test]
fn row_11_an_absolute_target_is_taken_inside_the_root() {
    on_each_driver(|stage| {
        let target = format!("{}/file", stage.canary.outside());
        let file = Crafted::new().file(&target, b"mine");
        let link = Crafted::new().hard_link("h", &target);
        let one = stage.accept(None, &file.clone().raw(&link.clone().cut()).end());
        let below = stage.accept(None, &file.end());
        let two = stage.accept(Some(&below), &link.end());
        for layer in [&one, &two] {
            let tree = stage.seen(layer);
            assert_eq!(tree.content("h"), b"mine");
            assert_eq!(tree.at("h").inode, tree.at(target.trim_start_matches('/')).inode);
        }
    });
}

#[test]
fn row_11_a_target_through_a_link_is_found_inside_the_root() {
    on_each_driver(|stage| {
        let outside = stage.canary.outside();
        let first = Crafted::new().symlink("d", &outside).file(&format!("{outside}/file"), b"mine");
        let layer = stage.accept(None, &first.hard_link("h", "d/file").end());
        assert_eq!(stage.seen(&layer).content("h"), b"mine");
    });
}

#[test]
fn row_12_a_hard_link_to_a_symlink_is_the_symlink() {
    on_each_driver(|stage| {
        let outside = format!("{}/file", stage.canary.outside());
        for target in [outside.as_str(), "real", "/real"] {
            let first = Crafted::new()
                .file_with("real", b"kept", |header| header.octal(MODE, 0o600))
                .symlink("s", target);
            // The header of a hard link may say any mode; nobody's mode becomes that.
            let mut link = crate::crafted::Header::new(b'1', "h");
            link.octal(MODE, 0o4777).link_to("s");
            let second = Crafted::new().entry(&link, b"").entry(&link, b"");
            let one = stage.accept(None, &first.clone().raw(&second.clone().cut()).end());
            let below = stage.accept(None, &first.end());
            let two = stage.accept(Some(&below), &second.end());
            for layer in [&one, &two] {
                let tree = stage.seen(layer);
                assert_eq!(
                    (tree.at("h").kind, tree.at("h").target.as_deref()),
                    (Kind::Link, Some(target.as_bytes()))
                );
                assert_eq!(tree.at("h").inode, tree.at("s").inode, "{}", stage.driver.name());
                assert_eq!((tree.at("real").mode, tree.content("real")), (0o600, &b"kept"[..]));
            }
        }
    });
}

#[test]
fn row_13_a_target_must_come_before_or_be_below() {
    on_each_driver(|stage| {
        let base = stage.accept(None, &Crafted::new().file("base", b"x").end());
        for tar in [
            Crafted::new().hard_link("h", "later").file("later", b"x"),
            Crafted::new().hard_link("h", "later"),
            Crafted::new().folder("d", 0o755).hard_link("h", "d/later").file("d/later", b"x"),
            Crafted::new().file("f", b"x").hard_link("h", "f/later"),
        ] {
            stage.refuse(None, &tar.clone().end(), Refusal::invalid("later", ABSENT));
            stage.refuse(Some(&base), &tar.end(), Refusal::invalid("later", ABSENT));
        }
    });
}

#[test]
fn row_13_a_folder_is_no_target() {
    on_each_driver(|stage| {
        let folder = Crafted::new().folder("d", 0o755).file("f", b"x");
        let base = stage.accept(None, &folder.clone().end());
        let to_folder = Crafted::new().hard_link("h", "d");
        let refusal = Refusal::invalid("/", "a hard link to a folder");
        stage.refuse(None, &folder.clone().raw(&to_folder.clone().cut()).end(), refusal);
        stage.refuse(Some(&base), &to_folder.end(), refusal);
        stage.refuse(None, &folder.clone().hard_link("d/h", "d").end(), refusal);
    });
}

#[test]
fn row_13_what_the_layer_deletes_is_no_target() {
    on_each_driver(|stage| {
        let base = stage.accept(None, &Crafted::new().folder("d", 0o755).file("d/f", b"x").end());
        for tar in [
            Crafted::new().file("d/.wh.f", b"").hard_link("h", "d/f"),
            Crafted::new().file(".wh.d", b"").hard_link("h", "d/f"),
            Crafted::new().file("d/.wh..wh..opq", b"").hard_link("h", "d/f"),
        ] {
            stage.refuse(Some(&base), &tar.end(), Refusal::invalid("d/f", ABSENT));
        }
        let led_away = Crafted::new().symlink("d", "elsewhere").hard_link("h", "d/f");
        stage.refuse(Some(&base), &led_away.end(), Refusal::invalid("elsewhere/f", ABSENT));
        let marker = Crafted::new().file("d/.wh.f", b"").hard_link("h", "d/.wh.f");
        stage.refuse(Some(&base), &marker.end(), Refusal::invalid("d/.wh.f", "a hard link to a whiteout"));
    });
}

#[test]
fn a_link_to_the_layer_below_that_is_replaced_leaves_nothing_behind() {
    on_each_driver(|stage| {
        let below = Crafted::new().file("one", b"content of one").file("two", b"2").folder("d", 0o755);
        let base = stage.accept(None, &below.end());
        let cases = [
            // The file that takes a link's place may well get the inode that held it.
            (Crafted::new().hard_link("h", "one").file("h", b"mine"), &b"mine"[..]),
            (Crafted::new().hard_link("h", "one").hard_link("h", "two"), b"2"),
            (Crafted::new().hard_link("h", "one").hard_link("h", "one"), b"content of one"),
            (Crafted::new().hard_link("h", "one").file(".wh.h", b"").file("h", b"mine"), b"mine"),
            (Crafted::new().hard_link("h/x", "one").file("h", b"mine"), b"mine"),
            (Crafted::new().hard_link("h/x", "one").file("h", b"mine").hard_link("h", "two"), b"2"),
        ];
        for (tar, expected) in cases {
            let tree = stage.seen(&stage.accept(Some(&base), &tar.end()));
            assert_eq!(tree.content("h"), expected, "{}", stage.driver.name());
            assert_eq!((tree.content("one"), tree.content("two")), (&b"content of one"[..], &b"2"[..]));
        }
        let tar =
            Crafted::new().hard_link("d/h", "one").folder("d", 0o755).file(".wh.d", b"").file("d/h", b"mine");
        assert_eq!(stage.seen(&stage.accept(Some(&base), &tar.end())).content("d/h"), b"mine");
    });
}
