//! A driver as the suite knows it.

use std::fmt;
use std::path::Path;

use plywood_graphdriver::{DriverResult, GraphDriver};
use plywood_sys::identity::Privilege;

use crate::need::Need;

/// A driver that the suite runs on.
#[derive(Clone, Copy)]
pub struct Subject {
    /// The driver's name, as `--driver` takes it: the first part of its trials' names.
    pub name: &'static str,
    /// Opens the driver on a folder, making the folder where it is not there; its parent is.
    pub open: fn(&Path, Privilege) -> DriverResult<Box<dyn GraphDriver>>,
    /// What the machine must have for the driver to open at all.
    pub requires: &'static [Need],
    /// What the driver can do on no machine, each with the reason: its cases are ignored without a complaint.
    pub never: &'static [(Need, &'static str)],
}

impl Subject {
    /// The reason why the driver can do this nowhere, if it cannot.
    #[must_use]
    pub fn excuse(&self, need: Need) -> Option<&'static str> {
        self.never.iter().find(|(never, _)| need.takes(*never)).map(|(_, reason)| *reason)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}
