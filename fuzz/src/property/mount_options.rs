//! The options of overlays, as an engine passes them to mount(2).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use plywood_graphdriver::MountSpec;
use plywood_overlay2::overlay_spec;
use plywood_sys::mount::{Overlay, Restrictions};
use rustix::fs::{AtFlags, Mode};

use crate::bytes::Bytes;
use crate::sandbox;

/// Layers of an overlay here; each makes the options longer, and nothing else.
const MOST_LOWER: usize = 6;
/// What mount(2) takes of options: a page, with the NUL at their end.
const PAGE_BYTES: usize = 4096;
/// A label as SELinux writes it for two categories.
const LABELS: [Option<&str>; 4] =
    [None, Some("system_u:object_r:container_file_t:s0"), Some("u:r:t:s0:c1,c2"), Some("\"")];

/// Folders with any names make options that a plain reading of the kernel's rules takes apart into the same folders, or are
/// refused; and the kernel itself, by options and by the new mount API, mounts those folders.
pub fn check(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let flags = bytes.byte();
    let label = LABELS[usize::from(flags >> 1 & 3)];
    let mut folders: Vec<PathBuf> = bytes.rest().split(|byte| *byte == 0).map(path).collect();
    folders.truncate(MOST_LOWER + 2);
    let overlay = described(folders, flags & 1 != 0, label);
    if let Ok(spec) = overlay_spec(&overlay) {
        check_read_back(&overlay, &spec, label);
    }
    if label.is_none() && flags & 8 != 0 {
        check_mounted(&overlay);
    }
}

fn path(name: &[u8]) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(name))
}

fn described(mut folders: Vec<PathBuf>, writable: bool, label: Option<&str>) -> Overlay {
    let mut upper = None;
    if writable && folders.len() > 2 {
        upper = folders.pop().zip(folders.pop());
    }
    let mut options = vec!["index=off".to_owned()];
    options.extend(label.map(|label| format!("context={label}")));
    folders.truncate(MOST_LOWER);
    Overlay { lower: folders, upper, options, restrictions: Restrictions::default() }
}

fn check_read_back(overlay: &Overlay, spec: &MountSpec, label: Option<&str>) {
    let data = spec.options.join(",");
    let (context, data) = without_label(data.as_bytes(), label.is_some());
    assert_eq!(context.as_deref(), label.map(str::as_bytes), "the label of {:?}", spec.options);
    let options = split_options(&data);
    let value = |key: &[u8]| {
        let values: Vec<_> = options.iter().filter_map(|option| option.strip_prefix(key)).collect();
        assert!(values.len() < 2, "{key:?} comes twice in {options:?}");
        values.first().map(|value| value.to_vec())
    };
    let path = |folder: &PathBuf| folder.as_os_str().as_bytes().to_vec();
    let lower = value(b"lowerdir=").map(|joined| split_lower(&joined)).unwrap_or_default();
    assert_eq!(lower, overlay.lower.iter().map(path).collect::<Vec<_>>(), "the lower folders in {options:?}");
    let upper = value(b"upperdir=")
        .map(|folder| unescaped(&folder))
        .zip(value(b"workdir=").map(|folder| unescaped(&folder)));
    let expected = overlay.upper.as_ref().map(|(upper, work)| (path(upper), path(work)));
    assert_eq!(upper, expected, "the upper folders in {options:?}");
    assert!(options.contains(&b"index=off".to_vec()), "an option is lost in {options:?}");
}

/// SELinux takes its options out first, splitting at commas that are not quoted, and takes the quotes off
/// (`selinux_sb_eat_lsm_opts`, security/selinux/hooks.c, Linux 6.18). Without a label wanted there is no SELinux.
fn without_label(data: &[u8], wanted: bool) -> (Option<Vec<u8>>, Vec<u8>) {
    if !wanted {
        return (None, data.to_vec());
    }
    let mut quoted = false;
    let options = data.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    let (mut context, mut rest) = (None, Vec::new());
    for option in options {
        match option.strip_prefix(b"context=") {
            Some(label) => {
                assert!(context.is_none(), "two labels");
                context = Some(label.iter().copied().filter(|byte| *byte != b'"').collect());
            }
            None => rest.push(option),
        }
    }
    (context, rest.join(&b','))
}

