//! The Nth system call of each operation fails, or the process is killed there, for every N: afterwards the store is as before or as after.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rustix::io::Errno;

use crate::number;
use crate::operations::{Ended, Expected, OPERATIONS, Operation};
use crate::random::Random;
use crate::supervisor::{Call, Sort, Verdict};
use crate::world::DRIVERS;

/// What befalls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Error(Errno),
    Killed,
}

/// Calls that only look fail with an error; those that change something with both, or the process dies before them.
const FAULTS: [(Fault, Option<Sort>); 3] = [
    (Fault::Error(Errno::IO), None),
    (Fault::Error(Errno::NOSPC), Some(Sort::Changes)),
    (Fault::Killed, Some(Sort::Changes)),
];

impl Fault {
    fn verdict(self) -> Verdict {
        match self {
            Self::Error(error) => Verdict::Fail(error.raw_os_error()),
            Self::Killed => Verdict::Kill,
        }
    }
}

/// Runs the operation with a fault at the call of that number among those of the sort; answers the call that was met, if it came so far.
fn run(
    operation: Operation,
    expected: &Expected,
    fault: (Fault, Option<Sort>),
    at: usize,
) -> Option<(Call, Result<(), String>)> {
    let world = operation.copy(&expected.template);
    let (mut count, mut met) = (0, None);
    let (fault, sort) = fault;
    let ended: Ended = operation.run_in(&world, &mut |call| {
        if sort.is_some_and(|sort| call.sort != sort) {
            return Verdict::Go;
        }
        count += 1;
        if count - 1 != at {
            return Verdict::Go;
        }
        met = Some(call.clone());
        fault.verdict()
    });
    let call = met?;
    let judged = catch_unwind(AssertUnwindSafe(|| expected.judge(&world, &ended, fault == Fault::Killed)));
    let judged = judged.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("{} (it had said: {})", text.unwrap_or_default(), ended.stderr))
    });
    Some((call, judged))
}

/// How many of how many calls are tried: all, or about so many of each operation and fault.
fn chosen(total: usize, sample: usize, random: &mut Random) -> Vec<usize> {
    if sample == 0 || total <= sample {
        // Threads may take turns otherwise, and calls come later than in the run that was counted.
        return (0..total + total / 20 + 3).collect();
    }
    let step = total.div_ceil(sample);
    let first = random.below(step);
    (first..total).step_by(step).collect()
}

#[test]
fn whatever_call_fails_it_is_all_or_nothing() {
    let _alone = crate::alone();
    let sample = number("PLYWOOD_FAULTS_SAMPLE", 6);
    let only = std::env::var("PLYWOOD_FAULTS_ONLY").unwrap_or_default();
    let mut random = Random::told("nth");
    let (mut runs, mut violations) = (0, Vec::new());
    for driver in DRIVERS {
        for operation in OPERATIONS
            .iter()
            .filter(|operation| only.is_empty() || only.split(',').any(|name| name == operation.name))
        {
            let began = Instant::now();
            let expected = Expected::of(*operation, driver);
            let all = expected.calls.len();
            let changing = expected.calls.iter().filter(|call| call.sort == Sort::Changes).count();
            let before = runs;
            for fault in FAULTS {
                let total = if fault.1.is_some() { changing } else { all };
                for at in chosen(total, sample, &mut random) {
                    let Some((call, judged)) = run(*operation, &expected, fault, at) else { continue };
                    runs += 1;
                    if let Err(what) = judged {
                        let text = format!(
                            "{driver}, {}, {:?} at {at}, {} {}: {what}",
                            operation.name, fault.0, call.name, call.path
                        );
                        println!("{text}");
                        violations.push(text);
                    }
                }
            }
            println!(
                "{driver}, {}: {all} calls, {changing} of them change something; {} runs in {:.1} s",
                operation.name,
                runs - before,
                began.elapsed().as_secs_f64()
            );
        }
    }
    println!("{runs} runs, {} violations", violations.len());
    assert!(violations.is_empty(), "{} violations, the first: {}", violations.len(), violations[0]);
}
