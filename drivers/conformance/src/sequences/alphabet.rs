//! The fixed tree, and the operations of which all sequences are made.

use plywood_archive::tar::Timestamp;

use crate::oracle::operation::{Act, Attribute, Operation, Special, Target, Text, Times, join, time};
use crate::oracle::tree::{HardLinks, Tree};

type Step = Act<&'static [u8]>;

/// The time of the fixed tree.
const BEFORE: u64 = 1;

/// The tree between whose snapshots things happen: two files in a folder and above it, a second name of one, an empty folder, a symbolic
/// link, attributes.
const FIXED: [Step; 9] = [
    Act::Create { at: b"a", mode: 0o644, text: Text::Short(4) },
    Act::SetXattr { at: b"a", attribute: Attribute::Plain, value: 1 },
    Act::Link { from: b"a", to: b"b" },
    Act::Mkdir { at: b"d", mode: 0o755 },
    Act::Create { at: b"d/f", mode: 0o4755, text: Text::Short(7) },
    Act::SetXattr { at: b"d", attribute: Attribute::Plain, value: 2 },
    Act::Mkdir { at: b"e", mode: 0o2775 },
    Act::Symlink { at: b"s", target: Target(0) },
    Act::SetXattr { at: b"a", attribute: Attribute::Capability, value: 1 },
];

/// What may be done, each with a name that is short enough for a test's.
pub const ALPHABET: [(&str, Step); 26] = [
    ("write_a", Act::Write { at: b"a", text: Text::Short(5) }),
    ("append_b", Act::Append { at: b"b", text: Text::Short(2) }),
    ("rewrite_d_f", Act::Write { at: b"d/f", text: Text::Short(8) }),
    ("create_n", Act::Create { at: b"n", mode: 0o600, text: Text::Short(1) }),
    ("create_d_n", Act::Create { at: b"d/n", mode: 0o600, text: Text::Empty }),
    ("unlink_a", Act::Unlink { at: b"a" }),
    ("unlink_s", Act::Unlink { at: b"s" }),
    ("rm_r_d", Act::RemoveTree { at: b"d" }),
    ("mkdir_d", Act::Mkdir { at: b"d", mode: 0o750 }),
    ("mkdir_n", Act::Mkdir { at: b"n", mode: 0o755 }),
    ("rmdir_e", Act::Rmdir { at: b"e" }),
    ("rename_a_n", Act::Rename { from: b"a", to: b"n" }),
    ("rename_n_a", Act::Rename { from: b"n", to: b"a" }),
    ("rename_d_n", Act::Rename { from: b"d", to: b"n" }),
    ("rename_d_e", Act::Rename { from: b"d", to: b"e" }),
    ("rename_e_d", Act::Rename { from: b"e", to: b"d" }),
    ("rename_d_f_a", Act::Rename { from: b"d/f", to: b"a" }),
    ("rename_s_d_f", Act::Rename { from: b"s", to: b"d/f" }),
    ("link_a_d_n", Act::Link { from: b"a", to: b"d/n" }),
    ("link_d_f_n", Act::Link { from: b"d/f", to: b"n" }),
    ("symlink_d", Act::Symlink { at: b"d", target: Target(1) }),
    ("mknod_n", Act::Mknod { at: b"n", special: Special::Character, mode: 0o600 }),
    ("chmod_a", Act::Chmod { at: b"a", mode: 0o4711 }),
    ("chmod_d", Act::Chmod { at: b"d", mode: 0o700 }),
    ("chown_d_f", Act::Chown { at: b"d/f", uid: 7, gid: 70_000 }),
    ("setxattr_b", Act::SetXattr { at: b"b", attribute: Attribute::Plain, value: 2 }),
];

/// The most operations of a sequence.
pub const LONGEST: usize = 3;

/// A sequence: positions in the alphabet.
pub type Sequence = Vec<usize>;

/// Every sequence that begins with an operation.
#[must_use]
pub fn beginning_with(first: usize) -> Vec<Sequence> {
    let mut all = vec![vec![first]];
    let mut longest = 0..1;
    for _ in 1..LONGEST {
        let end = all.len();
        for known in longest {
            for next in 0..ALPHABET.len() {
                let longer = [&all[known][..], &[next]].concat();
                all.push(longer);
            }
        }
        longest = end..all.len();
    }
    all
}

/// How a sequence is called.
#[must_use]
pub fn name(sequence: &[usize]) -> String {
    sequence.iter().map(|step| ALPHABET[*step].0).collect::<Vec<_>>().join(", ")
}

/// An operation inside one of many copies of the tree.
#[must_use]
pub fn inside(copy: &[u8], act: &Step, times: Times) -> Operation<Vec<u8>> {
    Operation { act: act.map(|path| join(copy, path)), times }
}

/// Puts a copy of the fixed tree into a folder.
pub fn plant(tree: &mut Tree, copy: &[u8]) {
    let folder = Operation { act: Act::Mkdir { at: copy.to_vec(), mode: 0o755 }, times: Times::Set };
    let steps = FIXED.iter().map(|act| inside(copy, act, Times::Set));
    for operation in std::iter::once(folder).chain(steps) {
        tree.perform(&operation, time(BEFORE), HardLinks::Kept).expect("the fixed tree can be made");
    }
}

/// The time of a sequence's step.
#[must_use]
pub fn when(step: usize) -> Timestamp {
    time(BEFORE + 1 + step as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_sequence_is_there_once() {
        let all: Vec<Sequence> = (0..ALPHABET.len()).flat_map(beginning_with).collect();
        let different: BTreeSet<&Sequence> = all.iter().collect();
        let letters = ALPHABET.len();
        assert_eq!(all.len(), letters + letters.pow(2) + letters.pow(3));
        assert_eq!(different.len(), all.len());
    }
}
