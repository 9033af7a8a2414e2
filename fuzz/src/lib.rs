//! What every input must keep to: one property a fuzz target, as a function of the input's bytes.
//!
//! A property panics where it is broken, which is what libFuzzer calls a crash. `README.md` says how to run them.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a property says what is broken by panicking, and looks at the host's paths on purpose"
)]

#[path = "../../tests/bad_inputs/canary.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the tests, which use all of it")]
mod canary;
#[path = "../../tests/bad_inputs/look.rs"]
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
mod look;

mod blocks;
mod bytes;
mod layers;
mod memory;
pub mod mutate;
mod peers;
mod pieces;
mod reading;
mod sandbox;
mod stage;
mod store;
mod trees;

pub mod property;
pub mod seeds;
