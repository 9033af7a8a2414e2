//! Rows 17 and 18: opaque markers, very many and late.

use std::time::Duration;

use crate::crafted::Crafted;
use crate::stage::{on_each_driver, on_each_driver_alone};

/// Optimised it takes a second or two. Unoptimised, and on a machine that builds something else, it is given more.
const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 200 } else { 10 });

const MARKER: &str = "d/.wh..wh..opq";

#[test]
fn row_17_a_hundred_thousand_markers_over_as_many_files_are_linear() {
    const COUNT: usize = 100_000;
    let mut tar = Crafted::new().folder("d", 0o755);
    for number in 0..COUNT {
        tar = tar.file(&format!("d/{number}"), b"").file(MARKER, b"");
    }
    let tar = tar.end();
    on_each_driver_alone(|stage| {
        let base = stage.accept(None, &Crafted::new().folder("d", 0o755).file("d/old", b"old").end());
        let layer = stage.accept(Some(&base), &tar);
        assert!(layer.took < LIMIT, "{} took {:?}", stage.driver.name(), layer.took);
        assert_eq!(layer.applied.entries, 2 * COUNT as u64 + 1);
        let folder = stage.seen(&layer);
        assert_eq!(folder.paths().len(), COUNT + 1, "the files of the layer itself are kept");
        assert!(!folder.has("d/old"));
    });
}

#[test]
fn row_18_a_marker_after_its_siblings_keeps_this_layers_files() {
    on_each_driver(|stage| {
        let below = Crafted::new()
            .folder("d", 0o711)
            .file("d/old", b"")
            .folder("d/sub", 0o755)
            .file("d/sub/old", b"");
        let base = stage.accept(None, &below.end());
        let siblings =
            |tar: Crafted| tar.file("d/new", b"new").folder("d/sub", 0o700).file("d/sub/new", b"new");
        let first = siblings(Crafted::new().file(MARKER, b""));
        let last = siblings(Crafted::new()).file(MARKER, b"");
        let between = siblings(Crafted::new().file("d/early", b"").file(MARKER, b"")).file(MARKER, b"");
        for (tar, expected) in [
            (first, &["d", "d/new", "d/sub", "d/sub/new"][..]),
            (last, &["d", "d/new", "d/sub", "d/sub/new"]),
            (between, &["d", "d/early", "d/new", "d/sub", "d/sub/new"]),
        ] {
            let tree = stage.seen(&stage.accept(Some(&base), &tar.end()));
            assert_eq!(tree.paths(), expected, "{}", stage.driver.name());
            assert_eq!((tree.at("d").mode, tree.at("d/sub").mode), (0o711, 0o700));
            assert_eq!(tree.content("d/new"), b"new");
        }
    });
}

#[test]
fn row_18_the_same_at_the_root() {
    on_each_driver(|stage| {
        let base =
            stage.accept(None, &Crafted::new().file("old", b"").folder("d", 0o755).file("d/old", b"").end());
        for tar in [
            Crafted::new().file(".wh..wh..opq", b"").file("new", b"1").file("d/new", b"2"),
            Crafted::new().file("new", b"1").file("d/new", b"2").file("./.wh..wh..opq", b""),
        ] {
            let tree = stage.seen(&stage.accept(Some(&base), &tar.end()));
            assert_eq!(tree.paths(), ["d", "d/new", "new"], "{}", stage.driver.name());
        }
    });
}
