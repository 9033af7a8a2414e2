//! Folders and labels in the options of an overlay, as `mount -o` takes them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plywood_graphdriver::{DriverError, ErrorKind};

/// What has a meaning in the list of lower folders: they are parted by colons, options by commas.
pub const IN_LOWER: &[u8] = b"\\:,";

/// What has a meaning in the path of the upper or the work folder.
pub const IN_UPPER: &[u8] = b"\\,";

/// The path with a backslash before each of the `special` characters.
#[must_use]
pub fn escaped(folder: &Path, special: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in folder.as_os_str().as_bytes() {
        if special.contains(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

/// The option that labels every file for SELinux. Between quotes SELinux takes the commas of categories (`selinux_sb_eat_lsm_opts`,
/// Linux 6.18).
///
/// # Errors
/// `Unsupported` for a label with a quote.
pub fn context(label: &str) -> Result<String, DriverError> {
    if label.contains('"') {
        return Err(unsaid("a label with a quote cannot be said in mount options"));
    }
    Ok(format!("context=\"{label}\""))
}

/// An option as text, which is how engines are told it.
///
/// # Errors
/// `Unsupported` where it is not UTF-8.
pub fn text(option: Vec<u8>) -> Result<String, DriverError> {
    String::from_utf8(option)
        .map_err(|_| unsaid("mount options cannot name a folder whose path is not UTF-8"))
}

/// The error of what options cannot carry.
#[must_use]
pub fn unsaid(reason: &str) -> DriverError {
    DriverError::new(ErrorKind::Unsupported, "write mount options", reason)
}
