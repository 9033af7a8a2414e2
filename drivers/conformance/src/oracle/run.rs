//! Random sequences, one after the other: made by a seed, cut down to the shortest that fails, and told.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

use super::elsewhere::Elsewhere;
use super::hard_links::hard_links;
use super::store::Store;
use super::system::{Difference, System};
use super::transition::{Machine, Transition};
use super::tree::HardLinks;
use crate::subject::Subject;

/// Steps of one sequence.
const SEQUENCE: std::ops::Range<usize> = 40..160;
/// How long a failing sequence is made shorter.
const SHRINKING: Duration = Duration::from_mins(1);
/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A sequence that a driver and the oracle disagree about.
#[derive(Debug)]
pub struct Failure {
    /// The seed of the whole run, and which of its sequences it was.
    pub seed: u64,
    /// See `seed`.
    pub sequence: u64,
    /// What differed at the end of the shortest sequence.
    pub difference: Difference,
    /// The shortest sequence found.
    pub transitions: Vec<Transition>,
}

/// Leads a driver through random sequences until `steps` are done; answers how many were.
///
/// # Errors
/// The first failure.
pub fn random(
    subject: &Subject,
    others: &[Subject],
    seed: u64,
    first: u64,
    steps: u64,
) -> Result<u64, Box<Failure>> {
    let unopened =
        |difference| Box::new(Failure { seed, sequence: first, difference, transitions: Vec::new() });
    let links = System::open(subject).and_then(|mut system| hard_links(&mut system)).map_err(unopened)?;
    let elsewhere = RefCell::new(Elsewhere::open(others).map_err(unopened)?);
    let (mut done, began, mut told) = (0, Instant::now(), Instant::now());
    for sequence in first.. {
        let run = Run { subject, elsewhere: &elsewhere, seed, sequence };
        done += match links {
            HardLinks::Broken => run.random::<true>()?,
            HardLinks::Kept => run.random::<false>()?,
        };
        if done >= steps || told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell(&format!(
                "{}: {done} of {steps} steps in {sequence} sequences, {:.0} a second, seed {seed}",
                subject.name,
                f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / began.elapsed().as_secs_f64(),
            ));
        }
        if done >= steps {
            break;
        }
    }
    Ok(done)
}

/// Leads a driver through one sequence that is written down.
///
/// # Errors
/// What differs.
pub fn replay(subject: &Subject, others: &[Subject], transitions: &[Transition]) -> Result<(), Difference> {
    let elsewhere = RefCell::new(Elsewhere::open(others)?);
    let store = Store::new(hard_links(&mut System::open(subject)?)?);
    follow(subject, &elsewhere, store, transitions, &mut || ())
}

struct Run<'a> {
    subject: &'a Subject,
    elsewhere: &'a RefCell<Elsewhere>,
    seed: u64,
    sequence: u64,
}

impl Run<'_> {
    fn random<const BREAKS: bool>(&self) -> Result<u64, Box<Failure>> {
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_local_rejects: 1 << 20,
            max_shrink_time: u32::try_from(SHRINKING.as_millis()).unwrap_or(u32::MAX),
            max_shrink_iters: 1 << 20,
            ..Config::default()
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let steps = Cell::new(0);
        let strategy = Machine::<BREAKS>::sequential_strategy(SEQUENCE);
        let answer = TestRunner::new_with_rng(config, random).run(&strategy, |(store, transitions, seen)| {
            let mut counted = || {
                steps.set(steps.get() + 1);
                if let Some(seen) = &seen {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            };
            follow(self.subject, self.elsewhere, store, &transitions, &mut counted)
                .map_err(TestCaseError::fail)
        });
        match answer {
            Ok(()) => Ok(steps.get()),
            Err(TestError::Fail(reason, (_, transitions, _))) => {
                Err(Box::new(self.failure(reason.message(), transitions)))
            }
            Err(TestError::Abort(reason)) => Err(Box::new(self.failure(reason.message(), Vec::new()))),
        }
    }

    fn failure(&self, difference: &str, transitions: Vec<Transition>) -> Failure {
        let (seed, sequence) = (self.seed, self.sequence);
        Failure { seed, sequence, difference: difference.to_owned(), transitions }
    }
}

/// Makes the same transitions on the oracle and on a driver.
fn follow(
    subject: &Subject,
    elsewhere: &RefCell<Elsewhere>,
    mut store: Store,
    transitions: &[Transition],
    counted: &mut dyn FnMut(),
) -> Result<(), Difference> {
    let mut system = System::open(subject)?;
    for (number, transition) in transitions.iter().enumerate() {
        counted();
        if !store.allows(transition) {
            return Err(format!(
                "step {number}: {transition:?} cannot be made: the sequence is of another oracle"
            ));
        }
        store.make(transition);
        system
            .step(&store)
            .map_err(|difference| format!("step {number}, {}: {difference}", brief(&store)))?;
    }
    elsewhere.borrow_mut().check(&system, &store)?;
    system.finish(&store)
}

fn brief(store: &Store) -> String {
    use super::store::Event;
    match &store.event {
        Event::Applied(layer, tar) => format!("layer {layer} applied from {} bytes", tar.len()),
        Event::Did(layer, operation, answer) => {
            format!("{} in layer {layer} ({answer:?})", operation.shown())
        }
        other => format!("{other:?}"),
    }
}

/// Shows progress.
#[allow(clippy::print_stderr, reason = "a soak of minutes says how far it is")]
fn tell(line: &str) {
    eprintln!("{line}");
}
