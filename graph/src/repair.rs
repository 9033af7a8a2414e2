//! Repairing a store: layers that are damaged or lost are made anew, and take the old ones' places.
//!
//! The bytes of a layer come from its own files, where these still give its tar (a mode or a time was changed, or a file added); from
//! another layer with the same diff id; from a folder that no record knows; or from a source that is named. Whatever they come from, they are taken
//! only if they have the layer's diff id. What cannot be restored stays marked as damaged, so that nothing is made on it, and is named.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

use plywood_archive::digest::Digest;
use plywood_graphdriver::{LayerId, LayerRef};
use rusqlite::Transaction;

use crate::database::images::{self, NewImage};
use crate::database::layers;
use crate::import::{Keeper, Single, diff_ids_of};
use crate::lease::Lease;
use crate::{
    GraphError, ImageRecord, LayerRecord, LayerState, Origin, Progress, Repaired, Store, Unrepaired,
    chain_ids, rebuild,
};

const BUFFER_BYTES: usize = 256 << 10;

/// Where the bytes of damaged layers may be had from.
pub trait Originals: Sync {
    /// Opens the layer with the diff id, packed or plain; `None` where it is not there.
    ///
    /// # Errors
    /// The source's own.
    fn open(&self, diff_id: &Digest) -> io::Result<Option<Box<dyn Read + Send>>>;
}

/// There is no source: only what the store itself has.
impl Originals for () {
    fn open(&self, _diff_id: &Digest) -> io::Result<Option<Box<dyn Read + Send>>> {
        Ok(None)
    }
}

/// The bytes of a layer, and where they are from.
type Found = (Box<dyn Read + Send>, Origin);

/// A repair under way.
struct Repair<'a> {
    store: &'a Store,
    originals: &'a dyn Originals,
    progress: &'a dyn Progress,
    lease: Lease,
    repaired: Repaired,
    /// Folders of the driver that no record knows, by the diff id that they were found to have.
    unknown: Option<HashMap<Digest, LayerId>>,
    /// Chains that could not be restored: said once.
    given_up: HashSet<Digest>,
}

impl Store {
    /// Makes every layer anew that is marked as damaged or that an image lacks, from what the store itself still has or from `originals`.
    /// Run a [`check`](Self::check) before, which finds and marks what is damaged. Layers that are sound are not touched.
    ///
    /// # Errors
    /// Those of reading and writing the records. That a layer cannot be restored is no error; the answer names it.
    pub fn repair(&self, originals: &dyn Originals, progress: &dyn Progress) -> Result<Repaired, GraphError> {
        let lease = Lease::begin(&self.inner, "repair")?;
        self.inner.database.write_without_sync(|transaction| lease.record(transaction))?;
        let (unknown, given_up, repaired) = (None, HashSet::new(), Repaired::default());
        let mut repair = Repair { store: self, originals, progress, lease, repaired, unknown, given_up };
        for image in self.images()? {
            repair.image(&image)?;
        }
        repair.other_layers()?;
        repair.containers()?;
        repair.sweep()?;
        Ok(repair.repaired)
    }
}

