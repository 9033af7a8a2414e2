//! The registry of storage drivers: the one place that knows their crates.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use plywood_fuse_union::{FuseUnion, Server};
use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, GraphDriver};
use plywood_overlay2::Overlay2;
use plywood_sys::identity::Privilege;
use plywood_vfs::Vfs;

use crate::OpenError;

/// A driver that can be chosen.
struct Registration {
    name: &'static str,
    open: fn(&Path, Privilege) -> DriverResult<Box<dyn GraphDriver>>,
}

/// All drivers, the best first. The last one works everywhere.
const DRIVERS: [Registration; 3] = [
    Registration {
        name: "overlay2",
        open: |folder, privilege| Ok(Box::new(Overlay2::open(folder, privilege)?)),
    },
    Registration {
        name: "fuse-union",
        open: |folder, privilege| Ok(Box::new(FuseUnion::open(folder, privilege, Server::find()?)?)),
    },
    Registration { name: "vfs", open: |folder, privilege| Ok(Box::new(Vfs::open(folder, privilege)?)) },
];

/// Which driver to open a store with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// The one that the store was made with; for a new store, the best that works here.
    #[default]
    Auto,
    /// This one.
    Named(&'static str),
}

/// A text that names no driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no driver '{name}': it is one of auto, {}", driver_names().join(", "))]
pub struct UnknownDriver {
    /// What was given.
    pub name: String,
}

/// The names of all drivers, the best first.
#[must_use]
pub fn driver_names() -> Vec<&'static str> {
    DRIVERS.iter().map(|registration| registration.name).collect()
}

impl FromStr for DriverChoice {
    type Err = UnknownDriver;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let found = DRIVERS.iter().find(|registration| registration.name == text);
        found.map(|found| Self::Named(found.name)).ok_or_else(|| UnknownDriver { name: text.to_owned() })
    }
}

impl fmt::Display for DriverChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Named(name) => name,
        })
    }
}

/// Opens the driver for the store at `root`, which was made with the driver `recorded`.
///
/// # Errors
/// `OtherDriver` where another one is asked for; the driver's own refusal, with its reason.
pub(crate) fn open(
    root: &Path,
    choice: DriverChoice,
    recorded: Option<&str>,
    privilege: Privilege,
) -> Result<Box<dyn GraphDriver>, OpenError> {
    match (choice, recorded) {
        (DriverChoice::Named(chosen), Some(recorded)) if chosen != recorded => {
            Err(OpenError::OtherDriver { root: root.to_owned(), recorded: recorded.to_owned(), chosen })
        }
        (DriverChoice::Named(name), _) => open_named(root, name, privilege),
        (DriverChoice::Auto, Some(recorded)) => open_named(root, recorded, privilege),
        (DriverChoice::Auto, None) => open_best(root, privilege),
    }
}

fn open_named(root: &Path, name: &str, privilege: Privilege) -> Result<Box<dyn GraphDriver>, OpenError> {
    let Some(found) = DRIVERS.iter().find(|registration| registration.name == name) else {
        return Err(OpenError::ForeignDriver { root: root.to_owned(), recorded: name.to_owned() });
    };
    open_registered(root, found, privilege).map_err(|source| OpenError::Driver { name: found.name, source })
}

fn open_best(root: &Path, privilege: Privilege) -> Result<Box<dyn GraphDriver>, OpenError> {
    let (last, better) = DRIVERS.split_last().unwrap_or((&DRIVERS[0], &[]));
    for candidate in better {
        match open_registered(root, candidate, privilege) {
            // A full or failing disk is no reason to settle for less.
            Err(error) if matches!(error.kind, ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                tracing::info!(driver = candidate.name, %error, reason = %error.source, "driver does not work here");
            }
            other => return other.map_err(|source| OpenError::Driver { name: candidate.name, source }),
        }
    }
    open_registered(root, last, privilege).map_err(|source| OpenError::Driver { name: last.name, source })
}

/// A folder that a refusing driver made, and left empty, goes again.
fn open_registered(
    root: &Path,
    registration: &Registration,
    privilege: Privilege,
) -> Result<Box<dyn GraphDriver>, DriverError> {
    let folder = root.join(registration.name);
    (registration.open)(&folder, privilege).inspect_err(|_| {
        if let Err(error) = rustix::fs::rmdir(&folder) {
            tracing::debug!(folder = %folder.display(), %error, "driver's folder stays");
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn choices_are_read_and_shown() {
        for text in ["auto", "overlay2", "fuse-union", "vfs"] {
            assert_eq!(text.parse::<DriverChoice>().unwrap().to_string(), text);
        }
        let refused = "btrfs".parse::<DriverChoice>().unwrap_err().to_string();
        assert!(refused.contains("auto, overlay2, fuse-union, vfs"), "{refused}");
    }

    #[test]
    fn a_store_keeps_its_driver() {
        let root = tempfile::tempdir().unwrap();
        let opened = open(root.path(), DriverChoice::Auto, Some("vfs"), Privilege::None).unwrap();
        assert_eq!(opened.name(), "vfs");
        let refused =
            open(root.path(), DriverChoice::Named("overlay2"), Some("vfs"), Privilege::None).unwrap_err();
        assert!(matches!(refused, OpenError::OtherDriver { .. }));
        assert!(!root.path().join("overlay2").exists(), "a refused driver makes nothing");
    }

    #[test]
    fn without_privilege_the_best_is_vfs() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(open(root.path(), DriverChoice::Auto, None, Privilege::None).unwrap().name(), "vfs");
        assert!(!root.path().join("overlay2").exists());
    }
}
