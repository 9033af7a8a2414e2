//! One case in a process of its own.
//!
//! The harness starts this same program again for each case and reads how it ended. The process has a mount namespace of its
//! own where it may have one, so the census can ask for all mounts, and mounts that a case leaves end with it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::bench::Bench;
use crate::cases;
use crate::census::{self, Census, Mounts};
use crate::faulty::Fault;
use crate::own_mounts;
use crate::subject::Subject;

/// The argument before the name of the one case to run.
const RUN_CASE: &str = "--run-case";
/// The exit code of a case that failed: the one of cargo's own tests.
const FAILED: u8 = 101;
/// A case that takes longer hangs. Cases take far less than a second; a machine may be far busier than it should.
const HANGS_AFTER: Duration = Duration::from_mins(5);

/// Which case is to be run, on which driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order<Name = &'static str> {
    /// The driver's name.
    pub subject: Name,
    /// The case's name.
    pub case: Name,
    /// The fault that is put into the driver.
    pub fault: Option<Fault>,
}

/// How a case ended.
#[derive(Debug)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// A check of the case or of the census did not hold; with what it wrote.
    Failed(String),
    /// The process did not come to its end by itself, or could not be started.
    Broken(String),
}

impl Order<String> {
    /// What this process was started for: `--run-case DRIVER::GROUP::CASE [FAULT]`, or the whole suite.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let mut arguments = std::env::args().skip(1);
        if arguments.next()? != RUN_CASE {
            return None;
        }
        let name = arguments.next()?;
        let (subject, case) = name.split_once("::")?;
        let fault = arguments.next().and_then(|name| Fault::named(&name));
        Some(Self { subject: subject.to_owned(), case: case.to_owned(), fault })
    }
}

/// Runs a case in a process of its own, and waits for it.
#[must_use]
pub fn run(order: &Order) -> Outcome {
    match try_run(order) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Broken(format!("running the case: {error}")),
    }
}

fn try_run(order: &Order) -> std::io::Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("conformance-").tempdir()?;
    let written = folder.path().join("written");
    let output = File::create(&written)?;
    let mut arguments: Vec<OsString> =
        vec![RUN_CASE.into(), format!("{}::{}", order.subject, order.case).into()];
    arguments.extend(order.fault.map(|fault| fault.name().into()));
    // A folder of its own below: the case's files are then apart from what the harness writes.
    let place = folder.path().join("case");
    std::fs::create_dir(&place)?;
    let child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env("PATH", path())
        .current_dir(&place)
        .stdin(std::process::Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    let ended = wait(child)?;
    let text = String::from_utf8_lossy(&std::fs::read(&written)?).into_owned();
    Ok(match ended {
        Some(status) if status.success() => Outcome::Passed,
        Some(status) if status.code() == Some(FAILED.into()) => Outcome::Failed(text),
        Some(status) => Outcome::Broken(format!("the case's process ended with {status}\n{text}")),
        None => Outcome::Broken(format!("the case did not end within {} s\n{text}", HANGS_AFTER.as_secs())),
    })
}

/// Where the case's process looks for programs: first in the folder above that of this one, where cargo puts those of the workspace.
fn path() -> OsString {
    let own = std::env::current_exe().ok();
    let built = own.as_deref().and_then(Path::parent).and_then(Path::parent).map(Path::to_owned);
    let others = std::env::var_os("PATH").unwrap_or_default();
    let all = built.into_iter().chain(std::env::split_paths(&others));
    std::env::join_paths(all).unwrap_or(others)
}

/// Waits for the case's end; none where it hangs. What is left of its processes ends now in any case.
fn wait(mut child: Child) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    let group = Pid::from_child(&child);
    let mut ended = None;
    while ended.is_none() && begun.elapsed() < HANGS_AFTER {
        std::thread::sleep(Duration::from_millis(2));
        ended = child.try_wait()?;
    }
    // No process of the group may be left, which is as it should be.
    rustix::process::kill_process_group(group, Signal::KILL).or_else(|error| match error {
        rustix::io::Errno::SRCH => Ok(()),
        error => Err(error),
    })?;
    if ended.is_none() {
        child.wait()?;
    }
    Ok(ended)
}

/// Runs the one case that this process was started for, in the folder it was started in.
pub(crate) fn obey(subjects: &[Subject], order: &Order<String>) -> ExitCode {
    let Some(subject) = subjects.iter().find(|subject| subject.name == order.subject) else {
        complain(&format!("there is no driver {}", order.subject));
        return ExitCode::from(FAILED);
    };
    let folder = std::env::current_dir().unwrap();
    let (folder, _own) = if folder.ends_with("case") { (folder, None) } else { own_folder() };
    std::env::set_current_dir("/").unwrap();
    let mounts = set_apart();
    let case = cases::named(&order.case);
    let before = Census::take(&folder, mounts);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut bench = Bench::open(subject, order.fault, &folder).unwrap();
        (case.run)(&mut bench);
    }));
    let differences = before.differences(&folder);
    if !differences.is_empty() {
        complain(&format!(
            "the case left the machine otherwise than it found it:\n{}",
            differences.join("\n")
        ));
        census::clear(&folder);
    }
    if ran.is_ok() && differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// For a case that is run by hand: a temporary folder that goes at the end.
fn own_folder() -> (PathBuf, Option<tempfile::TempDir>) {
    let folder = tempfile::Builder::new().prefix("conformance-").tempdir().unwrap();
    (folder.path().to_owned(), Some(folder))
}

/// Gives the process mounts of its own, and makes it the parent of daemons that its children leave behind, so that it sees them.
fn set_apart() -> Mounts {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    if own_mounts::take() { Mounts::All } else { Mounts::BelowTheFolder }
}

fn complain(text: &str) {
    // Nobody is left to tell that nobody can be told.
    drop(writeln!(std::io::stderr(), "{text}"));
}
