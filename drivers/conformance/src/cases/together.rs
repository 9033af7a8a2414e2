//! Several layers at once: in any order, from several threads, and one without the other.

use std::fs;
use std::path::Path;

use plywood_graphdriver::{Access, ErrorKind, MountRequest};

use crate::bench::{Bench, Layer};
use crate::case::cases;
use crate::listing::{Listing, list};
use crate::tarball::Tarball;

cases! {
    "together";
    a_parent_removed_does_what_the_driver_says_and_harms_no_other: [Mounts],
    a_mount_held_while_others_come_and_go_is_not_touched: [Mounts],
    layers_of_one_image_unpack_in_any_order: [Mounts, IndependentApply],
    many_layers_are_made_at_once: [Mounts],
    one_layer_is_made_once_by_many: [],
}

fn read(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join(name)).unwrap()
}

/// The graph store refuses to delete a layer that others stand on; a driver does as it is told. What stood on it may be whole still or be
/// found broken, but can be removed, and no other layer is harmed.
fn a_parent_removed_does_what_the_driver_says_and_harms_no_other(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("base", "b").done());
    bench.layer(&Tarball::new().file("middle", "m").done());
    bench.change(|root| fs::write(root.join("top"), "t").unwrap());
    let (top, tree) = (bench.top(), bench.tree());
    let other = bench.branch(1, |bench| {
        bench.change(|root| fs::write(root.join("other"), "o").unwrap());
        bench.top()
    });
    bench.driver.remove(&bench.chain[1]).unwrap();
    assert!(!bench.layers().contains(&bench.chain[1]));
    match bench.mount(&top, &MountRequest::inspection(), "here") {
        Ok(mounted) => {
            assert_eq!(list(mounted.target()), tree);
            mounted.unmount().unwrap();
        }
        Err(error) => assert_eq!(error.kind, ErrorKind::NotFound, "{error}: {}", error.source),
    }
    assert_eq!(
        bench.look_at(&other, |root| (read(root, "base"), read(root, "other"))),
        ("b".into(), "o".into())
    );
    bench.driver.remove(&top.id).unwrap();
    assert_eq!(bench.layers().len(), 2);
}

fn a_mount_held_while_others_come_and_go_is_not_touched(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/f", "x").file("d/g", "y").done());
    let held = bench.branch(1, |bench| {
        bench.snapshot();
        bench.mount(&bench.top(), &MountRequest::read_write(), "held").unwrap()
    });
    fs::write(held.target().join("d/f"), "written").unwrap();
    let before = Listing::of(held.target());
    for _ in 0..3 {
        bench.branch(1, |bench| {
            bench.change(|root| fs::remove_dir_all(root.join("d")).unwrap());
            bench.round_trip();
            bench.driver.remove(&bench.chain[1]).unwrap();
        });
    }
    bench.reopen();
    assert_eq!(Listing::of(held.target()), before);
    fs::write(held.target().join("d/g"), "still").unwrap();
    held.unmount().unwrap();
}

fn image(number: u32) -> Vec<u8> {
    let mut tar = Tarball::new()
        .file(&format!("f{number}"), &number.to_string())
        .file("last", &number.to_string())
        .file(&format!("implied/in-{number}"), "x");
    if number == 0 {
        tar = tar.folder("implied/", 0o711);
    } else {
        tar = tar.file(&format!(".wh.f{}", number - 1), "").link(&format!("link-{number}"), "implied/in-0");
    }
    tar.done()
}

fn layers_of_one_image_unpack_in_any_order(bench: &mut Bench) {
    for number in 0..6 {
        bench.layer(&image(number));
    }
    let expected = bench.tree();
    let orders: [[u32; 6]; 3] = [[5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2], [0, 1, 2, 3, 4, 5]];
    for order in orders {
        bench.chain.clear();
        let ids: Vec<_> = (0..6).map(|_| bench.new_id()).collect();
        for number in order {
            bench.apply(&ids[usize::try_from(number).unwrap()], &mut &image(number)[..]).unwrap();
        }
        for id in ids {
            let layer = Layer { id: id.clone(), parents: bench.parents(bench.chain.len()) };
            bench.try_seal(&layer).unwrap();
            bench.chain.push(id);
        }
        assert_eq!(bench.tree(), expected);
    }
    // And all at once.
    bench.chain.clear();
    let ids: Vec<_> = (0..6).map(|_| bench.new_id()).collect();
    std::thread::scope(|scope| {
        for (number, id) in (0..).zip(&ids) {
            let bench = &*bench;
            scope.spawn(move || bench.apply(id, &mut &image(number)[..]).unwrap());
        }
    });
    for id in ids {
        let layer = Layer { id: id.clone(), parents: bench.parents(bench.chain.len()) };
        bench.try_seal(&layer).unwrap();
        bench.chain.push(id);
    }
    assert_eq!(bench.tree(), expected);
}

fn many_layers_are_made_at_once(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/f", "base").done());
    let layers: Vec<Layer> = (0..8).map(|_| bench.new_layer()).collect();
    let shared = &*bench;
    std::thread::scope(|scope| {
        for (number, layer) in layers.iter().enumerate() {
            scope.spawn(move || {
                shared.driver.snapshot(layer.as_ref(), Access::ReadWrite).unwrap();
                let mounted =
                    shared.mount(layer, &MountRequest::read_write(), &format!("at-{number}")).unwrap();
                fs::write(mounted.target().join("d/f"), number.to_string()).unwrap();
                fs::write(mounted.target().join(format!("own-{number}")), "x").unwrap();
                mounted.unmount().unwrap();
                let (diff, _) = shared.diff_of(layer).unwrap();
                assert_eq!(shared.changes_of(layer).unwrap().len(), 3);
                if number % 2 == 0 {
                    shared.driver.remove(&layer.id).unwrap();
                } else {
                    shared.driver.seal(layer.as_ref(), None).unwrap();
                    assert!(shared.diff_of(layer).unwrap().0 == diff);
                }
            });
        }
    });
    assert_eq!(bench.layers().len(), 5);
    for (number, layer) in layers.iter().enumerate().filter(|(number, _)| number % 2 == 1) {
        assert_eq!(bench.look_at(layer, |root| read(root, "d/f")), number.to_string());
    }
}

fn one_layer_is_made_once_by_many(bench: &mut Bench) {
    let layer = bench.new_layer();
    let shared = &*bench;
    let made: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| shared.driver.snapshot(layer.as_ref(), Access::ReadWrite)))
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers
            .map(|answer| match answer {
                Ok(()) => 1,
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}: {}", error.source);
                    0
                }
            })
            .sum()
    });
    assert_eq!(made, 1);
    assert_eq!(bench.layers(), [layer.id]);
}
