//! The table of cases as a list of tests: one a driver and case.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plywood_graphdriver::{Capabilities, DriverResult};
use plywood_sys::identity::Privilege;

use crate::case::Case;
use crate::cases;
use crate::child::{self, Order, Outcome};
use crate::faulty::Fault;
use crate::machine::Machine;
use crate::need::Need;
use crate::subject::Subject;

/// Whether this process was started for one case, by the harness or by hand.
#[must_use]
pub fn runs_one_case() -> bool {
    Order::of_this_process().is_some()
}

/// Runs the suite on drivers, as the arguments of this process say: those of cargo's own tests.
///
/// Each case runs in a process of its own, as src/child.rs says, so a case that hangs, aborts or leaves something behind harms no other.
#[must_use]
pub fn main(subjects: &[Subject]) -> ExitCode {
    if let Some(order) = Order::of_this_process() {
        return child::obey(subjects, &order);
    }
    let arguments = Arguments::from_args();
    let machine = Arc::new(Machine::probe());
    let trials =
        subjects.iter().flat_map(|subject| Runs::new(*subject, Arc::clone(&machine)).trials()).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A driver, and what is known of it on this machine.
struct Runs {
    subject: Subject,
    machine: Arc<Machine>,
    capabilities: DriverResult<Capabilities>,
}

/// Why a case is not run.
struct Unmet {
    need: Need,
    reason: String,
}

impl Runs {
    fn new(subject: Subject, machine: Arc<Machine>) -> Self {
        let folder = tempfile::tempdir().expect("there are temporary folders");
        let opened = (subject.open)(&folder.path().join(subject.name), machine.privilege);
        Self { subject, machine, capabilities: opened.map(|driver| driver.capabilities()) }
    }

    fn trials(&self) -> Vec<Trial> {
        let mut trials: Vec<Trial> = cases::all().map(|case| self.case(case)).collect();
        trials.extend(Fault::ALL.iter().map(|fault| self.fault(*fault)));
        trials.push(self.no_fault());
        trials.push(self.nothing_ignored());
        trials
    }

    fn case(&self, case: &'static Case) -> Trial {
        let order = Order { subject: self.subject.name, case: case.name, fault: None };
        let name = format!("{}::{}", self.subject.name, case.name);
        self.gated(name, case, move || match child::run(&order) {
            Outcome::Passed => Ok(()),
            Outcome::Failed(text) | Outcome::Broken(text) => Err(text.into()),
        })
    }

    /// The driver with a fault in it fails the case that is there to find it.
    fn fault(&self, fault: Fault) -> Trial {
        let name = format!("{}::faults::{}", self.subject.name, fault.name());
        let case = cases::named(fault.found_by());
        let order = Order { subject: self.subject.name, case: case.name, fault: Some(fault) };
        self.gated(name, case, move || match child::run(&order) {
            Outcome::Failed(_) => Ok(()),
            Outcome::Passed => Err(format!("{} passes on a driver with this fault", order.case).into()),
            Outcome::Broken(text) => Err(text.into()),
        })
    }

    /// What finds the faults passes on the wrapper that puts them in, as long as it puts in none.
    fn no_fault(&self) -> Trial {
        let finders: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.found_by()).collect();
        let runnable: Vec<Order> = cases::all()
            .filter(|case| finders.contains(case.name) && self.unmet(case).is_empty())
            .map(|case| Order { subject: self.subject.name, case: case.name, fault: Some(Fault::None) })
            .collect();
        Trial::test(format!("{}::faults::without_one_what_finds_them_passes", self.subject.name), move || {
            for order in runnable {
                if let Outcome::Failed(text) | Outcome::Broken(text) = child::run(&order) {
                    return Err(format!("{}: {text}", order.case).into());
                }
            }
            Ok(())
        })
    }

    /// Lists a case, ignored where a need is not met, with the reason shown as its kind.
    fn gated(
        &self,
        name: String,
        case: &Case,
        run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Trial {
        let Some(unmet) = self.unmet(case).into_iter().next() else { return Trial::test(name, run) };
        let reason = format!("needs {}: {}", unmet.need, unmet.reason);
        let kind = reason.clone();
        // Asked for by `--ignored` it is still ignored: it cannot run, and must not be seen to pass.
        Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)))
            .with_kind(kind)
            .with_ignored_flag(true)
    }

    fn unmet(&self, case: &Case) -> Vec<Unmet> {
        let capabilities = match &self.capabilities {
            Ok(capabilities) => capabilities,
            Err(error) => {
                let need = self.subject.requires.first().copied().unwrap_or(Need::Root);
                // What the machine lacks says it shorter than what the driver advises.
                let reason = self.machine.meets(need).err();
                let reason = reason.unwrap_or_else(|| format!("{error}: {}", error.source));
                return vec![Unmet { need, reason }];
            }
        };
        let unmet = case.needs.iter().filter_map(|need| {
            let reason = match need.met_by(capabilities) {
                Some(true) => return None,
                Some(false) => match self.subject.excuse(*need) {
                    Some(reason) => reason.to_owned(),
                    None => format!("{} has none here", self.subject.name),
                },
                None => self.machine.meets(*need).err()?,
            };
            Some(Unmet { need: *need, reason })
        });
        unmet.collect()
    }

    /// As root, whatever this machine can do is done: a case is ignored only for what the machine or the driver never can.
    fn nothing_ignored(&self) -> Trial {
        let name = format!("{}::nothing_that_could_run_was_ignored", self.subject.name);
        if self.machine.privilege != Privilege::Root {
            let reason = "needs root in the initial user namespace";
            return Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)))
                .with_kind(reason)
                .with_ignored_flag(true);
        }
        let wrong = self.wrongly_ignored();
        Trial::test(name, move || if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) })
    }

    fn wrongly_ignored(&self) -> Vec<String> {
        if let Err(error) = &self.capabilities {
            let lacking: Vec<&Need> =
                self.subject.requires.iter().filter(|need| self.machine.meets(**need).is_err()).collect();
            return if lacking.is_empty() {
                vec![format!(
                    "{} does not open, though the machine has all it needs: {error}: {}",
                    self.subject.name, error.source
                )]
            } else {
                Vec::new()
            };
        }
        let mut wrong = Vec::new();
        for case in cases::all() {
            for Unmet { need, reason } in self.unmet(case) {
                if self.subject.excuse(need).is_none() && self.machine.meets(need).is_ok() {
                    wrong.push(format!(
                        "{} was ignored for {need} ({reason}), which this machine can do",
                        case.name
                    ));
                }
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use plywood_graphdriver::{DriverError, ErrorKind};

    use super::*;

    const ABLE: Capabilities = Capabilities {
        max_depth: None,
        independent_apply: true,
        native_diff: true,
        rootless: true,
        mounts: true,
        quota: true,
        device_backed: true,
        shares_page_cache: true,
    };

    fn runs(capabilities: DriverResult<Capabilities>, never: &'static [(Need, &'static str)]) -> Runs {
        let open = |_: &std::path::Path, _| Err(DriverError::new(ErrorKind::Unsupported, "open", "never"));
        let subject = Subject { name: "imagined", open, requires: &[Need::UserXattrs], never };
        Runs { subject, machine: Arc::new(Machine::probe()), capabilities }
    }

    #[test]
    fn what_a_driver_lacks_is_ignored_with_the_reason_and_excused_only_by_name() {
        const SHALLOW: Capabilities = Capabilities { max_depth: Some(100), independent_apply: false, ..ABLE };
        let case = cases::named("together::layers_of_one_image_unpack_in_any_order");
        assert!(runs(Ok(ABLE), &[]).unmet(case).iter().all(|unmet| unmet.need != Need::IndependentApply));
        let accused = runs(Ok(SHALLOW), &[]);
        let trial = accused.case(case);
        assert!(trial.has_ignored_flag());
        assert!(trial.kind().contains("unpacking without parents"), "{}", trial.kind());
        let wrong = accused.wrongly_ignored().join("\n");
        assert!(wrong.contains(case.name) && wrong.contains("depth::"), "{wrong}");
        let excuses = &[(Need::IndependentApply, "it copies blocks"), (Need::Depth(101), "it counts to 100")];
        let excused = runs(Ok(SHALLOW), excuses);
        assert!(excused.case(case).has_ignored_flag());
        assert_eq!(excused.wrongly_ignored(), [""; 0]);
    }

    #[test]
    fn a_driver_that_does_not_open_is_excused_by_the_machine_alone() {
        let closed = |requires| {
            let error = DriverError::new(ErrorKind::Unsupported, "open", "no");
            let mut runs = runs(Err(error), &[]);
            runs.subject.requires = requires;
            runs
        };
        let accused = closed(&[]);
        assert!(cases::all().all(|case| accused.case(case).has_ignored_flag()));
        assert_eq!(accused.wrongly_ignored().len(), 1);
        let lacking = closed(&[Need::DeviceMapper]);
        assert_eq!(lacking.wrongly_ignored().is_empty(), lacking.machine.meets(Need::DeviceMapper).is_err());
    }
}
