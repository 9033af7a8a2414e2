//! How layers go: marked with the reference check in one transaction, removed outside every lock, then dropped.

use plywood_graphdriver::LayerId;
use rusqlite::Transaction;

use crate::GraphError;
use crate::database::{layers, references};
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
                layers::mark_deleting(transaction, id, lease.id())?;
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
        let mut first_error = Ok(());
        for id in layers {
            if let Err(error) = self.sweep_one(id, lease) {
                tracing::warn!(layer = %id, %error, "layer left for the next recovery");
                first_error = first_error.and(Err(error));
            }
        }
        first_error
    }

    fn sweep_one(&self, id: &LayerId, lease: &Lease) -> Result<(), GraphError> {
        self.driver.remove(id)?;
        self.recipes.remove_file(id.as_str())?;
        self.recipes.remove_file(&format!("{id}{NEW_RECIPE}"))?;
        self.database.write(|transaction| layers::drop_deleted(transaction, id, lease.id()))
    }

    /// Undoes what the lease staged: nothing of it remains. Layers that the lease does not stage any more are left alone,
    /// so a commit whose answer was lost is not undone.
    pub(crate) fn abandon(&self, staged: &[LayerId], lease: &Lease) {
        let marked = self.database.write(|transaction| {
            let mut marked = Vec::new();
            for id in staged {
                let row = layers::by_id(transaction, id)?;
                if row.is_some_and(|row| row.is_staged_by(lease.id())) {
                    layers::mark_deleting(transaction, id, lease.id())?;
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
