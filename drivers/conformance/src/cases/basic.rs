//! The life of a layer: made, listed, found again, removed, made again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use plywood_graphdriver::{Access, ErrorKind, LayerRef, MountRequest, Usage};

use crate::bench::{Bench, Layer};
use crate::case::cases;
use crate::listing::{Listing, below};
use crate::tarball::Tarball;

cases! {
    "basic";
    an_empty_layer_is_an_empty_folder: [Mounts],
    a_base_keeps_what_is_written_to_it: [Mounts, Root],
    a_snapshot_begins_as_its_parent: [Mounts],
    many_snapshots_of_one_layer_do_not_meet: [Mounts],
    a_snapshot_of_a_snapshot_has_what_both_wrote: [Mounts],
    every_layer_is_listed_whatever_its_state: [Mounts],
    layers_outlive_the_driver_that_made_them: [Mounts],
    a_layer_that_is_not_there_is_not_found: [Mounts],
    a_parent_that_is_not_there_is_not_found: [Mounts],
    an_id_that_is_taken_is_refused_and_the_layer_unharmed: [Mounts],
    a_removed_id_can_be_made_again: [Mounts],
    what_failed_half_way_can_be_removed: [],
    name_and_facts_are_the_same_each_time: [],
    a_removed_layer_leaves_nothing_on_disk: [Mounts],
    without_a_mount_the_content_is_there: [],
}

fn an_empty_layer_is_an_empty_folder(bench: &mut Bench) {
    bench.snapshot();
    assert_eq!(below(&bench.tree(), "/"), ["/ folder 755 0:0"]);
    assert_eq!(bench.usage(), Usage::default());
    assert_eq!(bench.changes(), [""; 0]);
    bench.seal();
    assert_eq!(below(&bench.tree(), "/"), ["/ folder 755 0:0"]);
    bench.driver.remove(&bench.chain[0]).unwrap();
    assert_eq!(bench.layers(), []);
}

fn write_base(root: &Path) {
    fs::create_dir(root.join("sub")).unwrap();
    fs::set_permissions(root.join("sub"), fs::Permissions::from_mode(0o1750)).unwrap();
    chown(root.join("sub"), Some(1), Some(2)).unwrap();
    fs::write(root.join("file"), "content").unwrap();
    chown(root.join("file"), Some(3), Some(4)).unwrap();
    // After the owner: giving a file away takes the bit from it.
    fs::set_permissions(root.join("file"), fs::Permissions::from_mode(0o4511)).unwrap();
}

fn a_base_keeps_what_is_written_to_it(bench: &mut Bench) {
    bench.change(write_base);
    let expected = ["/ folder 755 0:0", "/file file 'content' 4511 3:4", "/sub folder 1750 1:2"];
    assert_eq!(below(&bench.tree(), "/"), expected);
    let before = bench.tree();
    bench.seal();
    assert_eq!(bench.tree(), before);
}

fn a_snapshot_begins_as_its_parent(bench: &mut Bench) {
    bench.commit(|root| fs::write(root.join("file"), "content").unwrap());
    let parent = bench.tree();
    bench.snapshot();
    assert_eq!(bench.tree(), parent);
    bench.view();
    assert_eq!(bench.tree(), parent);
}

/// A template, as an engine starts many containers from one image.
fn many_snapshots_of_one_layer_do_not_meet(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("shared", "base").file("mine", "base").file("d/gone", "x").done());
    let parent = bench.tree();
    let children: Vec<Layer> = (0..8)
        .map(|number: u32| {
            bench.branch(1, |bench| {
                bench.change(|root| {
                    fs::write(root.join("mine"), number.to_string()).unwrap();
                    fs::write(root.join(format!("only-{number}")), "").unwrap();
                    if number.is_multiple_of(2) {
                        fs::remove_dir_all(root.join("d")).unwrap();
                    }
                });
                bench.top()
            })
        })
        .collect();
    for (number, child) in children.iter().enumerate() {
        bench.look_at(child, |root| {
            assert_eq!(fs::read_to_string(root.join("mine")).unwrap(), number.to_string());
            assert_eq!(fs::read_to_string(root.join("shared")).unwrap(), "base");
            assert_eq!(root.join("d/gone").exists(), number % 2 == 1);
            let own = fs::read_dir(root)
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("only-"));
            assert_eq!(own.count(), 1);
        });
    }
    assert_eq!(bench.tree(), parent, "the parent changed with its children");
}

