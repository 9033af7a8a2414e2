//! How mounts that drivers made are taken down.

use std::path::Path;

use plywood_graphdriver::{DriverError, DriverResult, Teardown};
use plywood_sys::mount;

/// Unmounts, and nothing else.
#[derive(Debug)]
pub struct Detach;

impl Teardown for Detach {
    fn unmount(&mut self, target: &Path) -> DriverResult<()> {
        mount::detach(target).map_err(|error| DriverError::system("unmount", error).at(target))
    }
}
