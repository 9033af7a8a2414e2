//! What a driver says it can do, it does: the facts of `Capabilities`, beyond what other themes show of them.

use plywood_graphdriver::MountRequest;

use crate::bench::{Bench, Layer};
use crate::case::cases;
use crate::tarball::Tarball;

cases! {
    "advertised";
    children_are_applied_before_parents_in_every_order: [Mounts, IndependentApply],
    without_mounts_specs_or_contents_still_reach_the_tree: [],
}

/// Layers that mean something else for what is below them: implied folders, links through symlinks, hard links, deletions.
fn layers() -> [Vec<u8>; 4] {
    [
        Tarball::new()
            .folder("./", 0o711)
            .folder("usr/lib/", 0o750)
            .file("usr/lib/a", "a")
            .symlink("lib", "usr/lib")
            .file("d/gone", "x")
            .done(),
        Tarball::new().file("lib/b", "b").link("a-again", "lib/a").file("d/.wh.gone", "").done(),
        Tarball::new()
            .folder("d/", 0o700)
            .file("d/.wh..wh..opq", "")
            .link("d/b", "usr/lib/b")
            .file("usr/lib/.wh.a", "")
            .done(),
        Tarball::new().file("lib/.wh.b", "").link("lib/a", "a-again").file("d/new", "x").done(),
    ]
}

/// Every order of these.
fn orders(left: &[usize]) -> Vec<Vec<usize>> {
    if left.is_empty() {
        return vec![Vec::new()];
    }
    let begun = left.iter().flat_map(|first| {
        let rest: Vec<usize> = left.iter().copied().filter(|one| one != first).collect();
        orders(&rest).into_iter().map(|rest| [vec![*first], rest].concat())
    });
    begun.collect()
}

fn children_are_applied_before_parents_in_every_order(bench: &mut Bench) {
    let tars = layers();
    for tar in &tars {
        bench.layer(tar);
    }
    let (expected, diff) = (bench.listing(), bench.diff());
    assert_eq!(
        expected.0.iter().map(|item| item.path.escape_ascii().to_string()).collect::<Vec<_>>(),
        ["", "a-again", "d", "d/b", "d/new", "lib", "usr", "usr/lib", "usr/lib/a"]
    );
    let orders = orders(&[0, 1, 2, 3]);
    assert_eq!(orders.len(), 24);
    for order in orders {
        bench.chain.clear();
        let ids: Vec<_> = tars.iter().map(|_| bench.new_id()).collect();
        for at in &order {
            bench.apply(&ids[*at], &mut &tars[*at][..]).unwrap();
        }
        for (id, tar) in ids.into_iter().zip(&tars) {
            let layer = Layer { id, parents: bench.parents(bench.chain.len()) };
            bench.try_seal(&layer).unwrap();
            assert!(bench.rebuild(&layer) == *tar, "{order:?}");
            bench.chain.push(layer.id);
        }
        assert_eq!(bench.listing().lines(), expected.lines(), "{order:?}");
        assert_eq!(bench.listing().tree_hash(), expected.tree_hash(), "{order:?}");
        assert!(bench.diff() == diff, "{order:?}");
    }
}

/// A driver that mounts nothing says so, and says where the tree is.
fn without_mounts_specs_or_contents_still_reach_the_tree(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/f", "content").done());
    let contents = bench.driver.contents(bench.top().as_ref()).unwrap();
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::openat(&contents, "d/f", flags, rustix::fs::Mode::empty()).unwrap();
    assert_eq!(std::io::read_to_string(std::fs::File::from(file)).unwrap(), "content");
    let specs = bench.driver.mount_specs(bench.top().as_ref(), &MountRequest::inspection()).unwrap();
    assert!(!specs.is_empty());
    let mounted = bench.mount(&bench.top(), &MountRequest::inspection(), "here");
    assert_eq!(mounted.is_ok(), bench.driver.capabilities().mounts);
}

#[cfg(test)]
mod tests {
    use crate::cases;
    use crate::need::Need;

    /// A capability that no case needs is one that nobody checks. Those that no driver has yet come with the first that has.
    #[test]
    fn every_capability_that_a_driver_has_gates_a_case() {
        let gates = |need: Need| cases::all().any(|case| case.needs.iter().any(|one| need.takes(*one)));
        for need in
            [Need::Mounts, Need::IndependentApply, Need::NativeDiff, Need::SharesPageCache, Need::Rootless]
        {
            assert!(gates(need), "no case needs {need}");
        }
        assert!(cases::all().any(|case| case.needs.iter().any(|need| matches!(need, Need::Depth(_)))));
    }
}
