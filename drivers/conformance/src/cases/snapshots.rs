//! What a container engine asks of its snapshots: made, written, committed, looked at.

use std::fs;
use std::path::Path;

use plywood_graphdriver::{ErrorKind, MountRequest};

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::{below, list};
use crate::tarball::Tarball;

cases! {
    "snapshots";
    a_container_is_made_written_committed_and_built_on: [Mounts],
    a_view_shows_its_parent_and_takes_no_writes: [Mounts],
    a_view_of_nothing_is_empty: [Mounts],
    layers_on_layers_on_layers_show_what_each_left: [Mounts],
    committing_twice_is_committing_once: [Mounts],
    a_layer_is_removed_after_its_commit: [Mounts],
}

fn read(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join(name)).unwrap()
}

fn a_container_is_made_written_committed_and_built_on(bench: &mut Bench) {
    bench.commit(|root| {
        fs::write(root.join("foo"), "foo\n").unwrap();
        fs::create_dir_all(root.join("a/b/c")).unwrap();
    });
    let committed = bench.tree();
    bench.change(|root| {
        assert_eq!(read(root, "foo"), "foo\n");
        fs::write(root.join("bar"), "bar\n").unwrap();
        fs::remove_dir(root.join("a/b/c")).unwrap();
        fs::create_dir(root.join("a/b/e")).unwrap();
    });
    assert_eq!(bench.changes(), ["C /a", "C /a/b", "D /a/b/c", "A /a/b/e", "A /bar"]);
    // Written to again, before it is committed.
    bench.write(|root| fs::write(root.join("bar"), "more\n").unwrap());
    bench.seal();
    bench.view();
    assert_eq!(bench.changes(), [""; 0]);
    bench.look(|root| assert_eq!((read(root, "foo"), read(root, "bar")), ("foo\n".into(), "more\n".into())));
    assert_eq!(bench.look_at(&bench.at(0), list), committed);
}

fn a_view_shows_its_parent_and_takes_no_writes(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/f", "x").folder("d/", 0o700).done());
    let parent = bench.tree();
    bench.view();
    assert_eq!(bench.tree(), parent);
    let error = bench.mount(&bench.top(), &MountRequest::read_write(), "here").unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    let error = bench.driver.mount_specs(bench.top().as_ref(), &MountRequest::read_write()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    bench.look(|root| {
        for name in ["f", "d/f", "d/g"] {
            assert_eq!(
                fs::write(root.join(name), "").unwrap_err().kind(),
                std::io::ErrorKind::ReadOnlyFilesystem
            );
        }
        let error = fs::remove_dir_all(root.join("d")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    });
    assert_eq!(bench.tree(), parent);
}

fn a_view_of_nothing_is_empty(bench: &mut Bench) {
    bench.view();
    assert_eq!(below(&bench.tree(), "/"), ["/ folder 755 0:0"]);
}

fn layers_on_layers_on_layers_show_what_each_left(bench: &mut Bench) {
    let mut trees = Vec::new();
    for number in 0..6 {
        bench.commit(|root| {
            fs::write(root.join("last"), number.to_string()).unwrap();
            fs::write(root.join(format!("of-{number}")), "").unwrap();
            if number > 1 {
                fs::remove_file(root.join(format!("of-{}", number - 2))).unwrap();
            }
        });
        trees.push(bench.tree());
    }
    for (position, tree) in trees.iter().enumerate() {
        assert_eq!(&bench.look_at(&bench.at(position), list), tree, "layer {position}");
        let shown = below(tree, "/of-").len();
        assert_eq!(shown, (position + 1).min(2), "{tree:?}");
    }
}

fn committing_twice_is_committing_once(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("etc/f", "x").done());
    let layer = bench.new_layer();
    let tar = Tarball::new().file("etc/g", "y").link("l", "etc/f").file(".wh.gone", "").done();
    bench.apply_on(&layer, &mut &tar[..]).unwrap();
    bench.try_seal(&layer).unwrap();
    bench.chain.push(layer.id.clone());
    let tree = bench.tree();
    for _ in 0..3 {
        bench.try_seal(&layer).unwrap();
        bench.driver.seal(layer.as_ref(), None).unwrap();
    }
    bench.reopen();
    bench.try_seal(&layer).unwrap();
    assert_eq!(bench.tree(), tree);
}

fn a_layer_is_removed_after_its_commit(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("base", "b").done());
    bench.commit(|root| {
        fs::remove_file(root.join("base")).unwrap();
        fs::write(root.join("top"), "t").unwrap();
    });
    bench.view();
    for position in [2, 1] {
        bench.driver.remove(&bench.chain[position]).unwrap();
    }
    bench.chain.truncate(1);
    assert_eq!(bench.layers(), bench.chain);
    assert_eq!(below(&bench.tree(), "/"), ["/ folder 755 0:0", "/base file 'b' 644 0:0"]);
}
