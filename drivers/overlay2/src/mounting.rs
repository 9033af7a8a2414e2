//! Overlays put together and mounted.

use std::path::{Path, PathBuf};

use plywood_graphdriver::{
    DriverError, DriverResult, ErrorKind, LayerId, LayerRef, MountRequest, MountSpec, Mounted,
};
use plywood_sys::mount::{self, Overlay, Restrictions};
use plywood_tree::mounted::Detach;
use plywood_tree::upper_layers::{MountFolders, UpperLayers};

use crate::driver::MOST_LOWER;
use crate::options::{LABEL, flags, overlay_spec};
use crate::probe::{EMPTY, Facts};

/// Puts together the overlay of a layer.
///
/// # Errors
/// `NotFound` where a layer is not there, `InvalidInput` for a writable mount of a sealed one, `LimitExceeded` past 500.
pub(crate) fn overlay(
    layers: &UpperLayers,
    facts: &Facts,
    layer: LayerRef<'_>,
    request: &MountRequest<'_>,
) -> DriverResult<Overlay> {
    let MountFolders { mut lower, upper } = layers.mount_folders(layer, request)?;
    // Overlayfs takes no single lower folder without an upper, and no upper without a lower.
    if lower.is_empty() || (request.read_only && lower.len() == 1) {
        lower.push(layers.home.path().join(EMPTY));
    }
    if lower.len() > MOST_LOWER {
        let reason = format!("{} layers, where overlayfs takes {MOST_LOWER}: squash some", lower.len());
        return Err(DriverError::new(ErrorKind::LimitExceeded, "mount overlay", reason).on(layer.id));
    }
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
    let made = mount::overlay(overlay).map_err(|error| refused(overlay, error))?;
    mount::attach(made, target).map_err(|error| DriverError::system("attach mount", error).at(target))?;
    Ok(Mounted::new(target.to_owned(), Box::new(Detach)))
}

/// A kernel without SELinux does not know labels, and says no more than that an option is not valid.
fn refused(overlay: &Overlay, error: std::io::Error) -> DriverError {
    let labelled = overlay.options.iter().any(|option| option.starts_with(LABEL));
    if labelled && error.kind() == std::io::ErrorKind::InvalidInput {
        let reason = format!("the kernel takes no such label, which needs SELinux: {error}");
        return DriverError::new(ErrorKind::Unsupported, "mount overlay", reason);
    }
    DriverError::system("mount overlay", error)
}

/// A path by which a layer's own files are named in a spec.
type Named<'a> = &'a dyn Fn(&LayerId) -> DriverResult<PathBuf>;

/// How an engine mounts a layer itself. Overlayfs takes no fewer than two folders: a single one is bound.
pub(crate) fn spec(
    layers: &UpperLayers,
    facts: &Facts,
    layer: LayerRef<'_>,
    request: &MountRequest<'_>,
    named: Named<'_>,
) -> DriverResult<MountSpec> {
    let overlay = overlay(layers, facts, layer, request)?;
    // What is bound has the labels that it has.
    let bound = request.label.is_none() && (request.read_only || !request.stacked);
    if layer.parents.is_empty() && bound {
        let access = if request.read_only { "ro" } else { "rw" };
        let mut options = vec![access.to_owned(), "rbind".to_owned()];
        options.extend(flags(overlay.restrictions).filter(|flag| *flag != "ro").map(str::to_owned));
        return Ok(MountSpec { kind: "bind".to_owned(), source: layers.folder(layer.id)?, options });
    }
    let mut lower = Vec::with_capacity(overlay.lower.len());
    for id in request.read_only.then_some(layer.id).into_iter().chain(layer.parents) {
        lower.push(named(id)?);
    }
    if lower.len() + usize::from(overlay.upper.is_some()) < 2 {
        lower.push(layers.home.path().join(EMPTY));
    }
    overlay_spec(&Overlay { lower, ..overlay }).map_err(|error| error.on(layer.id))
}
