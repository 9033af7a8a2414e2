//! The options of `-o`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use plywood_fuse_union::ids::Ids;
use plywood_fuse_union::options::{IoMode, Options, OverrideStat, Redirects};
use plywood_fuse_union::transport::MountOptions;

/// What `-o` asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) union: Options,
    pub(crate) mount: MountOptions,
    /// Options that are taken and mean nothing here.
    pub(crate) idle: Vec<String>,
}

/// An option that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionError {
    #[error("unknown option '{0}' (fuse-union --help lists them)")]
    Unknown(String),
    #[error("'{value}' is no value for the option {key}: {expected}")]
    Value { key: String, value: String, expected: &'static str },
}

/// What other programs of this kind take, and what says nothing to this one.
const IDLE: [&str; 22] = [
    "rw",
    "suid",
    "dev",
    "exec",
    "atime",
    "noatime",
    "relatime",
    "diratime",
    "nodiratime",
    "timeout",
    "threaded",
    "writeback",
    "xino",
    "metacopy",
    "index",
    "max_idle_threads",
    "clone_fd",
    "auto_unmount",
    "default_permissions",
    "userxattr",
    "plugins",
    "_netdev",
];

/// Reads the options, in the order given: the last one counts.
pub(crate) fn read(given: &[OsString]) -> Result<Asked, OptionError> {
    let mut asked = Asked::default();
    asked.union.names_as_whiteouts = true;
    "fuse-union".clone_into(&mut asked.mount.source);
    for option in given.iter().flat_map(|words| split(words.as_bytes(), b',')) {
        if !option.is_empty() {
            take(&mut asked, &option)?;
        }
    }
    asked.mount.read_only |= asked.union.upper.is_none();
    if asked.mount.read_only && asked.union.override_stat.is_none() {
        look_only(&mut asked.union);
    }
    Ok(asked)
}

/// Where nothing is written the upper folder is one more layer to read, and needs no work folder: containerd looks into a container's tree that
/// another server is writing to.
fn look_only(union: &mut Options) {
    union.work = None;
    if let Some(upper) = union.upper.take() {
        union.lower.insert(0, upper);
    }
}

fn take(asked: &mut Asked, option: &[u8]) -> Result<(), OptionError> {
    let (key, value) = match option.iter().position(|byte| *byte == b'=') {
        Some(at) => (&option[..at], Some(&option[at + 1..])),
        None => (option, None),
    };
    let key = String::from_utf8_lossy(key).into_owned();
    let folder = || value.map(|value| PathBuf::from(OsStr::from_bytes(&unescape(value))));
    let text = || value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
    let union = &mut asked.union;
    match key.as_str() {
        "lowerdir" => union.lower = folders(value.unwrap_or_default()),
        "upperdir" => union.upper = folder().filter(|folder| !folder.as_os_str().is_empty()),
        "workdir" => union.work = folder().filter(|folder| !folder.as_os_str().is_empty()),
        "io" => union.io = io(&text())?,
        "redirect_dir" => union.redirects = redirects(&text())?,
        "uidmapping" => union.ids.users = ranges(&key, &text())?,
        "gidmapping" => union.ids.groups = ranges(&key, &text())?,
        "squash_to_root" => (union.ids.squash_user, union.ids.squash_group) = (Some(0), Some(0)),
        "squash_to_uid" => union.ids.squash_user = Some(number(&key, &text())?),
        "squash_to_gid" => union.ids.squash_group = Some(number(&key, &text())?),
        "xattr_permissions" => union.override_stat = override_stat(&text())?,
        "volatile" => union.volatile = true,
        "fsync" => union.volatile |= text() == "0",
        "noacl" => union.no_access_control_lists = true,
        "noxattrs" => union.no_xattrs = value.is_none() || text() != "0",
        "static_nlink" => union.static_links = true,
        "whiteout_names" => union.names_as_whiteouts = text() != "off",
        _ => return take_mount(asked, &key, text()),
    }
    Ok(())
}

fn take_mount(asked: &mut Asked, key: &str, value: String) -> Result<(), OptionError> {
    let mount = &mut asked.mount;
    match key {
        "ro" => mount.read_only = true,
        "nosuid" => mount.no_set_user_id = true,
        "nodev" => mount.no_devices = true,
        "noexec" => mount.no_execution = true,
        "allow_other" | "allow_root" => mount.allow_other = true,
        "fsname" => mount.source = value,
        "context" => mount.context = Some(value),
        idle if IDLE.contains(&idle) => asked.idle.push(idle.to_owned()),
        unknown => return Err(OptionError::Unknown(unknown.to_owned())),
    }
    Ok(())
}

/// Splits at a separator that no backslash precedes, and that is not in the quotes of a label. Backslashes stay.
fn split(words: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = words.iter();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        let last = parts.len() - 1;
        match *byte {
            b'"' if quoted || parts[last] == b"context=" => {
                quoted = !quoted;
                parts[last].push(b'"');
            }
            byte if quoted => parts[last].push(byte),
            b'\\' => {
                parts[last].push(b'\\');
                parts[last].extend(bytes.next());
            }
            byte if byte == separator => parts.push(Vec::new()),
            byte => parts[last].push(byte),
        }
    }
    parts
}

