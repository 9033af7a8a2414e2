//! What is kept of a run: the JSON of `plywood bench --json`, which `--compare` reads again.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::BenchError;
use crate::machine::Machine;
use crate::sample::Summary;
use crate::stage::Stage;
use crate::workload::{Area, Unit};

/// The number that a change of this format raises.
pub const FORMAT: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of Plywood.
    pub version: String,
    /// When it began, as RFC 3339 has it.
    pub when: String,
    /// Where it ran.
    pub machine: Machine,
    /// The name of the size.
    pub size: String,
    /// Rounds that were counted.
    pub rounds: usize,
    /// The drivers that were measured.
    pub drivers: Vec<DriverFacts>,
    /// Drivers that do not work there.
    pub refused: Vec<Refused>,
    /// The numbers, workload by workload.
    pub measurements: Vec<Measurement>,
    /// What a driver could not do.
    pub failures: Vec<Failure>,
}

/// What a driver says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriverFacts {
    /// Its name.
    pub name: String,
    /// Its status, as `plywood info` shows it.
    pub status: BTreeMap<String, String>,
}

/// A driver that does not work here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its name.
    pub name: String,
    /// What it says.
    pub reason: String,
}

/// A workload that failed on a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The workload.
    pub workload: String,
    /// The driver.
    pub driver: String,
    /// What was said.
    pub reason: String,
}

/// One workload on one driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The workload's name.
    pub workload: String,
    /// What is measured, in words.
    pub title: String,
    /// The kind of work.
    pub area: Area,
    /// What the numbers are.
    pub unit: Unit,
    /// The driver.
    pub driver: String,
    /// Middle and edges.
    #[serde(flatten)]
    pub summary: Summary,
    /// The numbers in the order in which they came.
    pub samples: Vec<f64>,
}

impl DriverFacts {
    pub(crate) fn of(stage: &Stage<'_>) -> Self {
        let fields = stage.store.driver().status().map(|status| status.fields).unwrap_or_default();
        Self { name: stage.driver.clone(), status: fields.into_iter().collect() }
    }
}

impl Report {
    /// Reads a report, as [`Report`] serialises.
    ///
    /// # Errors
    /// `Report` for anything else, or another format; `path` is for the message.
    pub fn parse(text: &str, path: &Path) -> Result<Self, BenchError> {
        let failed = |source| BenchError::Report { path: path.to_owned(), source };
        let report: Self = serde_json::from_str(text).map_err(failed)?;
        if report.format != FORMAT {
            let reason = format!("it has the format {}, and this program knows {FORMAT}", report.format);
            return Err(failed(serde::de::Error::custom(reason)));
        }
        Ok(report)
    }

    /// The workloads measured, in order, each with its measurements.
    #[must_use]
    pub fn by_workload(&self) -> Vec<Vec<&Measurement>> {
        let mut found: Vec<Vec<&Measurement>> = Vec::new();
        for measurement in &self.measurements {
            match found.iter_mut().find(|group| group[0].workload == measurement.workload) {
                Some(group) => group.push(measurement),
                None => found.push(vec![measurement]),
            }
        }
        found
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::workloads;

    /// A report of measurements: workload, driver and samples.
    pub(crate) fn report(measured: &[(&str, &str, &[f64])]) -> Report {
        let mut names: Vec<&str> = measured.iter().map(|(_, driver, _)| *driver).collect();
        names.sort_unstable();
        names.dedup();
        let facts = |name: &&str| DriverFacts { name: (*name).to_owned(), status: BTreeMap::new() };
        Report {
            format: FORMAT,
            version: "0".to_owned(),
            when: "2026-01-01T00:00:00Z".to_owned(),
            machine: Machine::look(Path::new("/")),
            size: "small".to_owned(),
            rounds: 1,
            drivers: names.iter().map(facts).collect(),
            refused: Vec::new(),
            measurements: measured
                .iter()
                .map(|(workload, driver, samples)| one(workload, driver, samples))
                .collect(),
            failures: Vec::new(),
        }
    }

    fn one(workload: &str, driver: &str, samples: &[f64]) -> Measurement {
        let known = workloads::ALL.iter().find(|known| known.name == workload).unwrap();
        Measurement {
            workload: workload.to_owned(),
            title: known.title.to_owned(),
            area: known.area,
            unit: known.unit,
            driver: driver.to_owned(),
            summary: Summary::of(samples).unwrap(),
            samples: samples.to_vec(),
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let written = report(&[("walk", "one", &[1.0, 2.5]), ("disk", "one", &[3e6])]);
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(Report::parse(&text, Path::new("it")).unwrap(), written);
        let other = text.replacen("\"format\":1", "\"format\":99", 1);
        let error = Report::parse(&other, Path::new("it")).unwrap_err();
        assert!(error.to_string().contains("it is no report"), "{error}");
        assert!(Report::parse("{}", Path::new("it")).is_err());
    }
}
