//! The JSON of images.

use plywood_image::fuzzing;

use crate::memory;

/// What parsing may hold: a tree of values takes many times the text, as `[[],[]` shows.
fn most_memory(input_bytes: usize) -> usize {
    (1 << 20) + 600 * input_bytes
}

/// No panic and bounded memory. A manifest, index or config that is taken says the same after Plywood has written it again; no
/// document is taken both for a manifest and for an index.
pub fn check(document: &[u8]) {
    let taken = memory::at_most(most_memory(document.len()), || {
        [fuzzing::manifest, fuzzing::index, fuzzing::config].map(|check| match check(document) {
            Ok(taken) => taken,
            Err(broken) => panic!("{broken}"),
        })
    });
    assert!(!(taken[0] && taken[1]), "it is a manifest and an index");
}
