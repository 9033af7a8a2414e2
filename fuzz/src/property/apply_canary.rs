//! Layers that lead elsewhere.

use std::cell::OnceCell;

use crate::layers;
use crate::stage::{Layer, Stage};

thread_local! {
    static STAGES: OnceCell<[Stage; 2]> = const { OnceCell::new() };
}

/// Whatever a chain of layers says, on the forms of overlay2 and of vfs: nothing outside the layer's own folder changes, in
/// content, mode, owner, attributes, or time of status change; a layer that is refused goes without a trace; and one that gets
/// through is rebuilt byte for byte and can be looked at.
pub fn check(input: &[u8]) {
    STAGES.with(|stages| {
        let stages = stages.get_or_init(|| [Stage::overlay2(), Stage::vfs()]);
        for stage in stages {
            play(stage, input);
        }
    });
}

fn play(stage: &Stage, input: &[u8]) {
    let mut parents = Vec::new();
    for tar in layers::tars(input, &stage.elsewhere()) {
        let Ok(layer) = stage.unpack(parents, &tar) else { break };
        check_rebuilt(stage, &layer, &tar);
        stage.seen(&layer);
        // A diff may be refused, for names that are no names in a layer; it must not go elsewhere.
        let _answer = stage.diff(&layer);
        stage.canary.assert_unchanged();
        parents = layer.chain();
    }
    stage.remove_all();
    stage.canary.assert_unchanged();
}

fn check_rebuilt(stage: &Stage, layer: &Layer, tar: &[u8]) {
    let mut rebuilt = Vec::new();
    let measured = stage.rebuild(layer, &layer.recipe, &mut rebuilt);
    assert!(measured.is_ok(), "{} does not rebuild: {measured:?}", stage.driver.name());
    assert!(rebuilt == tar, "{}: another tar comes out than went in", stage.driver.name());
}
