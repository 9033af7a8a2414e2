//! Overlays put together and mounted.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use plywood_graphdriver::{DriverError, DriverResult, ErrorKind, LayerRef, MountRequest, MountSpec, Mounted};
use plywood_sys::mount::{self, Overlay, Restrictions};
use plywood_tree::home::Home;
use plywood_tree::mounted::Detach;

use crate::driver::{DIFF, MOST_LOWER, WORK};
use crate::probe::{EMPTY, Facts};

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
    options.extend(request.label.map(|label| format!("context={label}")));
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
pub(crate) fn spec(overlay: &Overlay) -> MountSpec {
    let joined =
        overlay.lower.iter().map(|folder| escape(folder, b"\\:,")).collect::<Vec<_>>().join(&b":"[..]);
    let mut options = vec![format!("lowerdir={}", OsString::from_vec(joined).to_string_lossy())];
    if let Some((upper, work)) = &overlay.upper {
        for (key, folder) in [("upperdir", upper), ("workdir", work)] {
            options.push(format!("{key}={}", OsString::from_vec(escape(folder, b"\\,")).to_string_lossy()));
        }
    }
    options.extend(overlay.options.iter().cloned());
    let restrictions = overlay.restrictions;
    let flags = [
        (restrictions.read_only, "ro"),
        (restrictions.no_set_user_id, "nosuid"),
        (restrictions.no_devices, "nodev"),
    ];
    options.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| (*flag).to_owned()));
    MountSpec { kind: "overlay".to_owned(), source: PathBuf::from("overlay"), options }
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
        assert_eq!(spec(&overlay).options, expected);
    }
}
