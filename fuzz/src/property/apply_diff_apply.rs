//! A layer and its diff say the same.

use std::cell::OnceCell;

use plywood_graphdriver::{ErrorKind, LayerId};

use crate::layers;
use crate::stage::{Layer, Stage, told};
use crate::trees;

thread_local! {
    static STAGES: OnceCell<[Stage; 2]> = const { OnceCell::new() };
}

/// For each layer of a chain: its diff, applied to the same parents, gives the same tree, whose diff is the same bytes; and
/// overlay2 and vfs show the same tree, but for the names that overlayfs counts and does not show.
pub fn check(input: &[u8]) {
    STAGES.with(|stages| {
        let [overlay2, vfs] = stages.get_or_init(|| [Stage::overlay2(), Stage::vfs()]);
        let elsewhere = layers::Elsewhere { outside: "/outside".to_owned(), far: "/far".to_owned() };
        let (mut on_overlay2, mut on_vfs) = (Vec::new(), Vec::new());
        for tar in layers::tars(input, &elsewhere) {
            let one = overlay2.unpack(on_overlay2, &tar);
            let other = vfs.unpack(on_vfs, &tar);
            let (one, other) = match (one, other) {
                (Ok(one), Ok(other)) => (one, other),
                (Err(one), Err(other)) => {
                    assert_eq!(one.kind, other.kind, "{} and {}", told(&one), told(&other));
                    break;
                }
                (Err(error), Ok(_)) => panic!("only overlay2 refuses: {}", told(&error)),
                (Ok(_), Err(error)) => panic!("only vfs refuses: {}", told(&error)),
            };
            trees::assert_equal(
                &trees::without_hidden_names(overlay2.seen(&one)),
                &vfs.seen(&other),
                "vfs shows another tree than overlay2",
            );
            check_fixed_point(overlay2, &one);
            check_fixed_point(vfs, &other);
            (on_overlay2, on_vfs) = (one.chain(), other.chain());
        }
        overlay2.remove_all();
        vfs.remove_all();
    });
}

fn check_fixed_point(stage: &Stage, layer: &Layer) {
    let name = stage.driver.name();
    let first = match stage.diff(layer) {
        Ok(first) => first,
        Err(error) => panic!("{name}: no diff: {}", told(&error)),
    };
    let again = unpacked(stage, layer.parents.clone(), &first);
    let second =
        stage.diff(&again).unwrap_or_else(|error| panic!("{name}: no second diff: {}", told(&error)));
    trees::assert_equal(&stage.seen(layer), &stage.seen(&again), &format!("{name}: applying the diff"));
    assert!(first == second, "{name}: the second diff differs");
}

fn unpacked(stage: &Stage, parents: Vec<LayerId>, tar: &[u8]) -> Layer {
    stage.unpack(parents, tar).unwrap_or_else(|error| {
        assert_ne!(error.kind, ErrorKind::System);
        panic!("{}: the diff is refused: {}", stage.driver.name(), told(&error))
    })
}