/// Splits at commas without a backslash before them, and keeps the backslashes (`ovl_next_opt`, fs/overlayfs/params.c).
fn split_options(data: &[u8]) -> Vec<Vec<u8>> {
    split_unescaped(data, b',')
}

/// Splits at colons without a backslash before them (`ovl_parse_param_split_lowerdirs`), then takes the backslashes off.
fn split_lower(value: &[u8]) -> Vec<Vec<u8>> {
    split_unescaped(value, b':').iter().map(|folder| unescaped(folder)).collect()
}

fn split_unescaped(bytes: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        if *byte == separator {
            parts.push(Vec::new());
            continue;
        }
        let part = parts.last_mut().unwrap();
        part.push(*byte);
        if *byte == b'\\' {
            part.extend(bytes.next());
        }
    }
    parts
}

/// `ovl_unescape`, fs/overlayfs/params.c.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        plain.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    plain
}

/// Makes the folders, each with a file of its own, and looks for the files in the mounts.
fn check_mounted(described: &Overlay) {
    let Some((top, overlay)) = make(described) else { return };
    let mounted = plywood_sys::mount::overlay(&overlay);
    let mounted = mounted.unwrap_or_else(|error| panic!("{overlay:?} is not mounted: {error}"));
    check_files(&mounted, &overlay, "by the new mount API");
    drop(mounted);
    if let Ok(spec) = overlay_spec(&overlay) {
        let data = spec.options.join(",");
        let target = top.join("target");
        fs::create_dir(&target).unwrap();
        if data.len() < PAGE_BYTES {
            let made =
                mount(Some("overlay"), &target, Some("overlay"), MsFlags::empty(), Some(data.as_bytes()));
            assert!(made.is_ok(), "{data} is not mounted: {made:?}");
            let opened = fs::File::open(&target).unwrap();
            check_files(&opened.into(), &overlay, "by options");
            plywood_sys::mount::detach(&target).unwrap();
        }
    }
    fs::remove_dir_all(top).unwrap();
}

/// The overlay with folders in memory that have the last components of those described; nothing where they are no names.
fn make(described: &Overlay) -> Option<(PathBuf, Overlay)> {
    let top = sandbox::folder().join("mount-options");
    let folders = described.upper.iter().flat_map(|(upper, work)| [upper, work]).chain(&described.lower);
    let names: Vec<&OsStr> = folders.map(|folder| folder.file_name()).collect::<Option<_>>()?;
    let distinct: BTreeSet<&&OsStr> = names.iter().collect();
    if distinct.len() < names.len() || names.iter().any(|name| name.len() > 255 || *name == "target") {
        return None;
    }
    // Overlayfs takes no single lower folder without an upper.
    if described.lower.is_empty() || (described.upper.is_none() && described.lower.len() < 2) {
        return None;
    }
    fs::create_dir(&top).unwrap();
    let make = |folder: &PathBuf, mark: &str| {
        let path = top.join(folder.file_name().unwrap());
        fs::create_dir(&path).unwrap();
        fs::write(path.join(mark), "").unwrap();
        path
    };
    let lower = described.lower.iter().enumerate();
    let lower = lower.map(|(index, folder)| make(folder, &format!("lower-{index}"))).collect();
    let upper = described.upper.as_ref().map(|(upper, work)| {
        let work = top.join(work.file_name().unwrap());
        fs::create_dir(&work).unwrap();
        (make(upper, "upper"), work)
    });
    let overlay =
        Overlay { lower, upper, options: described.options.clone(), restrictions: Restrictions::default() };
    Some((top, overlay))
}

fn check_files(root: &OwnedFd, overlay: &Overlay, how: &str) {
    let lower = (0..overlay.lower.len()).map(|index| format!("lower-{index}"));
    for name in lower.chain(overlay.upper.iter().map(|_| "upper".to_owned())) {
        let found = rustix::fs::statat(root.as_fd(), &name, AtFlags::empty());
        assert!(found.is_ok(), "{how}: {name} of {overlay:?} is not there");
    }
    if let Some((upper, _)) = &overlay.upper {
        let mode = Mode::from_raw_mode(0o755);
        let name = how.replace(' ', "-");
        rustix::fs::mkdirat(root.as_fd(), &name, mode)
            .unwrap_or_else(|error| panic!("{how}: {overlay:?}: {error}"));
        assert!(upper.join(&name).is_dir(), "{how}: {overlay:?} writes elsewhere");
    }
}
