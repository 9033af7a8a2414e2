//! Active snapshots committed: their layer is sealed as the engine left it.

use plywood_graphdriver::{LayerId, LayerRef, Usage};
use rusqlite::Transaction;

use super::{NewSnapshot, Removal, SnapshotKind, SnapshotRecord, check_free, found};
use crate::database::{layers, snapshots};
use crate::lease::Lease;
use crate::store::Inner;
use crate::{GraphError, LayerState, Store};

/// An active snapshot that is being committed.
pub(super) struct Sealing {
    pub(super) record: SnapshotRecord,
    /// The layers that it will stand on, nearest first.
    pub(super) parents: Vec<LayerId>,
    /// The parent by key.
    parent: Option<String>,
}

impl Store {
    /// Commits the active snapshot `active` under the key in `new`: its layer is durable and read-only from then on. The labels are those
    /// in `new`; the old ones go. Where a parent is given and the snapshot was made without one, it stands on that from now on.
    ///
    /// Where a committed snapshot of another namespace has the same name, the same layer below and an equal tree, both have one
    /// layer from then on. What is to be removed because of that is answered.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists` where the name is taken; `Unfit` where `active` is not active or the parent not committed;
    /// `Invalid` where `active` has another parent already; `Unsupported` where the driver cannot give it one; `Busy` where somebody else
    /// is committing it.
    pub fn commit_snapshot(
        &self,
        new: &NewSnapshot<'_>,
        active: &str,
    ) -> Result<Option<Removal>, GraphError> {
        new.check_key("commit snapshot")?;
        let lease = Lease::begin(&self.inner, "commit snapshot")?;
        // The engine has written by now; a failure to write that back which nobody was told of yet is answered here too.
        let witness = self.inner.durability_witness()?;
        let begin = |tx: &Transaction<'_>| self.inner.begin_sealing(tx, new, active, &lease);
        let sealing = self.inner.database.write(begin)?;
        let durable = self.inner.make_durable(witness.as_ref());
        let is_lost = durable.is_err();
        let sealed = durable.and_then(|()| {
            let layer = LayerRef::new(&sealing.record.layer, &sealing.parents);
            let usage = self.inner.measure(layer)?;
            let twin = self.inner.twin(&sealing, new.key, &lease)?;
            self.inner
                .database
                .write(|tx| self.commit_sealed(tx, new, &sealing, usage, twin.as_ref(), &lease))
        });
        match sealed {
            Ok(Some(own)) => Ok(Some(Removal::new(lease, vec![own]))),
            Ok(None) => {
                // The commit is done; where this fails, recovery does it.
                self.inner.finish_one(&sealing.record.layer, &sealing.parents, &lease, Some(&lease))?;
                lease.ended();
                Ok(None)
            }
            Err(error) => {
                let undo = |tx: &Transaction<'_>| {
                    // The kernel does not tell a second time that a write failed, so a second commit must not be tried.
                    if is_lost {
                        layers::mark_damaged(tx, &sealing.record.layer)?;
                    }
                    layers::end_sealing(tx, &sealing.record.layer, lease.id())
                };
                if let Err(error) = self.inner.database.write(undo) {
                    tracing::warn!(%error, key = active, "a commit that failed is undone by the next recovery");
                }
                Err(error)
            }
        }
    }

    /// Writes the commit; answers the snapshot's own layer where it takes the one of its twin instead.
    fn commit_sealed(
        &self,
        transaction: &Transaction<'_>,
        new: &NewSnapshot<'_>,
        sealing: &Sealing,
        usage: Usage,
        twin: Option<&LayerId>,
        lease: &Lease,
    ) -> Result<Option<LayerId>, GraphError> {
        check_free(transaction, new.key)?;
        let active = found(transaction, &sealing.record.key)?;
        if let Some(parent) = &sealing.parent {
            committed(transaction, parent)?;
        }
        let own = &sealing.record.layer;
        if !layers::seal(transaction, own, sealing.parents.first(), usage, lease.id())? {
            let reason = "the layer was taken away by another process meanwhile".to_owned();
            return Err(GraphError::Busy { operation: "commit snapshot", reason });
        }
        snapshots::delete(transaction, &active.key)?;
        let now = self.now();
        let record = SnapshotRecord {
            key: new.key.to_owned(),
            parent: sealing.parent.clone(),
            kind: SnapshotKind::Committed,
            layer: twin.unwrap_or(own).clone(),
            labels: new.kept_labels(),
            created: now,
            updated: now,
        };
        snapshots::insert(transaction, &record)?;
        if twin.is_none() {
            return Ok(None);
        }
        layers::mark_deleting(transaction, own, lease.id())?;
        // What is removed later needs nobody, and nobody has to wait for that.
        lease.release(transaction)?;
        Ok(Some(own.clone()))
    }
}

