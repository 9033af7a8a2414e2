//! Many layers on one another.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use plywood_graphdriver::{Access, ErrorKind, MountRequest};

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::{assert_same, list};
use crate::tarball::Tarball;

cases! {
    "depth";
    a_container_on_128_layers_shows_what_each_left: [Mounts, Depth(128)],
    a_container_on_499_layers_shows_what_each_left: [Mounts, Depth(499)],
    layers_128_deep_are_as_one_flat_copy: [Mounts, Depth(128)],
    more_layers_than_the_driver_takes_are_refused_in_words: [Mounts],
}

/// Layers that each replace one file of all, one of sixteen, and add one of their own every `every`.
fn stack(bench: &mut Bench, depth: u32, every: u32) {
    for number in 0..depth {
        let mut tar = Tarball::new()
            .file("which", &number.to_string())
            .file(&format!("turns/{}", number % 16), &number.to_string());
        if number % every == 0 {
            tar = tar.file(&format!("own/{number}"), "x");
        }
        let layer = bench.new_layer();
        bench.apply_on(&layer, &mut &tar.done()[..]).unwrap();
        bench.driver.seal(layer.as_ref(), None).unwrap();
        bench.chain.push(layer.id);
    }
}

fn check(bench: &mut Bench, depth: u32, every: u32) {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    bench.look(|root| {
        assert_eq!(read(&root.join("which")), (depth - 1).to_string());
        for turn in 0..16 {
            let last = (0..depth).rev().find(|number| number % 16 == turn).unwrap();
            assert_eq!(read(&root.join(format!("turns/{turn}"))), last.to_string());
        }
        for number in (0..depth).step_by(usize::try_from(every).unwrap()) {
            assert_eq!(read(&root.join(format!("own/{number}"))), "x");
        }
        let count = fs::read_dir(root.join("own")).unwrap().count();
        assert_eq!(count, usize::try_from(depth.div_ceil(every)).unwrap());
    });
    // All of them are parents now.
    bench.change(|root| {
        fs::write(root.join("own/0"), "changed").unwrap();
        fs::remove_file(root.join("turns/0")).unwrap();
    });
    assert_eq!(bench.changes(), ["C /own", "C /own/0", "C /turns", "D /turns/0"]);
    assert_eq!(bench.look(|root| read(&root.join("own/0"))), "changed");
}

fn a_container_on_128_layers_shows_what_each_left(bench: &mut Bench) {
    stack(bench, 128, 1);
    check(bench, 128, 1);
}

/// With the container five hundred, the most that overlayfs mounts.
fn a_container_on_499_layers_shows_what_each_left(bench: &mut Bench) {
    stack(bench, 499, 50);
    check(bench, 499, 50);
}

/// What one layer does, in a mount and in a flat copy alike: adds, rewrites, deletes, moves, makes folders again. What it touched gets a
/// time that both trees share.
fn step(root: &Path, number: u64) {
    let folder = format!("folder-{}", number % 7);
    let deep = format!("{folder}/deep-{}", number % 3);
    let own = format!("file-{number}");
    fs::write(root.join(&own), format!("of {number}")).unwrap();
    if number % 5 == 4 && root.join(&folder).exists() {
        fs::remove_dir_all(root.join(&folder)).unwrap();
    }
    fs::create_dir_all(root.join(&deep)).unwrap();
    let inner = format!("{deep}/f");
    fs::write(root.join(&inner), number.to_string()).unwrap();
    if let Some(earlier) = number.checked_sub(3) {
        fs::rename(root.join(format!("file-{earlier}")), root.join(format!("moved-{}", earlier % 10)))
            .unwrap();
    }
    if number.is_multiple_of(4) && number > 20 {
        fs::remove_file(root.join(format!("moved-{}", number % 10))).unwrap();
    }
    let time = UNIX_EPOCH + Duration::new(1_700_000_000 + number, 123_456_789);
    for touched in [own, inner, deep, folder, String::new()] {
        fs::File::open(root.join(touched)).unwrap().set_modified(time).unwrap();
    }
}

fn layers_128_deep_are_as_one_flat_copy(bench: &mut Bench) {
    let flat = bench.place("flat");
    for number in 0..128 {
        step(&flat, number);
        bench.commit(|root| step(root, number));
    }
    assert_same(&bench.tree(), &list(&flat), "the layers are not as the flat copy");
    // The same layers out of their diffs.
    let diffs: Vec<Vec<u8>> =
        (0..128).map(|position| bench.diff_of(&bench.at(position)).unwrap().0).collect();
    bench.chain.clear();
    for diff in &diffs {
        bench.layer(diff);
    }
    assert_same(&bench.tree(), &list(&flat), "the layers are not as the flat copy");
}

fn more_layers_than_the_driver_takes_are_refused_in_words(bench: &mut Bench) {
    // A driver without a limit takes any number: thirty are more than drivers of old took at once.
    let most = bench.driver.capabilities().max_depth;
    let depth = u32::try_from(most.map_or(30, |most| most + 1)).unwrap();
    stack(bench, depth, 500);
    let layer = bench.new_layer();
    assert_eq!(layer.parents.len(), usize::try_from(depth).unwrap());
    let made = bench.driver.snapshot(layer.as_ref(), Access::ReadWrite);
    let mounted = made.and_then(|()| bench.mount(&layer, &MountRequest::inspection(), "here"));
    match (most, mounted) {
        (None, mounted) => mounted.unwrap().unmount().unwrap(),
        (Some(most), Err(error)) => {
            assert_eq!(error.kind, ErrorKind::LimitExceeded);
            let said = format!("{error}: {}", error.source);
            assert!(
                said.contains(&(most + 1).to_string()),
                "the limit of {most} parents and the layer is not named: {said}"
            );
        }
        (Some(most), Ok(_)) => panic!("{depth} layers are mounted, and the driver says {most} are the most"),
    }
}
