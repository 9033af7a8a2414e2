//! Chain ids, as the OCI image specification computes them.

use plywood_archive::digest::{Digest, Hasher};

/// The chain id of each layer, bottom-up: that of the first is its diff id, and each further one is the SHA-256 of
/// `<chain id below> <diff id>` as text.
#[must_use]
pub fn chain_ids<'a>(diff_ids: impl IntoIterator<Item = &'a Digest>) -> Vec<Digest> {
    let mut below = None;
    let chain = |diff_id: &Digest| {
        let chain_id = extend(below.as_ref(), diff_id);
        below = Some(chain_id);
        chain_id
    };
    diff_ids.into_iter().map(chain).collect()
}

/// The chain id of a layer with the diff id `diff_id` that stands on the chain `below`.
pub(crate) fn extend(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    let Some(below) = below else { return *diff_id };
    let mut hasher = Hasher::new();
    hasher.update(format!("{below} {diff_id}").as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values were computed with Python's hashlib, by the specification's recursion:
    /// `ChainID(L0|...|Ln) = Digest(ChainID(L0|...|Ln-1) + " " + DiffID(Ln))`.
    #[test]
    fn chain_ids_are_those_of_the_specification() {
        let diff_ids = [Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c")];
        let chain = chain_ids(&diff_ids);
        assert_eq!(chain[0], diff_ids[0]);
        assert_eq!(chain[1], Digest::of(format!("{} {}", diff_ids[0], diff_ids[1]).as_bytes()));
        assert_eq!(
            chain[1].to_string(),
            "sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676"
        );
        assert_eq!(
            chain[2].to_string(),
            "sha256:2fce7f8ce91bcf0a1428b36e1024639fdbd9469eea762dba98aa749631885106"
        );
    }
}
