//! Runs the workloads on the drivers: interleaved, warmed up, what deletes last.

use std::path::Path;

use crate::report::{DriverFacts, Failure, Measurement, Refused};
use crate::sample::Summary;
use crate::size::Size;
use crate::stage::{Images, Opener, Stage};
use crate::workload::{Phase, Workload};
use crate::{BenchError, workloads};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The drivers, by name.
    pub drivers: Vec<String>,
    /// The names of the workloads; none for all.
    pub workloads: Vec<String>,
    /// How much there is to do.
    pub size: Size,
    /// Rounds that are counted; one more comes before them.
    pub rounds: usize,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A driver's store is being made.
    Preparing {
        /// The driver.
        driver: &'a str,
    },
    /// There are so many runs to do.
    Begin {
        /// The warm-up's included.
        runs: usize,
    },
    /// A workload is about to run.
    Running {
        /// Its name.
        workload: &'a str,
        /// On which driver.
        driver: &'a str,
    },
    /// All is measured; what was made is being removed.
    Removing,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Took {
    /// The drivers that were measured.
    pub drivers: Vec<DriverFacts>,
    /// Those that do not work here.
    pub refused: Vec<Refused>,
    /// Every workload on every driver that can do it.
    pub measurements: Vec<Measurement>,
    /// What a driver could not do.
    pub failures: Vec<Failure>,
}

/// Runs a plan in a folder that is there and empty; what it makes there is left for the caller to remove.
///
/// In each round every workload runs on all drivers one after the other, in an order that rotates, so that what else happens on the machine
/// meets all alike. The first round warms up and is not counted.
///
/// # Errors
/// Where no driver works; a workload that fails on a driver is noted, and not tried again there.
pub fn run(
    plan: &Plan,
    folder: &Path,
    opener: &Opener<'_>,
    watch: &mut dyn FnMut(Step<'_>),
) -> Result<Took, BenchError> {
    let chosen: Vec<Workload> = workloads::ALL
        .into_iter()
        .filter(|one| plan.workloads.is_empty() || plan.workloads.iter().any(|name| name == one.name))
        .collect();
    let depths: Vec<usize> = chosen.iter().map(|one| one.layers).collect();
    let images = Images::make(&plan.size, &depths)?;
    let mut took = Took::default();
    let mut stages = Vec::new();
    for driver in &plan.drivers {
        watch(Step::Preparing { driver });
        match Stage::open(driver, &folder.join(driver), plan.size, &images, opener) {
            Ok(stage) => {
                took.drivers.push(DriverFacts::of(&stage));
                stages.push(stage);
            }
            Err(error) => took.refused.push(Refused { name: driver.clone(), reason: chain(&error) }),
        }
    }
    if stages.is_empty() {
        return Err(BenchError::NoDriver);
    }
    let mut lanes = lanes(&chosen, &stages);
    watch(Step::Begin {
        runs: lanes.iter().map(|lane| lane.stages.len()).sum::<usize>() * (plan.rounds + 1),
    });
    for phase in [Phase::Steady, Phase::Deleting] {
        for round in 0..=plan.rounds {
            for lane in lanes.iter_mut().filter(|lane| lane.workload.phase == phase) {
                lane.round(round, &mut stages, watch, &mut took.failures);
            }
        }
    }
    for lane in lanes {
        lane.sum_up(&stages, &mut took.measurements);
    }
    watch(Step::Removing);
    Ok(took)
}

/// A workload with the stages that it runs on.
struct Lane {
    workload: Workload,
    /// Places in the list of stages.
    stages: Vec<usize>,
    /// As many.
    samples: Vec<Vec<f64>>,
    failed: Vec<bool>,
}

fn lanes(chosen: &[Workload], stages: &[Stage<'_>]) -> Vec<Lane> {
    let lane = |workload: &Workload| {
        let able = |stage: &Stage<'_>| {
            let facts = stage.store.driver().capabilities();
            workload.runs_with(&stage.size, facts.max_depth, facts.mounts)
        };
        let places: Vec<usize> = (0..stages.len()).filter(|place| able(&stages[*place])).collect();
        Lane {
            workload: *workload,
            samples: vec![Vec::new(); places.len()],
            failed: vec![false; places.len()],
            stages: places,
        }
    };
    chosen.iter().map(lane).filter(|lane| !lane.stages.is_empty()).collect()
}

impl Lane {
    fn round(
        &mut self,
        round: usize,
        stages: &mut [Stage<'_>],
        watch: &mut dyn FnMut(Step<'_>),
        failures: &mut Vec<Failure>,
    ) {
        for turn in 0..self.stages.len() {
            let lane = (turn + round) % self.stages.len();
            let stage = &mut stages[self.stages[lane]];
            watch(Step::Running { workload: self.workload.name, driver: &stage.driver });
            if self.failed[lane] {
                continue;
            }
            match (self.workload.run)(stage) {
                Ok(number) if round > 0 => self.samples[lane].push(number),
                Ok(_) => {}
                Err(error) => {
                    self.failed[lane] = true;
                    let (workload, driver) = (self.workload.name.to_owned(), stage.driver.clone());
                    failures.push(Failure { workload, driver, reason: chain(&error) });
                }
            }
        }
    }

    fn sum_up(self, stages: &[Stage<'_>], measurements: &mut Vec<Measurement>) {
        let workload = self.workload;
        for ((place, samples), failed) in self.stages.into_iter().zip(self.samples).zip(self.failed) {
            if let Some(summary) = Summary::of(&samples).filter(|_| !failed) {
                measurements.push(Measurement {
                    workload: workload.name.to_owned(),
                    title: workload.title.to_owned(),
                    area: workload.area,
                    unit: workload.unit,
                    driver: stages[place].driver.clone(),
                    summary,
                    samples,
                });
            }
        }
    }
}

/// An error and its sources, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = source.source();
    }
    texts.join(": ")
}