/// Takes the backslashes away that make the next character part of a path.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(b'\\' | b',' | b':')) => plain.extend(bytes.next()),
            (byte, _) => plain.push(*byte),
        }
    }
    plain
}

fn folders(value: &[u8]) -> Vec<PathBuf> {
    let parts = split(value, b':').into_iter().filter(|part| !part.is_empty());
    parts.map(|part| PathBuf::from(OsString::from_vec(unescape(&part)))).collect()
}

fn wrong(key: &str, value: &str, expected: &'static str) -> OptionError {
    OptionError::Value { key: key.to_owned(), value: value.to_owned(), expected }
}

fn io(value: &str) -> Result<IoMode, OptionError> {
    match value {
        "auto" => Ok(IoMode::Auto),
        "noopen" => Ok(IoMode::NoOpen),
        "passthrough" => Ok(IoMode::Passthrough),
        "cached" => Ok(IoMode::Cached),
        _ => Err(wrong("io", value, "it is auto, noopen, passthrough or cached")),
    }
}

fn redirects(value: &str) -> Result<Redirects, OptionError> {
    match value {
        "on" => Ok(Redirects::On),
        "follow" => Ok(Redirects::Follow),
        "off" | "nofollow" => Ok(Redirects::Off),
        _ => Err(wrong("redirect_dir", value, "it is on, follow, nofollow or off")),
    }
}

fn override_stat(value: &str) -> Result<Option<OverrideStat>, OptionError> {
    match value {
        "0" => Ok(None),
        "1" => Ok(Some(OverrideStat::Security)),
        "2" => Ok(Some(OverrideStat::Containers)),
        _ => Err(wrong("xattr_permissions", value, "it is 0, 1 or 2")),
    }
}

fn ranges(key: &str, value: &str) -> Result<Vec<plywood_fuse_union::ids::Range>, OptionError> {
    Ids::ranges(value).ok_or_else(|| wrong(key, value, "it is container:host:length, repeated"))
}

fn number(key: &str, value: &str) -> Result<u32, OptionError> {
    value.parse().map_err(|_| wrong(key, value, "it is a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Asked {
        read(&[OsString::from(text)]).unwrap()
    }

    #[test]
    fn podmans_options_are_read() {
        let asked = asked(
            "lowerdir=/l/A:/l/B,upperdir=/u/diff,workdir=/u/work,fsync=0,volatile,uidmapping=0:1000:1:1:100000:65536,\
             xattr_permissions=2",
        );
        assert_eq!(asked.union.lower, [PathBuf::from("/l/A"), PathBuf::from("/l/B")]);
        assert_eq!(asked.union.upper, Some(PathBuf::from("/u/diff")));
        assert!(asked.union.volatile && !asked.mount.read_only);
        assert_eq!(asked.union.ids.users.len(), 2);
        assert_eq!(asked.union.override_stat, Some(OverrideStat::Containers));
    }

    #[test]
    fn separators_in_paths_are_escaped() {
        let asked = asked(r"lowerdir=/a\:b:/c\,d:/e\\f,upperdir=/g:h,workdir=/w");
        let lower: Vec<PathBuf> = ["/a:b", "/c,d", r"/e\f"].map(PathBuf::from).into();
        assert_eq!(asked.union.lower, lower);
        assert_eq!(asked.union.upper, Some(PathBuf::from("/g:h")));
    }

    #[test]
    fn a_label_keeps_its_commas_between_quotes() {
        let asked = asked(r#"lowerdir=/a"b,context="u:r:t:s0:c1,c2",ro"#);
        assert_eq!(asked.union.lower, [PathBuf::from(r#"/a"b"#)]);
        assert_eq!(asked.mount.context.as_deref(), Some(r#""u:r:t:s0:c1,c2""#));
    }

    #[test]
    fn without_an_upper_folder_it_is_read_only_and_idle_options_are_told() {
        let asked = asked("lowerdir=/a,timeout=1,xino=off");
        assert!(asked.mount.read_only);
        assert_eq!(asked.idle, ["timeout", "xino"]);
    }

    #[test]
    fn read_only_the_upper_folder_is_a_layer_like_any_other() {
        let asked = asked("lowerdir=/a,upperdir=/u,workdir=/w,ro");
        assert_eq!(asked.union.lower, [PathBuf::from("/u"), PathBuf::from("/a")]);
        assert_eq!((asked.union.upper, asked.union.work), (None, None));
    }

    #[test]
    fn mistakes_are_told() {
        for wrong in ["lowerdirs=/a", "io=fast", "uidmapping=1:2", "squash_to_uid=x", "xattr_permissions=3"] {
            assert!(read(&[OsString::from(wrong)]).is_err(), "{wrong}");
        }
    }
}
