//! What a driver does with hard links of its parents.

use super::compare::changes;
use super::member::{Style, members, write};
use super::operation::{Act, Operation, Text, Times, time};
use super::perform::perform;
use super::system::{Difference, System};
use super::tree::{HardLinks, Tree};

/// Finds out by trying. A driver whose layers are whole trees has no reason to break any, and is not believed.
///
/// # Errors
/// The driver's, and such a broken link.
pub fn hard_links(system: &mut System) -> Result<HardLinks, Difference> {
    const PARENT: u64 = 1;
    const CHILD: u64 = 2;
    let (one, two) = (b"one".to_vec(), b"two".to_vec());
    let operation = |act| Operation { act, times: Times::Set };
    let mut tree = Tree::empty();
    let made = Act::Create { at: one.clone(), mode: 0o644, text: Text::Empty };
    for act in [made, Act::Link { from: one.clone(), to: two }] {
        tree.perform(&operation(act), time(1), HardLinks::Kept)
            .map_err(|error| format!("make files: {error}"))?;
    }
    let listing = tree.listing();
    let described = members(&changes(None, &listing), None, &listing, Style::PLAIN);
    system.apply(PARENT, &[], &write(&described, &tree))?;
    system.snapshot(CHILD, &[PARENT])?;
    system.mount(CHILD, &[PARENT])?;
    perform(system.root(CHILD), &operation(Act::Chmod { at: one, mode: 0o600 }), time(2))
        .map_err(|error| format!("change mode: {error}"))?;
    let seen = system.look(CHILD, &[PARENT])?;
    system.unmount(CHILD)?;
    system.remove(CHILD)?;
    system.remove(PARENT)?;
    if seen.at("two").is_some_and(|item| item.mode == 0o600) {
        Ok(HardLinks::Kept)
    } else if system.driver().capabilities().native_diff {
        Ok(HardLinks::Broken)
    } else {
        Err("a hard link of the parent is broken by a change of mode".to_owned())
    }
}
