//! Many sequences at once: each in a copy of the fixed tree of its own, all copies in one layer.

use std::collections::{BTreeMap, BTreeSet};

use plywood_graphdriver::Change;

use super::alphabet::{ALPHABET, Sequence, inside, name, plant, when};
use crate::listing::Listing;
use crate::oracle::compare::changes;
use crate::oracle::hard_links::hard_links;
use crate::oracle::member::{Member, Style, members, read, write};
use crate::oracle::operation::Times;
use crate::oracle::perform::perform;
use crate::oracle::system::{Difference, System};
use crate::oracle::tree::{HardLinks, Tree};

/// The layers of a batch: the copies, the container, and what its diff makes of the copies.
const PARENT: u64 = 1;
const CHILD: u64 = 2;
const AGAIN: u64 = 3;
/// How many sequences are named where many fail.
const NAMED: usize = 5;

/// Does all sequences on a driver, and compares its tree, its changes and its diff with the oracle's, and the tree that the diff
/// makes of the parent's with the child.
///
/// # Errors
/// What differs, under the names of the sequences.
pub fn check(system: &mut System, sequences: &[Sequence], times: Times) -> Result<(), Difference> {
    let links = hard_links(system)?;
    let mut tree = Tree::empty();
    for number in 0..sequences.len() {
        plant(&mut tree, &folder(number));
    }
    let parent = tree.listing();
    let described = members(&changes(None, &parent), None, &parent, Style::PLAIN);
    system.apply(PARENT, &[], &write(&described, &tree))?;
    system.snapshot(CHILD, &[PARENT])?;
    system.mount(CHILD, &[PARENT])?;
    let mut expected = tree.snapshot();
    for (number, sequence) in sequences.iter().enumerate() {
        perform_both(system, number, sequence, times, links, &mut expected)?;
    }
    let child = expected.listing();
    let compare = |what: &str, expected: Lines, seen: Lines| same(sequences, what, &expected, &seen);
    compare("the tree", tree_lines(&child), tree_lines(&system.look(CHILD, &[PARENT])?))?;
    let told = system.changes(CHILD, &[PARENT])?;
    let right = changes(Some(&parent), &child).with(told.iter().map(|change| &change.path[..]));
    compare("the changes", change_lines(&right.told()), change_lines(&told))?;
    let diff = system.diff(CHILD, &[PARENT])?;
    let written = members(&right, Some(&parent), &child, Style::PLAIN);
    compare("the diff", member_lines(&written), member_lines(&read(&diff)?.all))?;
    system.apply(AGAIN, &[PARENT], &diff)?;
    compare("the tree of the diff", tree_lines(&child), tree_lines(&system.look(AGAIN, &[PARENT])?))?;
    system.unmount(CHILD)?;
    [AGAIN, CHILD, PARENT].into_iter().try_for_each(|layer| system.remove(layer))
}

fn perform_both(
    system: &System,
    number: usize,
    sequence: &[usize],
    times: Times,
    links: HardLinks,
    expected: &mut Tree,
) -> Result<(), Difference> {
    for (at, step) in sequence.iter().enumerate() {
        let operation = inside(&folder(number), &ALPHABET[*step].1, times);
        let right = expected.perform(&operation, when(at), links);
        let answer = perform(system.root(CHILD), &operation, when(at));
        if answer != right {
            let called = name(sequence);
            return Err(format!("[{called}]: step {}: {answer:?}, where {right:?} was expected", at + 1));
        }
    }
    Ok(())
}

/// The folder of the copy that a sequence has.
fn folder(number: usize) -> Vec<u8> {
    format!("{number:05}").into_bytes()
}

/// Lines with their paths.
type Lines = Vec<(Vec<u8>, String)>;

fn tree_lines(listing: &Listing) -> Lines {
    listing.0.iter().map(|item| (item.path.clone(), item.to_string())).collect()
}

fn change_lines(changes: &[Change]) -> Lines {
    let line = |change: &Change| format!("{} /{}", change.kind.letter(), change.path.escape_ascii());
    changes.iter().map(|change| (change.path.clone(), line(change))).collect()
}

fn member_lines(members: &[Member]) -> Lines {
    members.iter().map(|member| (member.path().to_vec(), member.to_string())).collect()
}

/// Compares lines, and names the sequences whose copies they are about, the shortest first.
fn same(sequences: &[Sequence], what: &str, expected: &Lines, seen: &Lines) -> Result<(), Difference> {
    if expected == seen {
        return Ok(());
    }
    let (right, told): (BTreeSet<_>, BTreeSet<_>) = (expected.iter().collect(), seen.iter().collect());
    let missing = right.difference(&told).map(|(path, line)| (path, format!("    expected {line}")));
    let wrong = told.difference(&right).map(|(path, line)| (path, format!("    but has  {line}")));
    let mut blamed: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
    for (path, line) in missing.chain(wrong) {
        let copy = path.split(|byte| *byte == b'/').next().unwrap_or_default();
        let number = std::str::from_utf8(copy).ok().and_then(|copy| copy.parse::<usize>().ok());
        let sequence = number.and_then(|number| sequences.get(number));
        let called = sequence.map_or_else(|| "the root".to_owned(), |sequence| name(sequence));
        blamed.entry((sequence.map_or(0, Vec::len), called)).or_default().push(line);
    }
    let mut text = format!("{what} differs after {} sequences of {}", blamed.len(), sequences.len());
    if blamed.is_empty() {
        text += ", in its order alone";
    }
    for ((_, called), lines) in blamed.iter().take(NAMED) {
        text.extend(["\n  [", called, "]\n", &lines.join("\n")]);
    }
    Err(text)
}