impl Inner {
    /// Claims the layer of the snapshot, so that nobody else commits or removes it.
    fn begin_sealing(
        &self,
        transaction: &Transaction<'_>,
        new: &NewSnapshot<'_>,
        active: &str,
        lease: &Lease,
    ) -> Result<Sealing, GraphError> {
        let record = found(transaction, active)?;
        if record.kind != SnapshotKind::Active {
            return Err(record.unfit("is not active"));
        }
        check_free(transaction, new.key)?;
        let row = layers::by_id(transaction, &record.layer)?;
        if self.is_worked_on(row.and_then(|row| row.lease).as_deref())? {
            let reason = format!("snapshot '{active}' is being committed already");
            return Err(GraphError::Busy { operation: "commit snapshot", reason });
        }
        lease.record(transaction)?;
        if !layers::begin_sealing(transaction, &record.layer, lease.id())? {
            let reason = "its layer was found damaged".to_owned();
            return Err(GraphError::Corrupt { what: format!("snapshot '{active}'"), reason });
        }
        let parent = self.new_parent(transaction, &record, new)?;
        let parents = match &parent {
            Some(parent) => {
                let layer = committed(transaction, parent)?.layer;
                lease.hold(transaction, &layer)?;
                layers::chain(transaction, &layer)?
            }
            None => Vec::new(),
        };
        Ok(Sealing { record, parents, parent })
    }

    /// The parent after the commit: the one it was made on, or for one made on nothing the one that the commit names.
    fn new_parent(
        &self,
        transaction: &Transaction<'_>,
        record: &SnapshotRecord,
        new: &NewSnapshot<'_>,
    ) -> Result<Option<String>, GraphError> {
        match (&record.parent, new.parent) {
            (None, Some(parent)) => {
                committed(transaction, parent)?;
                if !self.driver.capabilities().native_diff {
                    let reason = format!(
                        "layers of the driver {} are whole trees: prepare the snapshot on its parent",
                        self.driver.name()
                    );
                    return Err(GraphError::Unsupported { operation: "commit snapshot on a parent", reason });
                }
                Ok(Some(parent.to_owned()))
            }
            (Some(own), Some(parent)) if own != parent => {
                let reason = format!("snapshot '{}' stands on '{own}', not on '{parent}'", record.key);
                Err(GraphError::Invalid { operation: "commit snapshot", reason })
            }
            (own, _) => Ok(own.clone()),
        }
    }

    /// Seals in the driver what the records have as sealed, and drops the row of the lease `ending`.
    fn finish_one(
        &self,
        layer: &LayerId,
        parents: &[LayerId],
        lease: &Lease,
        ending: Option<&Lease>,
    ) -> Result<(), GraphError> {
        self.driver.seal(LayerRef::new(layer, parents), None)?;
        // Where a power cut takes this back, recovery seals again, which changes nothing.
        self.database.write_without_sync(|transaction| {
            layers::end_sealing(transaction, layer, lease.id())?;
            ending.map_or(Ok(()), |lease| lease.drop_row(transaction))
        })
    }

    /// Finishes what processes that ended left of commits: where the records have the layer as sealed the driver is told again, and
    /// else the snapshot is active as before.
    pub(crate) fn finish_sealing(&self, unsealed: &[LayerId], lease: &Lease) -> Result<(), GraphError> {
        for id in unsealed {
            let claimed = self.database.write(|transaction| {
                let row = layers::by_id(transaction, id)?;
                let Some(row) = row else { return Ok(None) };
                let Some(old) = row.lease.filter(|_| row.record.state != LayerState::Deleting) else {
                    return Ok(None);
                };
                if self.is_alive(&old)? {
                    return Ok(None);
                }
                let parents = crate::layers::parents(transaction, id)?;
                if row.record.state == LayerState::Writable {
                    layers::end_sealing(transaction, id, &old)?;
                    return Ok(None);
                }
                layers::take_over(transaction, id, lease.id())?;
                Ok(Some(parents))
            })?;
            if let Some(parents) = claimed
                && let Err(error) = self.finish_one(id, &parents, lease, None)
            {
                tracing::warn!(layer = %id, %error, "sealing stays for the next recovery");
            }
        }
        Ok(())
    }
}

/// A snapshot that must be committed.
fn committed(transaction: &Transaction<'_>, key: &str) -> Result<SnapshotRecord, GraphError> {
    let record = found(transaction, key)?;
    if record.kind == SnapshotKind::Committed { Ok(record) } else { Err(record.unfit("is not committed")) }
}
