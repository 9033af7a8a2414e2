//! Where a store is, and its folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plywood_sys::identity::Privilege;
use rustix::fs::{CWD, Mode};
use rustix::io::Errno;

use crate::OpenError;

/// The store of the machine.
const SYSTEM_ROOT: &str = "/var/lib/plywood";

/// Where the store is that nobody named: `/var/lib/plywood` for root, else `$XDG_DATA_HOME/plywood` or
/// `~/.local/share/plywood`.
///
/// # Errors
/// `NoHome` where the environment names no home folder.
pub fn default_root(privilege: Privilege) -> Result<PathBuf, OpenError> {
    default_root_for(privilege, |name| std::env::var_os(name))
}

/// [`default_root`] in an environment of the caller's.
///
/// # Errors
/// `NoHome` where the environment names no home folder.
pub fn default_root_for(
    privilege: Privilege,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, OpenError> {
    if privilege == Privilege::Root {
        return Ok(PathBuf::from(SYSTEM_ROOT));
    }
    // The XDG specification has relative paths ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("plywood")).ok_or(OpenError::NoHome)
}

/// Makes the store's folder, which only the caller may look into, and the folders above it. Answers its absolute path.
pub(crate) fn make(root: &Path) -> Result<PathBuf, OpenError> {
    let failed = |operation, source| OpenError::Io { operation, path: root.to_owned(), source };
    let root = std::path::absolute(root).map_err(|error| failed("resolve", error))?;
    let mut above: Vec<&Path> = root.ancestors().skip(1).collect();
    above.reverse();
    for folder in above {
        make_one(folder, Mode::from_raw_mode(0o755)).map_err(|error| failed("make", error.into()))?;
    }
    make_one(&root, Mode::RWXU).map_err(|error| failed("make", error.into()))?;
    Ok(root)
}

/// Folders that are there stay as they are, also those on a file system that cannot be written to.
fn make_one(folder: &Path, mode: Mode) -> rustix::io::Result<()> {
    match rustix::fs::mkdirat(CWD, folder, mode) {
        Err(Errno::EXIST) => Ok(()),
        Err(Errno::ROFS | Errno::ACCESS) if folder.is_dir() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn environment<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
    }

    #[test]
    fn root_has_the_machines_store_and_others_their_own() {
        let home = [("HOME", "/home/me")];
        let data = [("HOME", "/home/me"), ("XDG_DATA_HOME", "/data")];
        let relative = [("HOME", "/home/me"), ("XDG_DATA_HOME", "data")];
        let of = |privilege, pairs| default_root_for(privilege, environment(pairs));
        assert_eq!(of(Privilege::Root, &data).unwrap(), Path::new("/var/lib/plywood"));
        assert_eq!(of(Privilege::None, &home).unwrap(), Path::new("/home/me/.local/share/plywood"));
        assert_eq!(of(Privilege::NamespaceRoot, &data).unwrap(), Path::new("/data/plywood"));
        assert_eq!(of(Privilege::None, &relative).unwrap(), Path::new("/home/me/.local/share/plywood"));
        assert!(matches!(of(Privilege::None, &[]), Err(OpenError::NoHome)));
    }

    #[test]
    fn a_root_is_made_with_its_parents_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let top = tempfile::tempdir().unwrap();
        let root = make(&top.path().join("a/b")).unwrap();
        assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(make(&root).unwrap(), root);
    }
}
