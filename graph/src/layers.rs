//! Single layers: made, applied, removed, listed, compared.

use std::io::{Read, Write};

use plywood_archive::digest::{Digest, Measured};
use plywood_graphdriver::{Access, Change, DriverResult, LayerId, LayerRef, Usage};
use rusqlite::Transaction;

use crate::database::layers;
use crate::import::{Keeper, Single};
use crate::lease::Lease;
use crate::random::random_layer_id;
use crate::store::Inner;
use crate::{GraphError, LayerRecord, LayerState, Progress, Store, lookup, rebuild};

impl Store {
    /// Makes a layer by hand: a writable one on `parent`, or a read-only view of it. It is pinned: kept until it is
    /// removed by hand.
    ///
    /// # Errors
    /// `NotFound` where the parent is not there, `Invalid` where it is not committed; the driver's.
    pub fn create_layer(&self, parent: Option<&LayerId>, access: Access) -> Result<LayerId, GraphError> {
        let lease = Lease::begin(&self.inner, "create layer")?;
        let state = match access {
            Access::ReadOnly => LayerState::View,
            Access::ReadWrite => LayerState::Writable,
        };
        let layer = self.inner.stage_snapshot(&lease, parent, access, Made::Durable, |transaction| {
            lease.record(transaction).map(drop)
        })?;
        self.inner
            .commit_snapshot(&lease, &layer, state, |transaction| layers::pin(transaction, &layer.id))?;
        lease.ended();
        Ok(layer.id)
    }

    /// Unpacks a layer's tar, packed or plain, on `parent`. The layer is committed and pinned: kept until it is
    /// removed by hand. Where the same layer is on the same chain already, that one is pinned and answered.
    ///
    /// # Errors
    /// As [`create_layer`](Self::create_layer), and those of the input.
    pub fn apply_layer(
        &self,
        parent: Option<&LayerId>,
        packed_or_plain: Box<dyn Read + Send>,
        progress: &dyn Progress,
    ) -> Result<LayerRecord, GraphError> {
        let lease = Lease::begin(&self.inner, "apply layer")?;
        self.inner.database.write_without_sync(|transaction| lease.record(transaction))?;
        let single = Single { lease: &lease, parent, expected: None, keeper: Keeper::Pin };
        self.inner.import_single(&single, packed_or_plain, progress)
    }

    /// Removes a layer made by hand.
    ///
    /// # Errors
    /// `InUse`, naming every user; `NotFound`.
    pub fn remove_layer(&self, id: &LayerId) -> Result<(), GraphError> {
        let _room = self.inner.reserve.make_room();
        let lease = Lease::begin(&self.inner, "remove layer")?;
        self.inner.database.write(|transaction| {
            lease.record(transaction)?;
            let row = layers::by_id(transaction, id)?.filter(|row| !is_passing(row.record.state));
            row.ok_or_else(|| not_found(id))?;
            let by = self.inner.users(transaction, id, &lease)?;
            if !by.is_empty() {
                return Err(GraphError::InUse { what: "layer", name: id.short().to_owned(), by });
            }
            layers::unpin(transaction, id)?;
            layers::mark_deleting(transaction, id, lease.id())
        })?;
        self.inner.sweep(std::slice::from_ref(id), &lease)
    }

    /// All layers, oldest first, those in staging and deleting included.
    ///
    /// # Errors
    /// Those of reading the records.
    pub fn layers(&self) -> Result<Vec<LayerRecord>, GraphError> {
        let rows = self.inner.database.read(|transaction| layers::all(transaction))?;
        Ok(rows.into_iter().map(|row| row.record).collect())
    }

    /// The layer whose id is `query` or begins with it (at least four digits).
    ///
    /// # Errors
    /// `NotFound`; `Ambiguous`, listing the candidates.
    pub fn layer(&self, query: &str) -> Result<LayerRecord, GraphError> {
        self.inner.database.read(|transaction| lookup::layer(transaction, query))
    }

