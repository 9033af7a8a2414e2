//! A layer's way from a tar to a settled upper folder, as every driver with independent apply takes it.

use std::io::Read;
use std::os::fd::AsFd;

use plywood_graphdriver::{
    Applied, ApplyOptions, Contents, DriverError, DriverResult, ErrorKind, LayerId, Resettle,
};

use crate::apply::{Target, apply};
use crate::home::LayerFolder;
use crate::markers::Markers;
use crate::settle::{Settled, make_root, settle};
use crate::stack::Stack;

/// The name of the folder while a layer is unpacked a second time.
const AGAIN: &str = "again";

/// Unpacks a tar into the new folder `name` of a layer, without its parents.
///
/// # Errors
/// As [`apply`].
pub fn unpack(
    layer: &LayerFolder,
    name: &str,
    markers: Markers,
    tar: &mut dyn Read,
    options: ApplyOptions<'_>,
) -> DriverResult<Applied> {
    let nothing = &mut Stack::new(Vec::new(), markers);
    let upper = make_root(layer.as_fd(), name.as_bytes(), markers, nothing)?;
    let target = Target { upper: upper.as_fd(), layer: layer.as_fd(), markers, below: None };
    apply(target, tar, options)
}

/// Settles the folder `name` of a layer on its parents; `below` makes their merged view, as often as it is asked.
///
/// # Errors
/// As [`settle`], and `InvalidInput` where a second unpacking is needed and there is no recipe for it.
pub fn settle_unpacked(
    id: &LayerId,
    layer: &LayerFolder,
    name: &str,
    markers: Markers,
    below: &dyn Fn() -> DriverResult<Stack>,
    resettle: Option<&mut dyn Resettle>,
) -> DriverResult<()> {
    let upper = layer.open(name)?;
    if settle(upper.as_fd(), layer.as_fd(), markers, &mut below()?)? == Settled::Done {
        return Ok(());
    }
    let Some(resettle) = resettle else {
        let reason = "a folder that the tar only implies is a symlink in a parent, and no recipe was kept to unpack it again";
        return Err(DriverError::new(ErrorKind::InvalidInput, "seal", reason).on(id));
    };
    layer.remove(AGAIN)?;
    let contents = Contents::new(upper, None);
    resettle.again(&contents, &mut |tar, options| {
        let again =
            make_root(layer.as_fd(), AGAIN.as_bytes(), markers, &mut Stack::new(Vec::new(), markers))?;
        let target = Target { upper: again.as_fd(), layer: layer.as_fd(), markers, below: Some(below()?) };
        apply(target, tar, options).map(drop)
    })?;
    layer.remove(name)?;
    layer.rename(AGAIN, name)?;
    let upper = layer.open(name)?;
    match settle(upper.as_fd(), layer.as_fd(), markers, &mut below()?)? {
        Settled::Done => Ok(()),
        Settled::UnpackAgain => {
            let reason = "the layer does not settle: a folder that it implies is still a symlink in a parent";
            Err(DriverError::new(ErrorKind::InvalidInput, "seal", reason).on(id))
        }
    }
}
