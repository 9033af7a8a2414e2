//! The suite that every storage driver of Plywood passes.
//!
//! `tests/conformance.rs` of the root package names the drivers and calls [`main`]: every case of the one table runs on every
//! driver and is listed as a test of its own, `driver::group::case`.
//!
//! ```text
//! cargo test --test conformance                                  all
//! cargo test --test conformance -- vfs::changing                 what has this in its name
//! cargo test --test conformance -- --list
//! target/debug/deps/conformance-HASH --run-case vfs::basic::NAME [FAULT]    one case in this process, for a debugger or strace
//! ```
//!
//! # Adding a case
//! Write a function of one theme's file in `src/cases/` that takes a [`Bench`] and panics where the driver is wrong, and name it in
//! the `cases!` table at the head of that file with all it [`Need`]s. It knows no driver: what differs between drivers is said by
//! their `Capabilities`, or it does not differ. Put the fault that it is to find into [`Fault`]: `driver::faults::NAME` runs the case that
//! the fault names on a [`FaultyDriver`], and passes when the case fails.
//!
//! # Adding a driver
//! Name it in `tests/subjects/mod.rs`, as a [`Subject`].
//!
//! # What each case is held to
//! It runs in a process and a mount namespace of its own. Afterwards mounts, loop devices, device-mapper devices, open files, child
//! processes and threads are as they were before ([`Census`]). A case whose needs are not met is reported ignored, with the reason
//! shown before its name; run as root, `driver::nothing_that_could_run_was_ignored` fails if this machine could have met them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a case fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "a case looks at trees by paths of its own, and runs programs")]

pub mod bench;
mod case;
mod cases;
pub mod census;
mod child;
mod engine;
pub mod faulty;
mod harness;
pub mod listing;
mod machine;
mod need;
pub mod oracle;
mod own_mounts;
mod recipes;
pub mod sequences;
mod subject;
pub mod tarball;

pub use bench::{Bench, Layer};
pub use case::Case;
pub use census::Census;
pub use faulty::{Fault, FaultyDriver};
pub use harness::{main, runs_one_case};
pub use machine::Machine;
pub use need::Need;
pub use subject::Subject;