    /// The layers that a layer stands on, nearest first, without itself.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn chain(&self, id: &LayerId) -> Result<Vec<LayerId>, GraphError> {
        self.inner.database.read(|transaction| parents(transaction, id))
    }

    /// Writes what turns the parent's tree into the layer's, as an uncompressed tar: see
    /// [`GraphDriver::diff`](plywood_graphdriver::GraphDriver::diff).
    ///
    /// # Errors
    /// `NotFound`; the driver's.
    pub fn diff(&self, id: &LayerId, tar: &mut dyn Write) -> Result<Usage, GraphError> {
        let (_lease, parents, _) = self.inner.hold_layer(id, "read layer")?;
        Ok(self.inner.driver.diff(LayerRef::new(id, &parents), tar)?)
    }

    /// Visits what differs from the parent, sorted by path.
    ///
    /// # Errors
    /// `NotFound`; the driver's, and the visitor's own.
    pub fn changes(
        &self,
        id: &LayerId,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> Result<(), GraphError> {
        let (_lease, parents, _) = self.inner.hold_layer(id, "read layer")?;
        Ok(self.inner.driver.changes(LayerRef::new(id, &parents), visit)?)
    }

    /// Writes a committed layer's tar, byte for byte as it came, rebuilt from its files and its recipe.
    ///
    /// # Errors
    /// `Corrupt` where the bytes do not have the layer's diff id; what was written is void then. `Invalid` for a layer
    /// that is not committed.
    pub fn layer_tar(&self, id: &LayerId, out: &mut dyn Write) -> Result<Measured, GraphError> {
        let (_lease, parents, record) = self.inner.hold_layer(id, "export layer")?;
        rebuild::layer_tar(&self.inner, &record, &parents, out)
    }
}

impl Inner {
    /// Holds a layer under a new lease; answers its parents, nearest first, and its record.
    pub(crate) fn hold_layer(
        self: &std::sync::Arc<Self>,
        id: &LayerId,
        purpose: &'static str,
    ) -> Result<(Lease, Vec<LayerId>, LayerRecord), GraphError> {
        // What is on a full disk can still be brought away.
        let _room = self.reserve.make_room();
        let lease = Lease::begin(self, purpose)?;
        let (parents, record) = self.database.write_without_sync(|transaction| {
            let row = layers::by_id(transaction, id)?.filter(|row| !is_passing(row.record.state));
            let record = row.ok_or_else(|| not_found(id))?.record;
            lease.record(transaction)?;
            lease.hold(transaction, id)?;
            Ok((parents(transaction, id)?, record))
        })?;
        Ok((lease, parents, record))
    }

    /// Stages a snapshot of `parent` and lets the driver make it. `first` is done first in the staging transaction.
    pub(crate) fn stage_snapshot(
        &self,
        lease: &Lease,
        parent: Option<&LayerId>,
        access: Access,
        made: Made,
        first: impl FnOnce(&Transaction<'_>) -> Result<(), GraphError>,
    ) -> Result<Snapshot, GraphError> {
        let witness = match made {
            Made::Durable => self.durability_witness()?,
            Made::Lasting => None,
        };
        let id = random_layer_id()?;
        let stage = |transaction: &Transaction<'_>| {
            first(transaction)?;
            let parents = hold_base(transaction, lease, parent)?;
            layers::insert_staging(transaction, &id, None, lease.id(), self.now())?;
            Ok(parents)
        };
        let parents = match made {
            Made::Durable => self.database.write(stage)?,
            // Synced with the commit, moments later: what a power cut leaves between them is an empty folder, for the collection.
            Made::Lasting => self.database.write_without_sync(stage)?,
        };
        let made = self.driver.snapshot(LayerRef::new(&id, &parents), access).map_err(GraphError::from);
        if let Err(error) = made.and_then(|()| self.make_durable(witness.as_ref())) {
            self.abandon(std::slice::from_ref(&id), lease);
            return Err(error);
        }
        Ok(Snapshot { id, parents })
    }

