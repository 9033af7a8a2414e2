//! Overlays put together and mounted.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, LayerRef, MountRequest, MountSpec, Mounted};
use plywood_sys::mount::{self, Overlay, Restrictions};
use plywood_tree::home::Home;
use plywood_tree::mounted::Detach;

use crate::driver::{DIFF, MOST_LOWER, WORK};
use crate::probe::{EMPTY, Facts};

/// How the option begins that labels every file for SELinux.
const LABEL: &str = "context=";

/// Puts together the overlay of a layer.
///
/// # Errors
/// `NotFound` where a layer is not there, `InvalidInput` for a writable mount of a sealed one, `LimitExceeded` past 500.
pub(crate) fn overlay(
    home: &Home,
    facts: &Facts,
    layer: LayerRef<'_>,
    request: &MountRequest<'_>,
) -> DriverResult<Overlay> {
    let folder = home.layer(layer.id)?;
    let sealed = folder.is_sealed()?;
    if sealed && !request.read_only {
        let reason = "the layer is sealed: mount it read-only, or make a snapshot of it to write to";
        return Err(DriverError::new(ErrorKind::InvalidInput, "mount overlay", reason).on(layer.id));
    }
    let mut lower = Vec::with_capacity(layer.parents.len() + 1);
    if request.read_only {
        lower.push(folder.path.join(DIFF));
    }
    for parent in layer.parents {
        lower.push(home.layer(parent)?.path.join(DIFF));
    }
    // Overlayfs takes no single lower folder without an upper, and no upper without a lower.
    if lower.is_empty() || (request.read_only && lower.len() == 1) {
        lower.push(home.path().join(EMPTY));
    }
    if lower.len() > MOST_LOWER {
        let reason = format!("{} layers, where overlayfs takes {MOST_LOWER}: squash some", lower.len());
        return Err(DriverError::new(ErrorKind::LimitExceeded, "mount overlay", reason).on(layer.id));
    }
    let upper = (!request.read_only).then(|| (folder.path.join(DIFF), folder.path.join(WORK)));
    Ok(Overlay { lower, upper, options: options(facts, request), restrictions: restrictions(request) })
}

/// What Plywood promises of a layer's form holds only without these features, so they are said and not assumed.
fn options(facts: &Facts, request: &MountRequest<'_>) -> Vec<String> {
    let mut options: Vec<String> =
        ["redirect_dir=nofollow", "metacopy=off", "index=off"].map(str::to_owned).into();
    options.extend(facts.user_xattr_option().map(str::to_owned));
    options.extend(request.label.map(|label| format!("{LABEL}{label}")));
    options
}

fn restrictions(request: &MountRequest<'_>) -> Restrictions {
    Restrictions {
        read_only: request.read_only,
        no_set_user_id: request.inspection,
        no_devices: request.inspection,
    }
}

/// Mounts an overlay at a folder.
pub(crate) fn mount(overlay: &Overlay, target: &Path) -> DriverResult<Mounted> {
    let made = mount::overlay(overlay).map_err(|error| DriverError::system("mount overlay", error))?;
    mount::attach(made, target).map_err(|error| DriverError::system("attach mount", error).at(target))?;
    Ok(Mounted::new(target.to_owned(), Box::new(Detach)))
}

/// The same overlay as `mount -t overlay -o ...` takes it.
///
/// # Errors
/// `Unsupported` for a folder or a label that options cannot carry: by the new mount API it can be mounted all the same.
pub fn spec(overlay: &Overlay) -> DriverResult<MountSpec> {
    let labelled = overlay.options.iter().any(|option| option.starts_with(LABEL));
    let carried = |folder: &Path, special| carried(folder, special, labelled);
    let lower: Vec<String> =
        overlay.lower.iter().map(|folder| carried(folder, b"\\:,")).collect::<DriverResult<_>>()?;
    let mut options = vec![format!("lowerdir={}", lower.join(":"))];
    if let Some((upper, work)) = &overlay.upper {
        for (key, folder) in [("upperdir", upper), ("workdir", work)] {
            options.push(format!("{key}={}", carried(folder, b"\\,")?));
        }
    }
    for option in &overlay.options {
        options.push(option.strip_prefix(LABEL).map_or_else(|| Ok(option.clone()), quoted_label)?);
    }
    let restrictions = overlay.restrictions;
    let flags = [
        (restrictions.read_only, "ro"),
        (restrictions.no_set_user_id, "nosuid"),
        (restrictions.no_devices, "nodev"),
    ];
    options.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| (*flag).to_owned()));
    Ok(MountSpec { kind: "overlay".to_owned(), source: PathBuf::from("overlay"), options })
}

/// The label in quotes, between which SELinux takes the commas of categories (`selinux_sb_eat_lsm_opts`, Linux 6.18).
fn quoted_label(label: &str) -> DriverResult<String> {
    if label.contains('"') {
        return Err(uncarried("a label with a quote cannot be said in mount options"));
    }
    Ok(format!("{LABEL}\"{label}\""))
}

/// The folder as options name it. SELinux, which looks for a label first, splits at commas whatever the backslashes say.
fn carried(folder: &Path, special: &[u8], labelled: bool) -> DriverResult<String> {
    let bytes = folder.as_os_str().as_bytes();
    if labelled && bytes.iter().any(|byte| matches!(byte, b',' | b'"')) {
        let reason =
            "mount options with a label cannot name a folder that has a comma or a quote in its path";
        return Err(uncarried(reason).at(folder));
    }
    String::from_utf8(escape(folder, special))
        .map_err(|_| uncarried("mount options cannot name a folder whose path is not UTF-8").at(folder))
}

fn uncarried(reason: &str) -> DriverError {
    DriverError::new(ErrorKind::Unsupported, "write mount options", reason)
}

/// Puts a backslash before the characters that overlayfs' option parser would take as its own.
fn escape(folder: &Path, special: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in folder.as_os_str().as_bytes() {
        if special.contains(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_spec_escapes_what_separates_options() {
        let overlay = Overlay {
            lower: vec![PathBuf::from("/a:b"), PathBuf::from("/c,d")],
            upper: Some((PathBuf::from("/u"), PathBuf::from("/w"))),
            options: vec!["index=off".to_owned()],
            restrictions: Restrictions { read_only: false, no_set_user_id: true, no_devices: true },
        };
        let expected = [r"lowerdir=/a\:b:/c\,d", "upperdir=/u", "workdir=/w", "index=off", "nosuid", "nodev"];
        assert_eq!(spec(&overlay).unwrap().options, expected);
    }

    #[test]
    fn a_spec_quotes_a_label_and_refuses_what_it_cannot_say() {
        let overlay = |folder: &[u8], label: &str| Overlay {
            lower: vec![PathBuf::from(OsStr::from_bytes(folder)), PathBuf::from("/b")],
            options: vec![format!("context={label}")],
            ..Overlay::default()
        };
        let label = "u:r:t:s0:c1,c2";
        let expected = ["lowerdir=/a:/b".to_owned(), format!("context=\"{label}\"")];
        assert_eq!(spec(&overlay(b"/a", label)).unwrap().options, expected);
        for (folder, label) in [(&b"/a,b"[..], label), (b"/a\"b", label), (b"/a", "u\"r"), (b"/\xff", label)]
        {
            assert_eq!(spec(&overlay(folder, label)).unwrap_err().kind, ErrorKind::Unsupported);
        }
        let unlabelled = Overlay { options: Vec::new(), ..overlay(b"/\xff", "") };
        assert_eq!(spec(&unlabelled).unwrap_err().kind, ErrorKind::Unsupported);
    }
}
