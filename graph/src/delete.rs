//! How layers go: marked with the reference check in one transaction, removed outside every lock, then dropped.

use plywood_graphdriver::LayerId;
use rusqlite::Transaction;

use crate::GraphError;
use crate::database::layers as rows;
use crate::database::references;
use crate::lease::Lease;
use crate::store::Inner;

/// The ending of the recipe that settling writes before it takes the place of the first one.
pub(crate) const NEW_RECIPE: &str = ".new";

impl Inner {
    /// Marks those of `candidates` as deleting that nothing needs any more, and answers them. Children come before
    /// their parents in `candidates`.
    pub(crate) fn retire_unused(
        &self,
        transaction: &Transaction<'_>,
        candidates: &[LayerId],
        lease: &Lease,
    ) -> Result<Vec<LayerId>, GraphError> {
        let mut retired = Vec::new();
        for id in candidates {
            let pinned = references::is_pinned(transaction, id)?;
            if !pinned && self.users(transaction, id, lease)?.is_empty() {
                rows::mark_deleting(transaction, id, lease.id())?;
                retired.push(id.clone());
            }
        }
        Ok(retired)
    }

    /// Everything that needs the layer, in words, apart from this lease.
    pub(crate) fn users(
        &self,
        transaction: &Transaction<'_>,
        id: &LayerId,
        lease: &Lease,
    ) -> Result<Vec<String>, GraphError> {
        references::users(transaction, id, lease.id(), &|other| self.is_alive(other))
    }

    /// Removes layers that the lease marked as deleting, and drops their rows. A layer that cannot be removed stays
    /// marked, for the next recovery; the others go all the same, and the first error is answered.
    pub(crate) fn sweep(&self, layers: &[LayerId], lease: &Lease) -> Result<(), GraphError> {
        let (mut first_error, mut gone) = (Ok(()), Vec::new());
        for id in layers {
            match self.remove_files(id) {
                Ok(()) => gone.push(id.clone()),
                Err(error) => {
                    tracing::warn!(layer = %id, %error, "layer left for the next recovery");
                    first_error = first_error.and(Err(error));
                }
            }
        }
        first_error.and(self.drop_rows(&gone, lease))
    }

    /// Removes what a layer has outside of the records.
    pub(crate) fn remove_files(&self, id: &LayerId) -> Result<(), GraphError> {
        self.driver.remove(id)?;
        self.recipes.remove_file(id.as_str())?;
        self.recipes.remove_file(&format!("{id}{NEW_RECIPE}")).map(drop)
    }

    /// Drops the rows of layers whose files are removed. The removal is brought to the disk first: a power cut that took it back, and not
    /// the row's, would leave a folder that nobody knows.
    pub(crate) fn drop_rows(&self, layers: &[LayerId], lease: &Lease) -> Result<(), GraphError> {
        if layers.is_empty() {
            return Ok(());
        }
        self.make_durable(self.durability_witness()?.as_ref())?;
        // A row that a power cut brings back is one of a layer that is gone: it is dropped again.
        self.database.write_without_sync(|transaction| {
            layers.iter().try_for_each(|id| rows::drop_deleted(transaction, id, lease.id()))
        })
    }

    /// Undoes what the lease staged: nothing of it remains. Layers that the lease does not stage any more are left alone,
    /// so a commit whose answer was lost is not undone.
    pub(crate) fn abandon(&self, staged: &[LayerId], lease: &Lease) {
        let _room = self.reserve.make_room();
        let marked = self.database.write_without_sync(|transaction| {
            let mut marked = Vec::new();
            for id in staged {
                let row = rows::by_id(transaction, id)?;
                if row.is_some_and(|row| row.is_staged_by(lease.id())) {
                    rows::mark_deleting(transaction, id, lease.id())?;
                    marked.push(id.clone());
                }
            }
            Ok(marked)
        });
        if let Err(error) = marked.and_then(|marked| self.sweep(&marked, lease)) {
            tracing::warn!(%error, "staged layers left for the next recovery");
        }
    }
}
