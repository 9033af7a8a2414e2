//! Row 28: devices, of which one would be a whiteout, and files that run as their owner.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::crafted::{Crafted, Header, MODE, UID};
use crate::look::Kind;
use crate::stage::{Refusal, on_each_driver, without_privilege};

#[test]
fn row_28_the_device_that_overlayfs_takes_for_a_whiteout_deletes_nothing() {
    on_each_driver(|stage| {
        let below = Crafted::new().folder("d", 0o755).file("d/f", b"kept").file("f", b"kept");
        let base = stage.accept(None, &below.end());
        let tar = Crafted::new()
            .device(b'3', "f", (0, 0))
            .device(b'3', "d/f", (0, 0))
            .device(b'3', "d", (0, 0))
            .device(b'3', "new", (0, 0))
            .device(b'3', "made/new", (0, 0));
        let layer = stage.accept(Some(&base), &tar.clone().end());
        let tree = stage.seen(&layer);
        assert_eq!((tree.content("f"), tree.content("d/f")), (&b"kept"[..], &b"kept"[..]));
        assert_eq!(layer.applied.skipped.devices, 5);
        assert!(!tree.has("new") && !stage.raw(&layer).has("new"));
        stage.accept(None, &tar.end());
    });
}

#[test]
fn row_28_a_hard_link_makes_no_whiteout_either() {
    on_each_driver(|stage| {
        let base = stage.accept(None, &Crafted::new().file("f", b"kept").end());
        let skipped = Crafted::new().device(b'3', "w", (0, 0)).hard_link("f", "w").end();
        stage.refuse(Some(&base), &skipped, Refusal::invalid("w", "not there"));
        let whiteout = Crafted::new().file(".wh.w", b"").hard_link("f", "w").end();
        stage.refuse(Some(&base), &whiteout, Refusal::invalid("w", "not there"));
    });
}

#[test]
fn row_28_devices_are_made_with_privilege_and_closed_by_the_mount() {
    on_each_driver(|stage| {
        let tar = Crafted::new()
            .device(b'3', "null", (1, 3))
            .device(b'4', "disk", (7, 0))
            .device(b'4', "zero", (0, 0))
            .end();
        let layer = stage.accept(None, &tar);
        let tree = stage.seen(&layer);
        if layer.applied.skipped.devices > 0 {
            assert!(!stage.keeps_owners() || layer.applied.skipped.devices == 3);
            return;
        }
        assert_eq!(
            (tree.at("null").kind, tree.at("null").device),
            (Kind::CharDevice, rustix::fs::makedev(1, 3))
        );
        assert_eq!(
            (tree.at("disk").kind, tree.at("disk").device),
            (Kind::BlockDevice, rustix::fs::makedev(7, 0))
        );
        // A block device of these numbers is no whiteout.
        assert_eq!((tree.at("zero").kind, tree.at("zero").device), (Kind::BlockDevice, 0));
    });
}

#[test]
fn row_28_without_privilege_devices_are_skipped_and_counted() {
    without_privilege(|stage| {
        let tar = Crafted::new()
            .device(b'3', "null", (1, 3))
            .device(b'4', "disk", (7, 0))
            .device(b'3', "zero", (0, 0))
            .file("f", b"kept")
            .end();
        let layer = stage.accept(None, &tar);
        assert_eq!(layer.applied.skipped.devices, 3);
        assert_eq!(layer.applied.entries, 4);
        assert_eq!(stage.seen(&layer).paths(), ["f"]);
    });
}

#[test]
fn row_28_set_id_bits_are_kept() {
    on_each_driver(|stage| {
        let tar = Crafted::new()
            .entry(Header::new(b'0', "root").octal(MODE, 0o4755), b"")
            .entry(Header::new(b'0', "user").octal(MODE, 0o6711).octal(UID, 1000), b"")
            .folder("d", 0o3777)
            .file("d/f", b"")
            .end();
        let base = stage.accept(None, &tar);
        let above = stage.accept(Some(&base), &Crafted::new().hard_link("again", "user").end());
        for layer in [&base, &above] {
            let tree = stage.seen(layer);
            assert_eq!(
                (tree.at("root").mode, tree.at("user").mode, tree.at("d").mode),
                (0o4755, 0o6711, 0o3777)
            );
            if stage.keeps_owners() {
                assert_eq!((tree.at("root").owner, tree.at("user").owner), ((0, 0), (1000, 0)));
                assert_eq!(tree.at("d/f").owner, (0, 0));
            }
        }
        assert_eq!(stage.seen(&above).at("again").mode, 0o6711);
    });
}

#[test]
fn row_28_nobody_else_can_look_into_the_store() {
    on_each_driver(|stage| {
        let layer = stage.accept(None, &Crafted::new().folder("./", 0o777).file("f", b"").end());
        for folder in [stage.canary.driver_folder(), stage.layer_folder(&layer.id)] {
            assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700, "{}", folder.display());
        }
    });
}
