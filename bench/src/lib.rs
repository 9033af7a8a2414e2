//! One set of workloads for every storage driver, run interleaved, and the report of what came out: JSON, a page of charts, advice in
//! words, and what became faster or slower since an older report.
//!
//! The crate knows no driver. Whoever runs it gives an [`Opener`], which makes a store with a driver by name; so programs and tests
//! hold the same workloads.

mod advice;
mod chart;
mod compare;
mod error;
mod image;
mod machine;
mod page;
mod report;
mod run;
mod sample;
mod show;
mod size;
mod stage;
mod workload;
mod workloads;

pub use advice::advice;
pub use compare::{Comparison, Verdict, compare};
pub use error::BenchError;
pub use machine::Machine;
pub use page::page;
pub use report::{DriverFacts, FORMAT, Failure, Measurement, Refused, Report};
pub use run::{Plan, Step, Took, run};
pub use sample::Summary;
pub use show::value;
pub use size::Size;
pub use stage::{Images, Opener, Stage};
pub use workload::{Area, Phase, Unit, Workload};
pub use workloads::ALL;
