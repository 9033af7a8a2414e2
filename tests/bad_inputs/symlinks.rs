//! Rows 4, 5, 6 and 10: parents that are symlinks, in the same layer and in the one below.

use crate::crafted::Crafted;
use crate::look::Kind;
use crate::stage::{Refusal, Stage, on_each_driver};

/// Plays the links and what goes through them as one layer, and as two.
fn in_one_layer_and_in_two(links: &Crafted, rest: &Crafted, check: impl Fn(&Stage, &crate::stage::Layer)) {
    on_each_driver(|stage| {
        let both = links.clone().raw(&rest.clone().cut()).end();
        check(stage, &stage.accept(None, &both));
        let below = stage.accept(None, &links.clone().end());
        check(stage, &stage.accept(Some(&below), &rest.clone().end()));
    });
}

#[test]
fn row_4_an_absolute_link_leads_to_its_target_inside_the_root() {
    let (links, rest) = (Crafted::new().symlink("p", "/out"), Crafted::new().file("p/f", b"mine"));
    in_one_layer_and_in_two(&links, &rest, |stage, layer| {
        let tree = stage.seen(layer);
        assert_eq!(tree.at("p").target.as_deref(), Some(&b"/out"[..]));
        assert_eq!(tree.content("out/f"), b"mine");
        assert!(!stage.raw(layer).has("p/f"));
    });
}

#[test]
fn row_4_a_link_to_what_is_there_on_the_host_does_not_reach_it() {
    on_each_driver(|stage| {
        for outside in [stage.canary.outside(), stage.canary.far()] {
            let inside = outside.trim_start_matches('/');
            let links = Crafted::new().symlink("p", &outside);
            let rest = Crafted::new()
                .file("p/file", b"mine")
                .folder("p/folder", 0o700)
                .file("p/folder/inner", b"mine");
            let one = stage.accept(None, &links.clone().raw(&rest.clone().cut()).end());
            let below = stage.accept(None, &links.end());
            let two = stage.accept(Some(&below), &rest.end());
            for layer in [&one, &two] {
                let tree = stage.seen(layer);
                assert_eq!(tree.at("p").kind, Kind::Link);
                assert_eq!(tree.content(&format!("{inside}/file")), b"mine");
                assert_eq!(tree.at(&format!("{inside}/folder")).mode, 0o700);
            }
        }
    });
}

#[test]
fn row_5_relative_and_chained_links_stay_inside_the_root() {
    let links = Crafted::new()
        .symlink("up", "../../../../../..")
        .symlink("q", "up/outside")
        .symlink("c1", "c2")
        .symlink("c2", "./c3")
        .symlink("c3", "../../../dest-evil")
        .folder("x", 0o755)
        .folder("x/y", 0o755)
        .symlink("a", "x/y")
        .symlink("b", "a/../z");
    let rest = Crafted::new()
        .file("up/top", b"1")
        .file("q/file", b"2")
        .file("c1/secret", b"3")
        .file("b/f", b"4")
        .file("up/up/up/c1/deep/f", b"5");
    in_one_layer_and_in_two(&links, &rest, |stage, layer| {
        let tree = stage.seen(layer);
        assert_eq!(tree.content("top"), b"1");
        assert_eq!(tree.content("outside/file"), b"2");
        assert_eq!(tree.content("dest-evil/secret"), b"3");
        // The parent of a link's target, not of the link.
        assert_eq!(tree.content("x/z/f"), b"4");
        assert_eq!(tree.content("dest-evil/deep/f"), b"5");
        for link in ["up", "q", "c1", "c2", "c3", "a", "b"] {
            assert_eq!(tree.at(link).kind, Kind::Link, "{link}");
        }
    });
}

#[test]
fn row_6_a_loop_of_links_is_no_parent() {
    on_each_driver(|stage| {
        let itself = Crafted::new().symlink("l", "l");
        let pair = Crafted::new().symlink("l", "m").symlink("m", "/l");
        let growing = Crafted::new().symlink("l", "l/l");
        for links in [itself, pair, growing] {
            let below = stage.accept(None, &links.clone().end());
            for rest in [
                Crafted::new().file("l/f", b"evil"),
                Crafted::new().folder("l/a/b", 0o755),
                Crafted::new().file("l/.wh.f", b""),
                Crafted::new().file("l/.wh..wh..opq", b""),
            ] {
                let refusal = Refusal::invalid("/l", "ELOOP");
                stage.refuse(None, &links.clone().raw(&rest.clone().cut()).end(), refusal);
                stage.refuse(Some(&below), &rest.end(), refusal);
            }
        }
    });
}

#[test]
fn row_6_a_loop_of_links_holds_no_target_of_a_hard_link() {
    on_each_driver(|stage| {
        let tar = Crafted::new().symlink("l", "m").symlink("m", "l").hard_link("h", "l/f").end();
        stage.refuse(None, &tar, Refusal::invalid("l", "ELOOP"));
    });
}

#[test]
fn row_10_parents_are_made_where_the_link_leads_inside_the_root() {
    on_each_driver(|stage| {
        for outside in
            [stage.canary.outside(), stage.canary.far(), "/nowhere".to_owned(), "../../../outside".to_owned()]
        {
            let links = Crafted::new().symlink("p", &outside);
            let rest = Crafted::new()
                .file("p/new/deeper/f", b"mine")
                .symlink("p/new/l", "deeper")
                .folder("p/new/l/more", 0o711)
                .hard_link("p/made/h", "p/new/deeper/f");
            let one = stage.accept(None, &links.clone().raw(&rest.clone().cut()).end());
            let below = stage.accept(None, &links.end());
            let two = stage.accept(Some(&below), &rest.end());
            let inside = outside.trim_start_matches(['.', '/']);
            for layer in [&one, &two] {
                let tree = stage.seen(layer);
                assert_eq!(tree.content(&format!("{inside}/new/deeper/f")), b"mine");
                assert_eq!(tree.at(&format!("{inside}/new/deeper/more")).mode, 0o711);
                assert_eq!(tree.at(&format!("{inside}/new/deeper/f")).names, 2);
                assert_eq!(tree.at("p").kind, Kind::Link);
            }
        }
    });
}
