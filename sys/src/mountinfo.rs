//! What is mounted, as `/proc/self/mountinfo` tells it.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// A mount in this process's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// What of the file system is mounted: `/` or, for a bind mount, the folder in it.
    pub root: PathBuf,
    /// Where it is mounted.
    pub target: PathBuf,
    /// The file system's type.
    pub kind: String,
    /// The source as the file system names it.
    pub source: PathBuf,
    /// The options of the mount and of the file system, joined by commas.
    pub options: String,
}

/// Reads the mounts of the calling thread's namespace, in the order they were made.
///
/// # Errors
/// Those of reading `/proc/thread-self/mountinfo`.
pub fn read() -> io::Result<Vec<MountPoint>> {
    let file =
        rustix::fs::open("/proc/thread-self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    std::fs::File::from(file).read_to_end(&mut text)?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// Whether something is mounted right at `target`.
///
/// # Errors
/// Those of [`read`].
pub fn is_mounted(target: &Path) -> io::Result<bool> {
    Ok(read()?.iter().any(|mount| mount.target == target))
}

/// Fields: id, parent, device, root, target, options, optional fields, `-`, type, source, super options (proc(5)).
fn parse(line: &[u8]) -> Option<MountPoint> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    Some(MountPoint {
        root: unescape(fields.get(3)?),
        target: unescape(fields.get(4)?),
        kind: text(fields.get(dash + 1)?),
        source: unescape(fields.get(dash + 2)?),
        options: format!("{},{}", text(fields.get(5)?), text(fields.get(dash + 3)?)),
    })
}

/// Turns `\040` and its like back into the bytes they stand for.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = octal {
            bytes.push(
                digits.iter().fold(0_u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')),
            );
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_with_escapes_and_optional_fields_is_understood() {
        let line =
            br"36 35 98:0 /mnt1 /mnt\0402\134x rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.target, PathBuf::from(r"/mnt 2\x"));
        assert_eq!((mount.kind.as_str(), mount.source.to_str().unwrap()), ("ext3", "/dev/root"));
        assert_eq!(mount.options, "rw,noatime,rw,errors=continue");
    }

    #[test]
    fn the_root_is_mounted_and_nonsense_is_not() {
        assert!(is_mounted(Path::new("/proc")).unwrap());
        assert!(!is_mounted(Path::new("/no/such/place")).unwrap());
    }
}
