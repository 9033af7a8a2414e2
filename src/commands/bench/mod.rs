//! `plywood bench`.

mod shown;
mod table;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::{Args, ValueEnum};
use plywood::{DriverChoice, Durability, OpenOptions, Plywood, Store, driver_names};
use plywood_bench::{FORMAT, Machine, Plan, Report, Size, advice, compare, page};

use crate::exit::{Exit, UsageError};
use crate::output::{Messages, Output};
use crate::show;
use shown::Shown;

/// Rounds that are counted, where nothing else is said.
const ROUNDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(6);

/// Compares the storage drivers that this machine has: the same work on each, in stores of its own that it removes in the end.
///
/// Nothing is waited for (`--durability none`), so that the drivers are measured and not the disk.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The folder to work in; its file system is the one that is measured
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    folder: PathBuf,
    /// The drivers to compare, separated by commas [default: all that work here]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    drivers: Vec<DriverChoice>,
    /// The workloads to run, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    workloads: Vec<String>,
    /// Rounds that are counted; one more warms up
    #[arg(long, value_name = "NUMBER", default_value_t = ROUNDS)]
    rounds: NonZeroUsize,
    /// How much there is to do
    #[arg(long, value_enum, default_value_t = SizeName::Full)]
    size: SizeName,
    /// The report as JSON, on stdout
    #[arg(long)]
    json: bool,
    /// Write the report as a page with charts, which works without a network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Show what became faster or slower since a report that --json wrote
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SizeName {
    /// What numbers are worth quoting of: some minutes.
    Full,
    /// Just enough to see that it works: some seconds.
    Small,
}

impl Bench {
    pub(crate) fn run(&self, output: &mut Output, messages: Messages) -> anyhow::Result<Exit> {
        let plan = self.plan()?;
        // Before minutes of work.
        let older = self.compare.as_deref().map(read_report).transpose()?;
        if let Some(older) = older.as_ref().filter(|older| older.size != plan.size.name) {
            let sizes = format!(
                "the older report is of size {}, and this one would be {}",
                older.size, plan.size.name
            );
            return Err(UsageError(format!("{sizes}: give --size {}", older.size)).into());
        }
        let report = measure(&plan, &self.folder, messages)?;
        let since = older.as_ref().and_then(|older| compare(older, &report));
        if let Some(path) = &self.html {
            write_file(path, page(&report, since.as_deref()).as_bytes())?;
        }
        for failure in &report.failures {
            messages.warn(format_args!("{} on {}: {}", failure.workload, failure.driver, failure.reason));
        }
        if self.json {
            output.json(&serde_json::to_value(&report)?)?;
            return Ok(Exit::Done);
        }
        table::write(&report, output)?;
        if let Some(since) = &since {
            output.line("")?;
            table::write_changes(since, output)?;
        }
        output.line("")?;
        advice(&report).iter().try_for_each(|sentence| output.line(sentence))?;
        Ok(Exit::Done)
    }

    fn plan(&self) -> Result<Plan, UsageError> {
        let known = plywood_bench::ALL.map(|workload| workload.name);
        if let Some(unknown) = self.workloads.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(UsageError(format!(
                "there is no workload '{unknown}': it is one of {}",
                known.join(", ")
            )));
        }
        let all = || driver_names().into_iter().map(str::to_owned).collect();
        let named = || self.drivers.iter().map(ToString::to_string).collect();
        if self.drivers.contains(&DriverChoice::Auto) {
            return Err(UsageError(
                "'auto' is no driver to compare: name some, or leave --drivers away".to_owned(),
            ));
        }
        Ok(Plan {
            drivers: if self.drivers.is_empty() { all() } else { named() },
            workloads: self.workloads.clone(),
            size: match self.size {
                SizeName::Full => Size::FULL,
                SizeName::Small => Size::SMALL,
            },
            rounds: self.rounds.get(),
        })
    }
}

fn measure(plan: &Plan, folder: &Path, messages: Messages) -> anyhow::Result<Report> {
    let work = tempfile::Builder::new()
        .prefix("plywood-bench-")
        .tempdir_in(folder)
        .with_context(|| format!("make a folder in {}", folder.display()))?;
    let began = began();
    let mut shown = Shown::new(messages);
    let took = plywood_bench::run(plan, work.path(), &open, &mut |step| shown.step(step))?;
    let machine = Machine::look(work.path());
    drop(shown);
    work.close().with_context(|| format!("remove the bench's folder in {}", folder.display()))?;
    Ok(Report {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        when: show::time(began).as_str().unwrap_or_default().to_owned(),
        machine,
        size: plan.size.name.to_owned(),
        rounds: plan.rounds,
        drivers: took.drivers,
        refused: took.refused,
        measurements: took.measurements,
        failures: took.failures,
    })
}

/// Makes a store that waits for no disk.
fn open(driver: &str, folder: &Path) -> Result<Store, Box<dyn std::error::Error + Send + Sync>> {
    let options = OpenOptions {
        root: Some(folder.to_owned()),
        driver: driver.parse()?,
        durability: Durability::None,
        ..OpenOptions::default()
    };
    Ok(Plywood::open(options)?.store().clone())
}

#[allow(
    clippy::disallowed_methods,
    reason = "a report says when it was made, and no store is open whose clock could say it"
)]
fn began() -> SystemTime {
    SystemTime::now()
}

#[allow(clippy::disallowed_methods, reason = "the user named the file")]
fn read_report(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(Report::parse(&text, path)?)
}

#[allow(clippy::disallowed_methods, reason = "the user named the file")]
fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = std::fs::File::create(path).with_context(|| format!("make {}", path.display()))?;
    file.write_all(bytes).with_context(|| format!("write {}", path.display()))
}