fn a_snapshot_of_a_snapshot_has_what_both_wrote(bench: &mut Bench) {
    bench.commit(|root| fs::write(root.join("one"), "1").unwrap());
    bench.commit(|root| fs::write(root.join("two"), "2").unwrap());
    bench.change(|root| {
        fs::remove_file(root.join("one")).unwrap();
        fs::write(root.join("three"), "3").unwrap();
    });
    let tree = bench.tree();
    assert_eq!(below(&tree, "/t"), ["/three file '3' 644 0:0", "/two file '2' 644 0:0"]);
    assert_eq!(below(&tree, "/one"), [""; 0]);
    // Two levels below nothing happened.
    assert_eq!(below(&bench.look_at(&bench.at(1), crate::listing::list), "/one"), ["/one file '1' 644 0:0"]);
}

fn every_layer_is_listed_whatever_its_state(bench: &mut Bench) {
    assert_eq!(bench.layers(), []);
    bench.layer(&Tarball::new().file("f", "x").done());
    bench.snapshot();
    bench.seal();
    bench.view();
    bench.branch(1, Bench::snapshot);
    let unpacked = bench.new_id();
    bench.apply(&unpacked, &mut &Tarball::new().file("f", "x").done()[..]).unwrap();
    let broken = bench.new_id();
    bench.apply(&broken, &mut &[1_u8; 512][..]).unwrap_err();
    let made = bench.layers();
    assert_eq!(made.len(), 6, "{made:?}");
    for id in bench.chain.iter().chain([&unpacked, &broken]) {
        assert!(made.contains(id), "{id} is not listed");
    }
    bench.reopen();
    assert_eq!(bench.layers(), made);
    for (removed, id) in made.iter().rev().enumerate() {
        bench.driver.remove(id).unwrap();
        assert_eq!(bench.layers().len(), made.len() - removed - 1);
    }
}

fn layers_outlive_the_driver_that_made_them(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").folder("d/", 0o700).done());
    bench.change(|root| fs::write(root.join("d/new"), "y").unwrap());
    let (tree, changes, diff, usage) = (bench.tree(), bench.changes(), bench.diff(), bench.usage());
    bench.reopen();
    assert_eq!((bench.tree(), bench.changes(), bench.usage()), (tree, changes, usage));
    assert!(bench.diff() == diff);
    // Still writable, and its parent still not.
    bench.write(|root| fs::write(root.join("d/newer"), "z").unwrap());
    assert_eq!(
        bench.mount(&bench.at(0), &MountRequest::read_write(), "no").unwrap_err().kind,
        ErrorKind::InvalidInput
    );
}

fn a_layer_that_is_not_there_is_not_found(bench: &mut Bench) {
    let layer = bench.new_layer();
    let at = layer.as_ref();
    let driver = &bench.driver;
    let errors = [
        driver.diff(at, &mut Vec::new()).unwrap_err(),
        driver.changes(at, &mut |_| Ok(())).unwrap_err(),
        driver.usage(at).unwrap_err(),
        driver.contents(at).unwrap_err(),
        driver.seal(at, None).unwrap_err(),
        driver.mount_specs(at, &MountRequest::inspection()).unwrap_err(),
        bench.mount(&layer, &MountRequest::read_write(), "here").unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}: {}", error.source);
        assert_eq!(error.layer.as_ref(), Some(&layer.id), "{error}");
    }
    assert_eq!(bench.layers(), [], "asking made a layer");
}

fn a_parent_that_is_not_there_is_not_found(bench: &mut Bench) {
    let absent = [bench.new_id()];
    let id = bench.new_id();
    let error = bench.driver.snapshot(LayerRef::new(&id, &absent), Access::ReadWrite).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}: {}", error.source);
    // What is left of it, if anything, goes as every layer goes.
    bench.driver.remove(&id).unwrap();
    assert_eq!(bench.layers(), []);
}

