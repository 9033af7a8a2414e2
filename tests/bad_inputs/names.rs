//! Rows 1, 2, 3 and 7: names that lead out of the layer, that start at the host's root, or that are the layer's root.

use crate::crafted::{Crafted, Header, NAME, PREFIX};
use crate::look::Kind;
use crate::stage::{Refusal, on_each_driver};

const PARENT: &str = "'..' component";

/// An entry of every kind that a layer can have, under one name.
fn of_every_kind(name: &str) -> Vec<(&'static str, Vec<u8>)> {
    let fifo = Header::new(b'6', name);
    vec![
        ("file", Crafted::new().file(name, b"evil").end()),
        ("folder", Crafted::new().folder(name, 0o777).end()),
        ("symlink", Crafted::new().symlink(name, "x").end()),
        ("hard link", Crafted::new().file("x", b"").hard_link(name, "x").end()),
        ("device", Crafted::new().device(b'3', name, (1, 3)).end()),
        ("FIFO", Crafted::new().entry(&fifo, b"").end()),
    ]
}

#[test]
fn row_1_a_name_with_a_parent_component_is_refused() {
    on_each_driver(|stage| {
        let base = stage.accept(None, &Crafted::new().folder("a", 0o755).file("a/f", b"x").end());
        for name in
            ["..", "../x", "a/../../x", "a/..", "/../x", "./../x", "a//..//..//x", "../../../outside/file"]
        {
            for (_, tar) in of_every_kind(name) {
                stage.refuse(None, &tar, Refusal::invalid(name, PARENT));
                stage.refuse(Some(&base), &tar, Refusal::invalid(name, PARENT));
            }
        }
    });
}

#[test]
fn row_1_a_parent_component_is_found_in_every_place_that_holds_a_name() {
    on_each_driver(|stage| {
        let mut split = Header::new(b'0', "");
        split.put(PREFIX, b"a/..").put(NAME, b"../x");
        let named = Crafted::new().pax(&[("path", b"a/../../x")]).file("innocent", b"");
        let long = Crafted::new().extension(b'L', b"a/../../x\0").file("innocent", b"");
        let marker = Crafted::new().file("../.wh.file", b"");
        let opaque = Crafted::new().file("a/../../.wh..wh..opq", b"");
        stage.refuse(None, &Crafted::new().entry(&split, b"").end(), Refusal::invalid("a/../../x", PARENT));
        stage.refuse(None, &named.end(), Refusal::invalid("a/../../x", PARENT));
        stage.refuse(None, &long.end(), Refusal::invalid("a/../../x", PARENT));
        stage.refuse(None, &marker.end(), Refusal::invalid("../.wh.file", PARENT));
        stage.refuse(None, &opaque.end(), Refusal::invalid("a/../../.wh..wh..opq", PARENT));
    });
}

#[test]
fn row_2_an_absolute_name_is_taken_inside_the_root() {
    on_each_driver(|stage| {
        let far = stage.canary.far();
        let inside = far.trim_start_matches('/').to_owned();
        let tar = Crafted::new()
            .file("/abs/x", b"abs")
            .file("///abs/y", b"slashes")
            .folder(&format!("{far}/folder"), 0o700)
            .file(&format!("{far}/file"), b"evil")
            .end();
        let tree = stage.seen(&stage.accept(None, &tar));
        assert_eq!(tree.content("abs/x"), b"abs");
        assert_eq!(tree.content("abs/y"), b"slashes");
        assert_eq!(tree.content(&format!("{inside}/file")), b"evil");
        assert_eq!(tree.at(&format!("{inside}/folder")).mode, 0o700);
    });
}

#[test]
fn row_3_a_sibling_with_the_root_as_its_prefix_is_not_reached() {
    on_each_driver(|stage| {
        for up in ["..", "../..", "../../.."] {
            let name = format!("{up}/dest-evil/secret");
            let refusal = Refusal::invalid(&name, PARENT);
            stage.refuse(None, &Crafted::new().file(&name, b"evil").end(), refusal);
            stage.refuse(None, &Crafted::new().symlink(&name, "evil").end(), refusal);
            stage.refuse(None, &Crafted::new().hard_link("taken", &name).end(), refusal);
            let whiteout = format!("{up}/dest-evil/.wh.secret");
            stage.refuse(
                None,
                &Crafted::new().file(&whiteout, b"").end(),
                Refusal::invalid(&whiteout, PARENT),
            );
            // By a link it is reached inside the root, where the real one is not.
            let linked =
                Crafted::new().symlink("e", &format!("{up}/dest-evil")).file("e/secret", b"mine").end();
            assert_eq!(stage.seen(&stage.accept(None, &linked)).content("dest-evil/secret"), b"mine");
        }
        for suffix in ["diff-evil", "root-evil", "upper-evil"] {
            let name = format!("../{suffix}/secret");
            stage.refuse(None, &Crafted::new().file(&name, b"evil").end(), Refusal::invalid(&name, PARENT));
        }
    });
}

#[test]
fn row_7_nothing_but_a_folder_is_the_root() {
    on_each_driver(|stage| {
        let base = stage.accept(None, &Crafted::new().file("f", b"kept").end());
        for name in [".", "/", "./", "//", "./."] {
            let outside = stage.canary.outside();
            let refusal = Refusal::invalid("", "only a folder can be the root of a layer");
            let tar = Crafted::new().symlink(name, &outside).file("file", b"evil").end();
            stage.refuse(None, &tar, refusal);
            stage.refuse(Some(&base), &tar, refusal);
            for (kind, tar) in of_every_kind(name) {
                if kind == "folder" {
                    let layer = stage.accept(Some(&base), &tar);
                    assert_eq!(stage.seen(&layer).at("").mode, 0o777);
                    assert_eq!(stage.seen(&layer).content("f"), b"kept");
                } else {
                    stage.refuse(Some(&base), &tar, refusal);
                }
            }
        }
        stage.refuse(
            None,
            &Crafted::new().file("", b"evil").end(),
            Refusal::invalid("tar entry 0", "is empty"),
        );
        stage.refuse(
            None,
            &Crafted::new().hard_link("h", "/").end(),
            Refusal::invalid("h", "root of the layer"),
        );
    });
}

#[test]
fn row_7_a_described_root_is_a_folder_still() {
    on_each_driver(|stage| {
        let layer = stage.accept(None, &Crafted::new().folder("./", 0o750).file("f", b"").end());
        let root = stage.seen(&layer);
        assert_eq!((root.at("").kind, root.at("").mode), (Kind::Folder, 0o750));
    });
}
