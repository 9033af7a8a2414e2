//! An overlay said as `mount -t overlay -o ...` takes it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plywood_graphdriver::{DriverResult, MountSpec};
use plywood_sys::mount::{Overlay, Restrictions};
use plywood_tree::mount_options::{self, IN_LOWER, IN_UPPER};

/// How the option begins that labels every file for SELinux.
pub(crate) const LABEL: &str = "context=";

/// The overlay's options, in the order in which containerd's own snapshotter has them.
///
/// # Errors
/// `Unsupported` for a folder or a label that options cannot carry: by the new mount API it can be mounted all the same.
pub fn overlay_spec(overlay: &Overlay) -> DriverResult<MountSpec> {
    let labelled = overlay.options.iter().any(|option| option.starts_with(LABEL));
    let carried = |folder: &Path, special| carried(folder, special, labelled);
    let mut options = Vec::with_capacity(overlay.options.len() + 3);
    for option in &overlay.options {
        options.push(option.strip_prefix(LABEL).map_or_else(|| Ok(option.clone()), mount_options::context)?);
    }
    if let Some((upper, work)) = &overlay.upper {
        for (key, folder) in [("workdir", work), ("upperdir", upper)] {
            options.push(format!("{key}={}", carried(folder, IN_UPPER)?));
        }
    }
    let lower: Vec<String> =
        overlay.lower.iter().map(|folder| carried(folder, IN_LOWER)).collect::<DriverResult<_>>()?;
    options.push(format!("lowerdir={}", lower.join(":")));
    options.extend(flags(overlay.restrictions).map(str::to_owned));
    Ok(MountSpec { kind: "overlay".to_owned(), source: PathBuf::from("overlay"), options })
}

/// The restrictions as `mount -o` takes them.
pub(crate) fn flags(restrictions: Restrictions) -> impl Iterator<Item = &'static str> {
    let flags = [
        (restrictions.read_only, "ro"),
        (restrictions.no_set_user_id, "nosuid"),
        (restrictions.no_devices, "nodev"),
    ];
    flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag)
}

/// The folder as options name it. SELinux, which looks for a label first, splits at commas whatever the backslashes say.
fn carried(folder: &Path, special: &[u8], labelled: bool) -> DriverResult<String> {
    let bytes = folder.as_os_str().as_bytes();
    if labelled && bytes.iter().any(|byte| matches!(byte, b',' | b'"')) {
        let reason =
            "mount options with a label cannot name a folder that has a comma or a quote in its path";
        return Err(mount_options::unsaid(reason).at(folder));
    }
    mount_options::text(mount_options::escaped(folder, special)).map_err(|error| error.at(folder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ffi::OsStr;

    use plywood_graphdriver::ErrorKind;

    use super::*;

    #[test]
    fn a_spec_escapes_what_separates_options() {
        let overlay = Overlay {
            lower: vec![PathBuf::from("/a:b"), PathBuf::from("/c,d")],
            upper: Some((PathBuf::from("/u"), PathBuf::from("/w"))),
            options: vec!["index=off".to_owned()],
            restrictions: Restrictions { read_only: false, no_set_user_id: true, no_devices: true },
        };
        let expected = ["index=off", "workdir=/w", "upperdir=/u", r"lowerdir=/a\:b:/c\,d", "nosuid", "nodev"];
        assert_eq!(overlay_spec(&overlay).unwrap().options, expected);
    }

    #[test]
    fn a_spec_quotes_a_label_and_refuses_what_it_cannot_say() {
        let overlay = |folder: &[u8], label: &str| Overlay {
            lower: vec![PathBuf::from(OsStr::from_bytes(folder)), PathBuf::from("/b")],
            options: vec![format!("context={label}")],
            ..Overlay::default()
        };
        let label = "u:r:t:s0:c1,c2";
        let expected = [format!("context=\"{label}\""), "lowerdir=/a:/b".to_owned()];
        assert_eq!(overlay_spec(&overlay(b"/a", label)).unwrap().options, expected);
        for (folder, label) in [(&b"/a,b"[..], label), (b"/a\"b", label), (b"/a", "u\"r"), (b"/\xff", label)]
        {
            assert_eq!(overlay_spec(&overlay(folder, label)).unwrap_err().kind, ErrorKind::Unsupported);
        }
        let unlabelled = Overlay { options: Vec::new(), ..overlay(b"/\xff", "") };
        assert_eq!(overlay_spec(&unlabelled).unwrap_err().kind, ErrorKind::Unsupported);
    }
}
