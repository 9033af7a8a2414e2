//! The report in a terminal.

use std::io;

use plywood_bench::{Comparison, Report, Verdict, value};

use crate::list::Table;
use crate::output::Output;

/// Writes a row for each workload and a column for each driver: the median, and the spread as the farther edge's distance from it.
pub(super) fn write(report: &Report, output: &mut Output) -> io::Result<()> {
    let mut headings = vec!["WORKLOAD".to_owned()];
    headings.extend(report.drivers.iter().map(|driver| driver.name.to_uppercase()));
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for group in report.by_workload() {
        let mut row = vec![group[0].workload.clone()];
        for driver in &report.drivers {
            let found = group.iter().find(|one| one.driver == driver.name);
            row.push(found.map_or_else(String::new, |one| {
                let summary = one.summary;
                let edge = (summary.highest - summary.median).max(summary.median - summary.lowest);
                let spread = 100.0 * edge / summary.median.max(f64::MIN_POSITIVE);
                format!("{} ±{spread:.0}%", value(summary.median, one.unit))
            }));
        }
        table.row(&row);
    }
    table.write(output)
}

/// Writes what changed beyond the noise.
pub(super) fn write_changes(since: &[Comparison], output: &mut Output) -> io::Result<()> {
    let changed: Vec<&Comparison> = since.iter().filter(|one| one.verdict != Verdict::Same).collect();
    if changed.is_empty() {
        return output.line("nothing changed beyond the noise since the older report");
    }
    let mut table = Table::new(&["WORKLOAD", "DRIVER", "BEFORE", "NOW", "CHANGE"]);
    for one in changed {
        let (before, now) = (one.before.median, one.after.median);
        let change = 100.0 * (now - before) / before.max(f64::MIN_POSITIVE);
        let verdict = if one.verdict == Verdict::Better { "better" } else { "worse" };
        let (before, now) = (value(before, one.unit), value(now, one.unit));
        table.row(&[
            one.workload.clone(),
            one.driver.clone(),
            before,
            now,
            format!("{change:+.0}% {verdict}"),
        ]);
    }
    table.write(output)
}
