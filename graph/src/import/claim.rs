//! Claiming the layers of an image, and waiting for those that others claimed.

use std::time::Duration;

use plywood_graphdriver::LayerId;
use rusqlite::Transaction;

use super::{Import, Slot};
use crate::database::layers::{self, LayerRow};
use crate::database::leases;
use crate::random::random_layer_id;
use crate::store::Inner;
use crate::{Event, GraphError, LayerState};

/// Waiting begins with short pauses: most layers are small.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Nobody notices so much at the end of a large layer, and ten who wait look 250 times a second in all.
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// What came of looking at one layer.
#[derive(Debug)]
pub(super) enum Claim {
    Settled,
    BeginAnew,
}

/// A claim within a transaction: the slot it gives, and a dead lease's layer that is in the way.
struct Claimed {
    slot: Slot,
    reaped: Option<LayerId>,
}

impl Import<'_> {
    /// Records the lease and claims every layer, in one transaction.
    pub(super) fn claim_all(&mut self) -> Result<(), GraphError> {
        let (sequence, claims) = self.inner.database.write(|transaction| {
            let sequence = self.lease.record(transaction)?;
            let claims = (0..self.chain_ids.len()).map(|index| self.claim(transaction, index));
            Ok((sequence, claims.collect::<Result<Vec<_>, _>>()?))
        })?;
        self.sequence = sequence;
        let mut reaped = Vec::new();
        for claim in claims {
            self.slots.push(claim.slot);
            reaped.extend(claim.reaped);
        }
        self.sweep_reaped(&reaped);
        Ok(())
    }

    fn claim(&self, transaction: &Transaction<'_>, index: usize) -> Result<Claimed, GraphError> {
        let found = layers::by_chain(transaction, &self.chain_ids[index])?;
        let mut reaped = None;
        if let Some(LayerRow { record, lease }) = found {
            if record.state == LayerState::Committed {
                self.lease.hold(transaction, &record.id)?;
                return Ok(Claimed { slot: Slot::Held(record.id), reaped });
            }
            if self.inner.is_worked_on(lease.as_deref())? {
                return Ok(Claimed { slot: Slot::Awaited(record.id), reaped });
            }
            layers::mark_deleting(transaction, &record.id, self.lease.id())?;
            reaped = Some(record.id);
        }
        let id = random_layer_id()?;
        let chain = (&self.plan.layers[index].diff_id, &self.chain_ids[index]);
        layers::insert_staging(transaction, &id, Some(chain), self.lease.id(), self.inner.now())?;
        Ok(Claimed { slot: Slot::Claimed(id, None), reaped })
    }

    /// What a dead process left is removed; where that fails it is recovery's, and not this import's.
    fn sweep_reaped(&self, reaped: &[LayerId]) {
        if let Err(error) = self.inner.sweep(reaped, &self.lease) {
            tracing::warn!(%error, "layers of an ended process left for the next recovery");
        }
    }

    /// Waits until the layer at `index` is committed, or is ours to unpack because its owner failed.
    pub(super) fn wait_for(&mut self, index: usize) -> Result<Claim, GraphError> {
        let mut pause = FIRST_PAUSE;
        while let Slot::Awaited(awaited) = &self.slots[index] {
            if self.progress.is_cancelled() {
                return Err(super::cancelled());
            }
            if self.is_still_staged(awaited)? {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            let (claim, later) = self.inner.database.write(|transaction| {
                let claim = self.claim(transaction, index)?;
                let later = self.is_later(transaction, &claim.slot)?;
                Ok((claim, later))
            })?;
            self.slots[index] = claim.slot;
            self.sweep_reaped(claim.reaped.as_slice());
            if later {
                return Ok(Claim::BeginAnew);
            }
            if matches!(self.slots[index], Slot::Held(_)) {
                self.progress
                    .report(Event::LayerReused { index, diff_id: Some(&self.plan.layers[index].diff_id) });
            }
        }
        Ok(Claim::Settled)
    }

    fn is_still_staged(&self, id: &LayerId) -> Result<bool, GraphError> {
        let row = self.inner.database.read(|transaction| layers::by_id(transaction, id))?;
        self.inner.is_staged(row.as_ref())
    }

    /// Whether the slot waits for a lease that began after this one.
    fn is_later(&self, transaction: &Transaction<'_>, slot: &Slot) -> Result<bool, GraphError> {
        let Slot::Awaited(id) = slot else { return Ok(false) };
        let owner = layers::by_id(transaction, id)?.and_then(|row| row.lease);
        let place = match owner {
            Some(owner) => leases::sequence(transaction, &owner)?,
            None => None,
        };
        Ok(place.is_some_and(|place| place > self.sequence))
    }
}

impl Inner {
    /// Whether a living owner is staging the layer.
    pub(super) fn is_staged(&self, row: Option<&LayerRow>) -> Result<bool, GraphError> {
        match row {
            Some(row) if row.record.state == LayerState::Staging => self.is_worked_on(row.lease.as_deref()),
            _ => Ok(false),
        }
    }

    /// Waits until nobody stages the layer any more.
    pub(super) fn wait_until_settled(&self, id: &LayerId) -> Result<(), GraphError> {
        let mut pause = FIRST_PAUSE;
        while self.is_staged(self.database.read(|transaction| layers::by_id(transaction, id))?.as_ref())? {
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}
