//! The one commit point of an import.

use plywood_graphdriver::LayerId;
use rusqlite::Transaction;

use super::{Import, Slot};
use crate::database::images::{self, NewImage};
use crate::database::layers::{self, Commit};
use crate::{Event, GraphError, LayerState};

impl Import<'_> {
    /// Makes everything durable, then commits all layers, the image and its names at once, and drops the lease's row.
    pub(super) fn commit(&self) -> Result<(), GraphError> {
        let staged = self.claimed().count();
        self.progress.report(Event::Committing { layers: staged });
        if staged > 0 {
            self.inner.make_durable(self.witness.as_ref())?;
        }
        self.inner.database.write(|transaction| self.commit_records(transaction))
    }

    fn commit_records(&self, transaction: &Transaction<'_>) -> Result<(), GraphError> {
        let ids: Vec<LayerId> = self.slots.iter().map(|slot| slot.id().clone()).collect();
        for (index, slot) in self.slots.iter().enumerate() {
            let parent = index.checked_sub(1).map(|below| &ids[below]);
            self.commit_layer(transaction, index, slot, parent)?;
        }
        let image = NewImage {
            id: self.image,
            manifest: &self.plan.manifest,
            manifest_media_type: &self.plan.manifest_media_type,
            config: &self.plan.config,
            layers: &ids,
            names: &self.plan.names,
        };
        images::put(transaction, &image, self.inner.now())?;
        self.lease.drop_row(transaction)
    }

    fn commit_layer(
        &self,
        transaction: &Transaction<'_>,
        index: usize,
        slot: &Slot,
        parent: Option<&LayerId>,
    ) -> Result<(), GraphError> {
        let lost = |what: &str| {
            let reason = format!("layer {index} was {what} by another process meanwhile");
            Err(GraphError::Busy { operation: "commit image", reason })
        };
        match slot {
            Slot::Claimed(id, Some(unpacked)) => {
                let chain_id = self.chain_ids[index];
                // Where only the diff id was announced, the packed bytes are this transport's own and mean nothing.
                let packed = self.plan.layers[index].packed;
                let (diff_id, usage) = (unpacked.diff_id, unpacked.usage);
                let commit = Commit { id, parent, diff_id, chain_id, usage, packed };
                if !layers::commit(transaction, &commit, self.lease.id())? {
                    return lost("taken away");
                }
                layers::replace_damaged(transaction, &chain_id, id)
            }
            Slot::Held(id) => {
                let state = layers::by_id(transaction, id)?.map(|row| row.record.state);
                if state != Some(LayerState::Committed) {
                    return lost("marked damaged");
                }
                // The parent differs where it was damaged and is made anew by this import.
                layers::set_parent(transaction, id, parent)
            }
            Slot::Claimed(_, None) | Slot::Awaited(_) => lost("left behind"),
        }
    }
}
