//! What a container changed: told, packed, kept, thrown away.

use std::io;

use super::changing::{append_to, create_files};
use crate::BenchError;
use crate::image::{self, content, small_path};
use crate::stage::{Container, Stage, timed};

pub(super) fn diff_small(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let container = stage.mounted()?;
    let paths: Vec<_> =
        (0..stage.size.few_files).map(|number| container.tree.join(small_path(number))).collect();
    append_to(&paths)?;
    timed(|| stage.store.diff(&container.layer, &mut io::sink()).map_err(BenchError::store("write diff")))
}

pub(super) fn diff_large(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let container = full_container(stage)?;
    timed(|| stage.store.diff(&container.layer, &mut io::sink()).map_err(BenchError::store("write diff")))
}

pub(super) fn changes(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let container = full_container(stage)?;
    timed(|| {
        stage.store.changes(&container.layer, &mut |_| Ok(())).map_err(BenchError::store("list changes"))
    })
}

pub(super) fn commit(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let container = full_container(stage)?;
    let below = stage.diff_ids();
    timed(|| {
        let staged = stage
            .store
            .stage_container(&container.name, &())
            .map_err(BenchError::store("make a layer of a container"))?;
        let diff_ids = [below.as_slice(), &[staged.diff_id()]].concat();
        let records =
            image::records(&diff_ids).map_err(BenchError::file("describe image", &container.tree))?;
        staged
            .register_image(&records.manifest, image::MANIFEST_TYPE, &records.config, &[])
            .map_err(BenchError::store("commit container"))
    })
}

pub(super) fn remove(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let container = full_container(stage)?;
    stage.unmount(&container.tree)?;
    timed(|| {
        stage.store.remove_container(&container.name, false).map_err(BenchError::store("remove container"))
    })
}

/// A container with many new files that no other has.
fn full_container(stage: &mut Stage<'_>) -> Result<Container, BenchError> {
    let container = stage.mounted()?;
    let text = content(stage.next() as u64, stage.size.small_bytes);
    create_files(&container.tree, stage.size.changed_files, &text)?;
    Ok(container)
}
