//! What happens to layers and images as a whole.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plywood_graph::MountTarget;
use plywood_graphdriver::MountRequest;

use super::tree;
use crate::BenchError;
use crate::stage::{Stage, timed};

pub(super) fn pull(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    stage.pull()
}

pub(super) fn snapshot(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    timed(|| stage.container())
}

/// Mounts an image of so many layers for inspection.
pub(super) fn mount<const LAYERS: usize>(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let image = format!("bench/layers-{LAYERS}:1");
    let mut tree = None;
    let took = timed(|| {
        tree = Some(stage.mount(MountTarget::Image(&image), &MountRequest::inspection())?);
        Ok(())
    })?;
    tree.map_or(Ok(()), |tree| stage.unmount(&tree))?;
    Ok(took)
}

/// Bytes that the file system gave the store of the last pull. Files with several names count once.
#[allow(clippy::cast_precision_loss, reason = "far fewer bytes than a double counts")]
pub(super) fn disk(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    if stage.pulled.is_none() {
        stage.pull()?;
    }
    let folder = stage.pulled.clone().unwrap_or_default();
    Ok(allocated(&folder)? as f64)
}

fn allocated(folder: &Path) -> Result<u64, BenchError> {
    // `st_blocks` counts units of 512 bytes whatever the file system's own are (stat(2)).
    const UNIT_BYTES: u64 = 512;
    let (mut bytes, mut linked) = (0, std::collections::HashSet::new());
    tree::visit(folder, &mut |_, metadata| {
        if metadata.nlink() == 1 || metadata.is_dir() || linked.insert((metadata.dev(), metadata.ino())) {
            bytes += metadata.blocks() * UNIT_BYTES;
        }
    })?;
    Ok(bytes)
}