    /// Commits a snapshot, does `also` in the same transaction, and drops the lease's row.
    pub(crate) fn commit_snapshot(
        &self,
        lease: &Lease,
        layer: &Snapshot,
        state: LayerState,
        also: impl FnOnce(&Transaction<'_>) -> Result<(), GraphError>,
    ) -> Result<(), GraphError> {
        let committed = self.database.write(|transaction| {
            if !layers::settle_snapshot(transaction, &layer.id, layer.parents.first(), state, lease.id())? {
                let reason = "the layer was taken away by another process meanwhile".to_owned();
                return Err(GraphError::Busy { operation: "make layer", reason });
            }
            also(transaction)?;
            lease.drop_row(transaction)
        });
        if committed.is_err() {
            self.abandon(std::slice::from_ref(&layer.id), lease);
        }
        committed
    }
}

/// How well a snapshot is kept once it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// A power cut does not take it.
    Durable,
    /// The end of no process takes it.
    Lasting,
}

/// Refuses a layer that is damaged, or stands on one that is: its tree is not what it was.
pub(crate) fn check_sound(transaction: &Transaction<'_>, id: &LayerId) -> Result<(), GraphError> {
    match layers::damaged_in_chain(transaction, id)? {
        Some(damaged) => {
            let reason = "it was found damaged earlier".to_owned();
            Err(GraphError::Corrupt { what: format!("layer {}", damaged.short()), reason })
        }
        None => Ok(()),
    }
}

/// Holds what a snapshot is made on: a committed layer, or one that an engine sealed. Answers the snapshot's parents, nearest
/// first.
fn hold_base(
    transaction: &Transaction<'_>,
    lease: &Lease,
    parent: Option<&LayerId>,
) -> Result<Vec<LayerId>, GraphError> {
    if let Some(parent) = parent
        && layers::by_id(transaction, parent)?.is_some_and(|row| row.record.state == LayerState::Sealed)
    {
        check_sound(transaction, parent)?;
        lease.hold(transaction, parent)?;
        return layers::chain(transaction, parent);
    }
    hold_parent(transaction, lease, parent).map(|(parents, _)| parents)
}

/// Holds the parent of a layer that is to be unpacked. Answers the new layer's parents, nearest first, and the parent's
/// chain id.
pub(crate) fn hold_parent(
    transaction: &Transaction<'_>,
    lease: &Lease,
    parent: Option<&LayerId>,
) -> Result<(Vec<LayerId>, Option<Digest>), GraphError> {
    let Some(parent) = parent else { return Ok((Vec::new(), None)) };
    let record = layers::by_id(transaction, parent)?.ok_or_else(|| not_found(parent))?.record;
    if record.state != LayerState::Committed {
        let reason = format!(
            "layer {} is {}, and a parent has to be committed",
            parent.short(),
            record.state.as_str()
        );
        return Err(GraphError::Invalid { operation: "make layer", reason });
    }
    check_sound(transaction, parent)?;
    lease.hold(transaction, parent)?;
    Ok((layers::chain(transaction, parent)?, record.chain_id))
}

/// A snapshot in staging.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: LayerId,
    /// Nearest first.
    parents: Vec<LayerId>,
}

impl Snapshot {
    /// The layers it stands on, nearest first.
    pub(crate) fn parents(&self) -> &[LayerId] {
        &self.parents
    }
}

/// Whether a layer in the state is not there for anybody but whoever works on it.
pub(crate) fn is_passing(state: LayerState) -> bool {
    matches!(state, LayerState::Staging | LayerState::Deleting)
}

/// The parents of a layer, nearest first.
pub(crate) fn parents(transaction: &Transaction<'_>, id: &LayerId) -> Result<Vec<LayerId>, GraphError> {
    let mut chain = layers::chain(transaction, id)?;
    if chain.is_empty() {
        return Err(not_found(id));
    }
    chain.remove(0);
    Ok(chain)
}

pub(crate) fn not_found(id: &LayerId) -> GraphError {
    GraphError::NotFound { what: "layer", query: id.to_string() }
}
