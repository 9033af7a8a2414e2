//! Every sequence of at most three file operations between two snapshots, enumerated and not sampled.
//!
//! The operations of the [`alphabet`] happen in a small fixed tree with two files, one of them under two names, a folder with
//! something in it and an empty one, and a symbolic link: 26 single ones, 676 pairs, 17,576 triples, those that fail among them.
//! Each sequence is done twice: once every operation sets the modification times of what it touches to its own, and once all
//! that was there keeps the time it had, so that nothing but content and names tells what changed.
//!
//! All sequences that begin with the same operation are one test ([`batch`]): each has a copy of the tree, all copies are in one layer,
//! and one container on it is compared with the oracle. Each operation must answer what the oracle says; tree, changes and diff must be the oracle's,
//! and the diff, applied to the parent, must give the container's tree. What differs is told under the sequence's name.
//!
//! ```text
//! cargo test --test sequences                                   all, on all drivers
//! cargo test --test sequences -- vfs::sequences::times_kept     some
//! ```

pub mod alphabet;
pub mod batch;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use crate::oracle::operation::Times;
use crate::oracle::system::System;
use crate::oracle::trial;
use crate::own_mounts;
use crate::subject::Subject;

/// Runs all sequences on drivers, as the arguments of this process say: those of cargo's own tests.
#[must_use]
pub fn main(subjects: &[Subject]) -> ExitCode {
    let arguments = Arguments::from_args();
    own_mounts::take();
    let mut trials: Vec<Trial> = Vec::new();
    for subject in subjects {
        for (times, told) in [(Times::Set, "times_set"), (Times::Kept, "times_kept")] {
            for (first, (letter, _)) in alphabet::ALPHABET.iter().enumerate() {
                let subject = *subject;
                trials.push(trial(format!("{}::sequences::{told}::{letter}", subject.name), move || {
                    let mut system = System::open(&subject)?;
                    Ok(batch::check(&mut system, &alphabet::beginning_with(first), times)?)
                }));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