impl Repair<'_> {
    /// Brings together the layers that an image's config names, restoring those that are not there.
    fn image(&mut self, image: &ImageRecord) -> Result<(), GraphError> {
        let diff_ids = match diff_ids_of(&image.config) {
            Ok(diff_ids) => diff_ids,
            Err(reason) => {
                let what = format!("image {}", image.id);
                self.repaired.unrepaired.push(Unrepaired { what, reason });
                return Ok(());
            }
        };
        let chain = chain_ids(&diff_ids);
        let mut ids: Vec<LayerId> = Vec::with_capacity(chain.len());
        for (diff_id, chain_id) in diff_ids.iter().zip(&chain) {
            match self.layer(diff_id, chain_id, ids.last(), Keeper::Lease)? {
                Some(id) => ids.push(id),
                None => return Ok(()),
            }
        }
        let is_whole = image.layers.iter().map(|layer| &layer.id).eq(&ids)
            && image
                .layers
                .iter()
                .zip(std::iter::once(None).chain(ids.iter().map(Some)))
                .all(|(layer, below)| layer.parent.as_ref() == below);
        if is_whole {
            return Ok(());
        }
        self.store.inner.database.write(|transaction| {
            if images::by_id(transaction, &image.id)?.is_none() {
                return Ok(());
            }
            for (id, below) in ids.iter().zip(std::iter::once(None).chain(ids.iter().map(Some))) {
                layers::set_parent(transaction, id, below)?;
            }
            let whole = NewImage {
                id: image.id,
                manifest: &image.manifest,
                manifest_media_type: &image.manifest_media_type,
                config: &image.config,
                layers: &ids,
                names: &[],
            };
            images::put(transaction, &whole, self.store.now())
        })
    }

    /// Layers that no image has: those kept by hand, and those that others stand on.
    fn other_layers(&mut self) -> Result<(), GraphError> {
        let records = self.store.layers()?;
        let mut damaged: Vec<LayerRecord> =
            records.into_iter().filter(|record| record.state == LayerState::Damaged).collect();
        // Those below come first: what stands on a restored one has it as its parent by then.
        while !damaged.is_empty() {
            let waiting: HashSet<LayerId> = damaged.iter().map(|record| record.id.clone()).collect();
            let is_ready =
                |record: &LayerRecord| record.parent.as_ref().is_none_or(|parent| !waiting.contains(parent));
            let (ready, later): (Vec<_>, Vec<_>) = damaged.into_iter().partition(is_ready);
            if ready.is_empty() {
                break;
            }
            for record in ready {
                self.other_layer(&record)?;
            }
            damaged = later;
        }
        Ok(())
    }

    fn other_layer(&mut self, record: &LayerRecord) -> Result<(), GraphError> {
        let (Some(diff_id), Some(chain_id)) = (record.diff_id, record.chain_id) else {
            let reason = "what was written into it is nowhere else".to_owned();
            self.repaired.unrepaired.push(Unrepaired { what: format!("layer {}", record.id), reason });
            return Ok(());
        };
        // Its parent may have been replaced since the list was made.
        let read = |transaction: &Transaction<'_>| {
            let row = layers::by_id(transaction, &record.id)?.map(|row| row.record);
            let (by, parent) = (layers::by_chain(transaction, &chain_id)?, row.and_then(|row| row.parent));
            let is_needed = !crate::database::references::users(transaction, &record.id, "", &|_| Ok(false))?
                .is_empty()
                || record.pinned;
            Ok((by.is_none() && is_needed, parent))
        };
        let (is_lacking, parent) = self.store.inner.database.read(read)?;
        if is_lacking {
            let keeper = if record.pinned { Keeper::Pin } else { Keeper::Lease };
            self.layer(&diff_id, &chain_id, parent.as_ref(), keeper)?;
        }
        Ok(())
    }

    /// The layer of that chain: the one that is there, or one made anew on `parent`; `None` where that cannot be.
    fn layer(
        &mut self,
        diff_id: &Digest,
        chain_id: &Digest,
        parent: Option<&LayerId>,
        keeper: Keeper,
    ) -> Result<Option<LayerId>, GraphError> {
        let inner = &self.store.inner;
        let held = inner.database.write_without_sync(|transaction| {
            let row = layers::by_chain(transaction, chain_id)?;
            let Some(row) = row.filter(|row| row.record.state == LayerState::Committed) else {
                return Ok(None);
            };
            self.lease.hold(transaction, &row.record.id)?;
            Ok(Some(row.record.id))
        })?;
        if held.is_some() || self.given_up.contains(chain_id) {
            return Ok(held);
        }
        let made = match self.bytes_of(diff_id)? {
            None => Err("none of its files, no other layer and no source has its bytes".to_owned()),
            Some((bytes, origin)) => {
                let single = Single { lease: &self.lease, parent, expected: Some(*diff_id), keeper };
                inner
                    .import_single(&single, bytes, self.progress)
                    .map(|record| (record.id, origin))
                    .map_err(|error| crate::verify::in_one_line(&error))
            }
        };
        match made {
            Ok((layer, origin)) => {
                self.repaired.restored.push((layer.clone(), origin));
                Ok(Some(layer))
            }
            Err(reason) => {
                self.given_up.insert(*chain_id);
                let what = format!("the layer with the diff id {diff_id}");
                self.repaired.unrepaired.push(Unrepaired { what, reason });
                Ok(None)
            }
        }
    }

    /// The bytes of a layer: verified ones of the store's own, or unverified ones of the source.
    fn bytes_of(&mut self, diff_id: &Digest) -> Result<Option<Found>, GraphError> {
        let read = |transaction: &Transaction<'_>| layers::by_diff_id(transaction, diff_id);
        for record in self.store.inner.database.read(read)? {
            if let Some(tar) = self.rebuilt(&record.id, Some(diff_id))? {
                return Ok(Some((Box::new(tar.0), Origin::OwnFiles)));
            }
        }
        match self.originals.open(diff_id) {
            Ok(Some(bytes)) => return Ok(Some((bytes, Origin::Source))),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, %diff_id, "the source does not give the layer"),
        }
        let Some(id) = self.unknown_layer(diff_id)? else { return Ok(None) };
        let tar = self.rebuilt(&id, Some(diff_id))?;
        Ok(tar.map(|(tar, _)| (Box::new(tar) as Box<dyn Read + Send>, Origin::UnknownFolder)))
    }

    /// The tar that a layer's files and recipe give, in a file without a name; `None` where they give none, or another one.
    fn rebuilt(&self, id: &LayerId, expected: Option<&Digest>) -> Result<Option<(File, Digest)>, GraphError> {
        let inner = &self.store.inner;
        // The content of a layer on vfs and overlay2 is its own folder, whatever it stands on; other drivers have their chain on record.
        let parents = inner.database.read(|transaction| layers::chain(transaction, id))?;
        let parents = parents.get(1..).unwrap_or_default();
        let Ok(contents) = inner.driver.contents(LayerRef::new(id, parents)) else { return Ok(None) };
        let mut tar = inner.scratch()?;
        let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut tar);
        let measured = match rebuild::rebuild(inner, id, &contents, &mut buffered) {
            Ok(measured) => measured,
            Err(error @ GraphError::Output { .. }) => return Err(error),
            Err(_) => return Ok(None),
        };
        let failed = || GraphError::io::<io::Error>("write", inner.temporary.path());
        buffered.flush().map_err(failed())?;
        drop(buffered);
        if expected.is_some_and(|expected| *expected != measured.digest) {
            return Ok(None);
        }
        tar.seek(SeekFrom::Start(0)).map_err(failed())?;
        Ok(Some((tar, measured.digest)))
    }

    fn unknown_layer(&mut self, diff_id: &Digest) -> Result<Option<LayerId>, GraphError> {
        if self.unknown.is_none() {
            let mut found = HashMap::new();
            for id in self.store.inner.leftovers()?.unknown {
                if let Some((_, digest)) = self.rebuilt(&id, None)? {
                    found.insert(digest, id);
                }
            }
            self.unknown = Some(found);
        }
        Ok(self.unknown.as_ref().and_then(|unknown| unknown.get(diff_id).cloned()))
    }

    /// Containers whose layer is there, and only its row is not, get that back; others are named.
    fn containers(&mut self) -> Result<(), GraphError> {
        let inner = &self.store.inner;
        let listed: HashSet<LayerId> = inner.driver.layers()?.into_iter().collect();
        for container in self.store.containers()? {
            let row = inner.database.read(|transaction| layers::by_id(transaction, &container.layer))?;
            match row.map(|row| row.record.state) {
                Some(LayerState::Writable) => {}
                None if listed.contains(&container.layer) => {
                    inner.database.write(|transaction| {
                        let image =
                            container.image.map(|image| images::by_id(transaction, &image)).transpose()?;
                        let top =
                            image.flatten().and_then(|image| image.layers.last().map(|top| top.id.clone()));
                        layers::insert_writable(
                            transaction,
                            &container.layer,
                            top.as_ref(),
                            container.created,
                        )
                    })?;
                    self.repaired.restored.push((container.layer.clone(), Origin::UnknownFolder));
                }
                _ => {
                    let reason = "what was written into it is nowhere else".to_owned();
                    let what = format!("the layer of the container {}", container.name);
                    self.repaired.unrepaired.push(Unrepaired { what, reason });
                }
            }
        }
        Ok(())
    }

    /// Removes the damaged layers that others have replaced.
    fn sweep(&mut self) -> Result<(), GraphError> {
        let inner = &self.store.inner;
        let retired = inner.database.write(|transaction| {
            let damaged = layers::all(transaction)?.into_iter().map(|row| row.record);
            let damaged = damaged.filter(|record| record.state == LayerState::Damaged);
            let ids: Vec<LayerId> = damaged.map(|record| record.id).rev().collect();
            inner.retire_unused(transaction, &ids, &self.lease)
        })?;
        inner.sweep(&retired, &self.lease)?;
        self.repaired.replaced = retired;
        Ok(())
    }
}
