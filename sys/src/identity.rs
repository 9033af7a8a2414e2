//! Who the caller is: privilege, user namespace, umask, boot.

use std::io::{self, Read};

use rustix::fs::{Mode, OFlags};

/// How much of the machine the caller may act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Root in the initial user namespace.
    Root,
    /// Root of a user namespace that maps at least 65,536 users: files can have owners of their own.
    NamespaceRoot,
    /// Root of a user namespace that maps few users: mounts work, foreign owners do not.
    NarrowNamespaceRoot,
    /// An ordinary user.
    None,
}

impl Privilege {
    /// Reads the caller's privilege.
    ///
    /// # Errors
    /// Those of reading `/proc/self/uid_map`.
    pub fn probe() -> io::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::None);
        }
        let map = text("/proc/self/uid_map")?;
        let mapped: u64 =
            map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
        Ok(match (in_user_namespace(&map), mapped) {
            (false, _) => Self::Root,
            (true, 65_536..) => Self::NamespaceRoot,
            (true, _) => Self::NarrowNamespaceRoot,
        })
    }

    /// Whether the caller is in a user namespace of its own, where overlay wants `userxattr`.
    #[must_use]
    pub fn in_user_namespace(self) -> bool {
        matches!(self, Self::NamespaceRoot | Self::NarrowNamespaceRoot)
    }

    /// Whether files can be given any owner that a layer names.
    #[must_use]
    pub fn may_change_owners(self) -> bool {
        matches!(self, Self::Root | Self::NamespaceRoot)
    }

    /// Whether mounts can be made.
    #[must_use]
    pub fn may_mount(self) -> bool {
        self != Self::None
    }
}

/// The initial namespace maps every id to itself: `0 0 4294967295`.
fn in_user_namespace(map: &str) -> bool {
    let fields: Vec<&str> = map.split_whitespace().collect();
    fields != ["0", "0", "4294967295"]
}

/// Whether the caller is in the user namespace that the machine started with.
///
/// # Errors
/// Those of reading `/proc/self/uid_map`.
pub fn in_initial_user_namespace() -> io::Result<bool> {
    Ok(!in_user_namespace(&text("/proc/self/uid_map")?))
}

/// The process's umask, without changing it as `umask(2)` would (Linux 4.7).
///
/// # Errors
/// Those of reading `/proc/self/status`.
pub fn umask() -> io::Result<u32> {
    let status = text("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    Ok(mask.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(0o777))
}

/// The id that the kernel made up when it booted.
///
/// # Errors
/// Those of reading `/proc/sys/kernel/random/boot_id`.
pub fn boot_id() -> io::Result<String> {
    Ok(text("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn text(path: &str) -> io::Result<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    std::fs::File::from(file).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_initial_namespace_is_told_from_others() {
        assert!(!in_user_namespace("         0          0 4294967295\n"));
        assert!(in_user_namespace("         0       1000          1\n"));
        assert!(in_user_namespace("0 1000 1\n1 100000 65536\n"));
    }

    #[test]
    fn the_umask_is_read_and_the_boot_has_an_id() {
        assert!(umask().unwrap() <= 0o777);
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
