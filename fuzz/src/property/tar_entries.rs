//! The tar reader on archives whose meaning is known.

use plywood_archive::digest::Digest;

use crate::pieces::build;
use crate::reading::read;

/// What was put into an archive comes back, whichever of the dialects says it; and an archive with a fault is refused.
pub fn check(input: &[u8]) {
    let expected = build(input);
    let found = read(&expected.tar, 997);
    let Some(entries) = expected.entries else {
        assert!(found.is_err(), "an archive with a fault is taken: {found:?}");
        return;
    };
    let archive = found.unwrap_or_else(|error| panic!("a right archive is refused: {error}"));
    assert_eq!(archive.entries.len(), entries.len());
    for (found, (entry, payload)) in archive.entries.iter().zip(&entries) {
        assert_eq!(found.entry, *entry);
        assert_eq!(found.payload, Digest::of(payload), "the payload of {entry:?}");
    }
}
