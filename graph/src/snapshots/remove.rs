//! Snapshots removed: at once from the records, and their layers from the disk when there is time.

use plywood_graphdriver::LayerId;

use super::found;
use crate::database::{layers, references, snapshots};
use crate::lease::Lease;
use crate::{GraphError, Store};

/// Layers that nobody can reach any more, still on the disk. [`finish`](Self::finish) frees them; where that is not done, the next recovery does
/// it.
#[derive(Debug)]
#[must_use = "the space is taken until it is finished"]
pub struct Removal {
    lease: Lease,
    layers: Vec<LayerId>,
}

impl Removal {
    /// Takes charge of layers that the lease marked as deleting.
    pub(super) fn new(lease: Lease, layers: Vec<LayerId>) -> Self {
        Self { lease, layers }
    }

    /// Frees what the removals are of. Those that cannot be freed, because somebody still has them mounted, are answered, each with the
    /// reason, to be tried again.
    ///
    /// # Errors
    /// Those of writing the records; the layers then stay for the next recovery.
    pub fn finish(removals: Vec<Self>) -> Result<Vec<(Self, GraphError)>, GraphError> {
        let (mut done, mut left) = (Vec::new(), Vec::new());
        if let Some(removal) = removals.first() {
            // A power cut may bring back a snapshot, but only a whole one.
            removal.lease.inner().database.sync()?;
        }
        for removal in removals {
            match removal.layers.iter().try_for_each(|id| removal.lease.inner().driver.remove(id)) {
                Ok(()) => done.push(removal),
                Err(error) => left.push((removal, error.into())),
            }
        }
        if let Some(first) = done.first() {
            let inner = first.lease.inner();
            // As everywhere: the files are gone for good before their rows are.
            inner.make_durable(inner.durability_witness()?.as_ref())?;
            // Where a power cut takes this back, the rows are still in deleting, and recovery finds nothing to remove.
            first.lease.inner().database.write_without_sync(|transaction| {
                for Self { lease, layers } in &done {
                    for id in layers {
                        layers::drop_deleted(transaction, id, lease.id())?;
                    }
                    lease.drop_row(transaction)?;
                }
                Ok(())
            })?;
        }
        for removal in done {
            removal.lease.ended_unawaited();
        }
        Ok(left)
    }
}

impl Store {
    /// Removes a snapshot: its key is free from now on. Where nothing else has its layer, what is left to do is answered.
    ///
    /// A power cut may bring the snapshot back, whole, until [`Removal::finish`] or the next durable change of the records: an engine
    /// finds it then as one that it does not know, and removes it anew.
    ///
    /// # Errors
    /// `InUse` where another snapshot stands on it, or an operation on it is going on; `NotFound`.
    pub fn remove_snapshot(&self, key: &str) -> Result<Option<Removal>, GraphError> {
        let _room = self.inner.reserve.make_room();
        let lease = Lease::begin(&self.inner, "remove snapshot")?;
        let retired = self.inner.database.write_without_sync(|transaction| {
            let record = found(transaction, key)?;
            let in_use = |by| GraphError::InUse { what: "snapshot", name: key.to_owned(), by };
            let children = snapshots::children(transaction, key)?;
            if !children.is_empty() {
                let by = children.iter().map(|child| format!("snapshot {}", child.key)).collect();
                return Err(in_use(by));
            }
            let is_alive = |lease: &str| self.inner.is_alive(lease);
            let row = layers::by_id(transaction, &record.layer)?;
            let sealing = row.as_ref().and_then(|row| row.lease.as_deref());
            if references::is_held(transaction, &record.layer, lease.id(), &is_alive)?
                || self.inner.is_worked_on(sealing)?
            {
                return Err(in_use(vec!["an operation that is going on".to_owned()]));
            }
            snapshots::delete(transaction, key)?;
            let by = self.inner.users(transaction, &record.layer, &lease)?;
            let pinned = references::is_pinned(transaction, &record.layer)?;
            if row.is_none() || pinned || !by.is_empty() {
                return Ok(None);
            }
            lease.record(transaction)?;
            layers::mark_deleting(transaction, &record.layer, lease.id())?;
            Ok(Some(record.layer))
        })?;
        let Some(layer) = retired else {
            lease.ended_unawaited();
            return Ok(None);
        };
        Ok(Some(Removal::new(lease, vec![layer])))
    }
}
