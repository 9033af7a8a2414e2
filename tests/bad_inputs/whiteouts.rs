//! Rows 14, 15 and 16: whiteouts that name nothing, or a folder's own self, and whiteouts through symlinks.

use crate::crafted::{Crafted, Header};
use crate::look::Kind;
use crate::stage::{Refusal, on_each_driver};

/// The layer below: something to be deleted, at the root and in a folder.
fn below() -> Vec<u8> {
    Crafted::new().folder("d", 0o755).file("d/f", b"kept").file("f", b"kept").end()
}

fn assert_marker_refused(names: &[&str], reason: &str) {
    on_each_driver(|stage| {
        let base = stage.accept(None, &below());
        for name in names {
            let refusal = Refusal::invalid(name.trim_start_matches("./"), reason);
            for tar in [
                Crafted::new().file(name, b""),
                Crafted::new().file(name, b"content"),
                Crafted::new().folder(name, 0o755),
                Crafted::new().symlink(name, "f"),
                Crafted::new().entry(Header::new(b'1', name).link_to("f"), b""),
                Crafted::new().device(b'3', name, (0, 0)),
            ] {
                stage.refuse(None, &tar.clone().end(), refusal);
                stage.refuse(Some(&base), &tar.end(), refusal);
            }
        }
        assert_eq!(stage.seen(&base).paths(), ["d", "d/f", "f"]);
    });
}

#[test]
fn row_14_a_whiteout_without_a_name_is_refused() {
    assert_marker_refused(&[".wh.", "d/.wh.", "./.wh.", "/d/.wh."], "must name what it deletes");
}

#[test]
fn row_15_a_whiteout_of_the_folder_itself_or_its_parent_is_refused() {
    assert_marker_refused(&[".wh..", ".wh...", "d/.wh..", "d/.wh..."], "must name what it deletes");
}

#[test]
fn nothing_is_below_a_whiteout() {
    assert_marker_refused(&[".wh.d/f", "d/.wh.x/y", ".wh./f", ".wh.d/.wh.f"], "reserved for whiteouts");
}

#[test]
fn nothing_is_below_a_whiteout_by_way_of_a_link() {
    on_each_driver(|stage| {
        for name in ["l/f", "l/.wh.f", "l/.wh..wh..opq"] {
            let tar = Crafted::new().symlink("l", ".wh.d").file(name, b"").end();
            stage.refuse(None, &tar, Refusal::invalid(".wh.d", "reserved for whiteouts"));
        }
        let base = stage.accept(None, &Crafted::new().symlink("l", "/.wh.d").end());
        let tar = Crafted::new().file("l/f", b"").end();
        stage.refuse(Some(&base), &tar, Refusal::invalid(".wh.d", "reserved for whiteouts"));
    });
}

#[test]
fn names_that_only_look_like_whiteouts_are_names() {
    on_each_driver(|stage| {
        let base = stage.accept(None, &below());
        let tar = Crafted::new()
            .file(".wh", b"1")
            .file("d/wh.f", b"2")
            .file(".whx", b"3")
            .file(".wh....", b"")
            .end();
        let tree = stage.seen(&stage.accept(Some(&base), &tar));
        assert_eq!(tree.paths(), [".wh", ".whx", "d", "d/f", "d/wh.f", "f"]);
    });
}

#[test]
fn row_16_a_whiteout_through_a_link_deletes_inside_the_root_only() {
    on_each_driver(|stage| {
        for outside in [stage.canary.outside(), stage.canary.far(), "../../../outside".to_owned()] {
            let link = Crafted::new().symlink("d", &outside);
            let deletes = Crafted::new()
                .file("d/.wh.file", b"")
                .file("d/.wh.folder", b"")
                .file("d/folder/.wh.inner", b"");
            let base = stage.accept(None, &link.clone().end());
            for layer in [
                stage.accept(None, &link.clone().raw(&deletes.clone().cut()).end()),
                stage.accept(Some(&base), &deletes.end()),
                stage.accept(Some(&base), &Crafted::new().file("d/.wh..wh..opq", b"").end()),
            ] {
                assert_eq!(stage.seen(&layer).at("d").kind, Kind::Link);
            }
        }
    });
}

#[test]
fn row_16_inside_the_root_the_link_is_followed() {
    on_each_driver(|stage| {
        let real = Crafted::new()
            .folder("real", 0o711)
            .file("real/f", b"1")
            .file("real/g", b"2")
            .symlink("d", "/real");
        let base = stage.accept(None, &real.clone().end());
        let one = stage.accept(Some(&base), &Crafted::new().file("d/.wh.f", b"").end());
        assert_eq!(stage.seen(&one).paths(), ["d", "real", "real/g"]);
        assert_eq!(stage.seen(&one).at("real").mode, 0o711);
        let opaque =
            stage.accept(Some(&base), &Crafted::new().file("d/.wh..wh..opq", b"").file("d/h", b"3").end());
        assert_eq!(stage.seen(&opaque).paths(), ["d", "real", "real/h"]);
        // A whiteout of the link itself leaves what it led to.
        let unlinked = stage.accept(Some(&base), &Crafted::new().file(".wh.d", b"").end());
        assert_eq!(stage.seen(&unlinked).paths(), ["real", "real/f", "real/g"]);
    });
}

#[test]
fn what_a_marker_carries_is_kept_in_the_recipe_alone() {
    on_each_driver(|stage| {
        let base = stage.accept(None, &below());
        let tar = Crafted::new()
            .file(".wh.f", b"content of a whiteout")
            .file("d/.wh..wh..opq", &[b'x'; 600])
            .file(".wh..wh.plnk/1", b"bookkeeping of AUFS")
            .file("d/new", b"new")
            .end();
        let tree = stage.seen(&stage.accept(Some(&base), &tar));
        assert_eq!(tree.paths(), ["d", "d/new"]);
    });
}
