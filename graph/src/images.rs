//! Images: listed, named, registered, removed.

use plywood_graphdriver::LayerId;
use rusqlite::Transaction;

use crate::database::{containers, images, layers, mounts};
use crate::import::config_matches;
use crate::layers::not_found;
use crate::lease::Lease;
use crate::{GraphError, ImageRecord, LayerState, Reference, Removed, Store, lookup};

impl Store {
    /// All images, newest first.
    ///
    /// # Errors
    /// Those of reading the records.
    pub fn images(&self) -> Result<Vec<ImageRecord>, GraphError> {
        self.inner.database.read(|transaction| images::all(transaction))
    }

    /// The image that `query` means: a name with or without its registry and the tag `latest`, an id, `sha256:` and an
    /// id, the beginning of an id (at least four digits), or the digest of a manifest.
    ///
    /// # Errors
    /// `NotFound`; `Ambiguous`, listing the candidates.
    pub fn image(&self, query: &str) -> Result<ImageRecord, GraphError> {
        self.inner.database.read(|transaction| found_image(transaction, query).map(|(record, _)| record))
    }

    /// Gives an image a further name. Another image that had the name loses it.
    ///
    /// # Errors
    /// Those of [`image`](Self::image).
    pub fn tag(&self, query: &str, name: &Reference) -> Result<(), GraphError> {
        self.inner.database.write(|transaction| {
            let found = lookup::image(transaction, query)?;
            images::tag(transaction, &found.id, name)
        })
    }

    /// Takes a name away from its image, which stays, also without any name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn untag(&self, name: &Reference) -> Result<(), GraphError> {
        let untagged = self.inner.database.write(|transaction| images::untag(transaction, name))?;
        if untagged { Ok(()) } else { Err(GraphError::NotFound { what: "name", query: name.to_string() }) }
    }

    /// Removes what `query` means: one name of several is only taken away from its image; the last name, or an id,
    /// removes the image and every layer that nothing else needs. `force` removes its containers and mounts before.
    ///
    /// # Errors
    /// `InUse`, naming the containers and mounts, without `force`; those of [`image`](Self::image).
    pub fn remove_image(&self, query: &str, force: bool) -> Result<Removed, GraphError> {
        if force {
            self.remove_users(query)?;
        }
        let _room = self.inner.reserve.make_room();
        let lease = Lease::begin(&self.inner, "remove image")?;
        let removed = self.inner.database.write(|transaction| {
            lease.record(transaction)?;
            self.remove_image_records(transaction, query, &lease)
        })?;
        self.inner.sweep(&removed.layers, &lease)?;
        Ok(removed)
    }

    fn remove_image_records(
        &self,
        transaction: &Transaction<'_>,
        query: &str,
        lease: &Lease,
    ) -> Result<Removed, GraphError> {
        let (record, name) = found_image(transaction, query)?;
        if let Some(name) = name.filter(|_| record.names.len() > 1) {
            images::untag(transaction, &name)?;
            return Ok(Removed { untagged: vec![name], image: None, layers: Vec::new() });
        }
        let by = image_users(transaction, &record)?;
        if !by.is_empty() {
            return Err(GraphError::InUse { what: "image", name: shown(&record), by });
        }
        images::delete(transaction, &record.id)?;
        let topmost_first: Vec<LayerId> = record.layers.iter().rev().map(|layer| layer.id.clone()).collect();
        let layers = self.inner.retire_unused(transaction, &topmost_first, lease)?;
        Ok(Removed { untagged: record.names, image: Some(record.id), layers })
    }

    fn remove_users(&self, query: &str) -> Result<(), GraphError> {
        let (containers, targets) = self.inner.database.read(|transaction| {
            let (record, name) = found_image(transaction, query)?;
            if name.is_some() && record.names.len() > 1 {
                return Ok((Vec::new(), Vec::new()));
            }
            Ok((containers::by_image(transaction, &record.id)?, image_mounts(transaction, &record)?))
        })?;
        for container in containers {
            self.remove_container(&container.id, true)?;
        }
        targets.iter().try_for_each(|target| self.unmount_at(target))
    }
}

/// The record that `query` means, and the name that it was found by.
pub(crate) fn found_image(
    transaction: &Transaction<'_>,
    query: &str,
) -> Result<(ImageRecord, Option<Reference>), GraphError> {
    let found = lookup::image(transaction, query)?;
    let record = images::by_id(transaction, &found.id)?;
    let record = record.ok_or_else(|| GraphError::NotFound { what: "image", query: query.to_owned() })?;
    Ok((record, found.name))
}

/// Checks that `layers`, the lowest first, are committed, one chain, and those that the config names.
pub(crate) fn check_chain(
    transaction: &Transaction<'_>,
    config: &[u8],
    layers: &[LayerId],
) -> Result<(), GraphError> {
    let invalid = |reason: String| GraphError::Invalid { operation: "register image", reason };
    let mut below: Option<&LayerId> = None;
    let mut diff_ids = Vec::with_capacity(layers.len());
    for id in layers {
        let record = layers::by_id(transaction, id)?.ok_or_else(|| not_found(id))?.record;
        if record.state != LayerState::Committed {
            return Err(invalid(format!("layer {} is {}, not committed", id.short(), record.state.as_str())));
        }
        if record.parent.as_ref() != below {
            return Err(invalid(format!("layer {} does not stand on the one before it", id.short())));
        }
        diff_ids.extend(record.diff_id);
        below = Some(id);
    }
    config_matches(config, diff_ids.into_iter(), "register image")
}

fn image_users(transaction: &Transaction<'_>, image: &ImageRecord) -> Result<Vec<String>, GraphError> {
    let containers = containers::by_image(transaction, &image.id)?;
    let containers =
        containers.iter().map(|container| format!("container {} ({})", container.name, &container.id[..12]));
    let targets = image_mounts(transaction, image)?;
    Ok(containers.chain(targets.iter().map(|target| format!("mount {}", target.display()))).collect())
}

/// Where the image's top layer is mounted, unless another image has that layer too.
fn image_mounts(
    transaction: &Transaction<'_>,
    image: &ImageRecord,
) -> Result<Vec<std::path::PathBuf>, GraphError> {
    let Some(top) = image.layers.last() else { return Ok(Vec::new()) };
    if images::ids_by_layer(transaction, &top.id)?.len() > 1 {
        return Ok(Vec::new());
    }
    Ok(mounts::by_layer(transaction, &top.id)?.into_iter().map(|row| row.record.target).collect())
}

fn shown(image: &ImageRecord) -> String {
    image.names.first().map_or_else(|| image.id.hex()[..12].to_owned(), ToString::to_string)
}
