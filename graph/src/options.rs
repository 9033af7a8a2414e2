//! How a store is opened.

use std::time::SystemTime;

use plywood_archive::compression::ExpansionLimit;
use plywood_graphdriver::{Limits, Ownership};

/// What a commit waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Everything is on the disk before it is acknowledged: a power cut loses nothing.
    #[default]
    Full,
    /// Nothing is waited for. The store survives the end of any process, but perhaps not a power cut: for caches
    /// and tests.
    None,
}

/// How a store is opened. [`StoreOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// What a commit waits for.
    pub durability: Durability,
    /// Whose the unpacked files are.
    pub ownership: Ownership,
    /// Bounds on a layer's tar.
    pub limits: Limits,
    /// How far a packed layer may expand.
    pub expansion: ExpansionLimit,
    /// Layers of one image that are unpacked at once, where the driver can; at least one.
    pub workers: usize,
    /// Where the time of day comes from.
    pub clock: fn() -> SystemTime,
}

impl StoreOptions {
    /// Full durability, the default limits, two workers and the system's clock.
    #[must_use]
    pub fn new(ownership: Ownership) -> Self {
        Self {
            durability: Durability::Full,
            ownership,
            limits: Limits::default(),
            expansion: ExpansionLimit::default(),
            workers: 2,
            clock: system_clock,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock; all others are given it")]
fn system_clock() -> SystemTime {
    SystemTime::now()
}