fn an_id_that_is_taken_is_refused_and_the_layer_unharmed(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").done());
    bench.change(|root| fs::write(root.join("g"), "y").unwrap());
    let before = bench.tree();
    for position in [0, 1] {
        let layer = bench.at(position);
        let error = bench.driver.snapshot(layer.as_ref(), Access::ReadWrite).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}: {}", error.source);
        let error = bench.apply(&layer.id, &mut &Tarball::new().file("other", "").done()[..]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}: {}", error.source);
    }
    assert_eq!(bench.tree(), before);
}

fn a_removed_id_can_be_made_again(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("base", "b").done());
    bench.change(|root| fs::write(root.join("first"), "1").unwrap());
    let layer = bench.top();
    bench.driver.remove(&layer.id).unwrap();
    bench.driver.snapshot(layer.as_ref(), Access::ReadWrite).unwrap();
    assert_eq!(bench.changes(), [""; 0]);
    bench.write(|root| {
        assert!(!root.join("first").exists(), "the removed layer shows");
        fs::write(root.join("second"), "2").unwrap();
    });
    assert_eq!(bench.changes(), ["A /second"]);
    // As a layer of another sort, and on nothing.
    bench.driver.remove(&layer.id).unwrap();
    bench.chain.clear();
    bench.apply(&layer.id, &mut &Tarball::new().file("third", "3").done()[..]).unwrap();
    let alone = Layer { id: layer.id, parents: Vec::new() };
    bench.try_seal(&alone).unwrap();
    bench.look_at(&alone, |root| assert_eq!(fs::read_dir(root).unwrap().count(), 1));
}

fn what_failed_half_way_can_be_removed(bench: &mut Bench) {
    let whole =
        Tarball::new().file("d/f", &"x".repeat(10_000)).folder("d/sub/", 0o500).file("d/g", "y").done();
    for length in [1, 511, 700, 5000, whole.len() - 1600] {
        let id = bench.new_id();
        bench.apply(&id, &mut &whole[..length]).unwrap_err();
        bench.driver.remove(&id).unwrap();
    }
    assert_eq!(bench.layers(), []);
}

fn name_and_facts_are_the_same_each_time(bench: &mut Bench) {
    let (name, facts) = (bench.driver.name(), bench.driver.capabilities());
    assert!(bench.home().ends_with(name), "the driver says that it is {name}");
    let shown = bench.driver.status().unwrap();
    assert!(shown.fields.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "{shown:?}");
    bench.reopen();
    assert_eq!((bench.driver.name(), bench.driver.capabilities()), (name, facts));
    assert_eq!(bench.driver.status().unwrap(), shown);
}

fn a_removed_layer_leaves_nothing_on_disk(bench: &mut Bench) {
    let names =
        |bench: &Bench| Listing::of(&bench.home()).0.into_iter().map(|item| item.path).collect::<Vec<_>>();
    let empty = names(bench);
    bench.layer(&Tarball::new().file("d/e/f", "x").folder("closed/", 0).file("closed/f", "y").done());
    bench.commit(|root| fs::remove_dir_all(root.join("d")).unwrap());
    bench.change(|root| fs::create_dir(root.join("d")).unwrap());
    bench.view();
    bench.layer(&Tarball::new().link("l", "closed/f").file(".wh.d", "").done());
    for id in bench.chain.clone().iter().rev() {
        bench.driver.remove(id).unwrap();
    }
    assert_eq!(names(bench), empty);
}

fn without_a_mount_the_content_is_there(bench: &mut Bench) {
    // `try_layer` in it rebuilds the tar out of the layer's contents.
    bench.layer(
        &Tarball::new().file("a/f", "content").link("b", "a/f").sparse("s", 1 << 20, &[(4096, b"x")]).done(),
    );
    bench.layer(&Tarball::new().file("a/.wh.f", "").file("a/g", "more").done());
    bench.reopen();
    for position in 0..2 {
        assert!(!bench.rebuild(&bench.at(position)).is_empty());
    }
}
