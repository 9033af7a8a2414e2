//! The oracle's tests: the sequences that failed once, and random ones.

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plywood_sys::identity::Privilege;

use super::run::{Failure, random, replay};
use super::transition::Transition;
use crate::own_mounts;
use crate::subject::Subject;

/// How many steps a run takes that nobody asked for more: some ten seconds.
const STEPS: u64 = 4000;
/// The seed of a run that nobody gave one: the same each time, so that who did not break it is not blamed.
const SEED: u64 = 3;

/// Runs the oracle on drivers, as the arguments of this process say: those of cargo's own tests.
///
/// `PLYWOOD_ORACLE_STEPS` and `PLYWOOD_ORACLE_SEED` change how long the random sequences are and what they are made of,
/// `PLYWOOD_ORACLE_SEQUENCE` which of a seed's sequences is the first. `kept` has the sequences that failed once.
#[must_use]
pub fn main(subjects: &[Subject], kept: &Path) -> ExitCode {
    let arguments = Arguments::from_args();
    own_mounts::take();
    let mut trials = Vec::new();
    for subject in subjects {
        let others: Vec<Subject> =
            subjects.iter().filter(|other| other.name != subject.name).copied().collect();
        trials.extend(sequences(kept).into_iter().map(|(name, text)| {
            let (subject, others) = (*subject, others.clone());
            trial(format!("{}::oracle::kept::{name}", subject.name), move || {
                let transitions: Vec<Transition> = serde_json::from_str(&text)?;
                Ok(replay(&subject, &others, &transitions)?)
            })
        }));
        let subject = *subject;
        trials.push(trial(format!("{}::oracle::random", subject.name), move || {
            let (seed, steps) = (number("SEED", SEED)?, number("STEPS", STEPS)?);
            let first = number("SEQUENCE", 0)?;
            random(&subject, &others, seed, first, steps)
                .map(drop)
                .map_err(|failure| told(&subject, &failure))
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test that takes root; ignored, with the reason, for everybody else.
pub(crate) fn trial(name: String, run: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    if Privilege::probe().is_ok_and(|privilege| privilege == Privilege::Root) {
        return Trial::test(name, run);
    }
    let reason = "needs root: mounts, device nodes, foreign owners";
    Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)))
        .with_kind(reason)
        .with_ignored_flag(true)
}

fn number(name: &str, default: u64) -> Result<u64, Failed> {
    let name = format!("PLYWOOD_ORACLE_{name}");
    match std::env::var(&name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|error| Failed::from(format!("{name}='{text}': {error}")))
        }
        _ => Ok(default),
    }
}

/// The kept sequences by name.
fn sequences(folder: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder of kept sequences can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("kept sequences can be read"))
        })
        .collect();
    found.sort();
    found
}

/// Writes the shortest sequence down for whoever is to find out why, and says where.
fn told(subject: &Subject, failure: &Failure) -> Failed {
    let Failure { seed, sequence, difference, transitions } = failure;
    let path = std::env::temp_dir().join(format!("oracle-{}-{seed}-{sequence}.json", subject.name));
    let text = serde_json::to_string_pretty(transitions).expect("transitions can be written down");
    let kept = match std::fs::write(&path, text + "\n") {
        Ok(()) => format!("{} (to keep it as a case, move it to tests/regressions/oracle/)", path.display()),
        Err(error) => format!("nowhere: {}: {error}", path.display()),
    };
    let steps: Vec<String> =
        transitions.iter().enumerate().map(|(number, step)| format!("  {number}: {step:?}")).collect();
    format!(
        "{difference}\nafter these steps, the shortest found:\n{}\nwritten to {kept}\n\
         again: PLYWOOD_ORACLE_SEED={seed} PLYWOOD_ORACLE_SEQUENCE={sequence} cargo test --test oracle -- {}::oracle::random",
        steps.join("\n"),
        subject.name
    )
    .into()
}
