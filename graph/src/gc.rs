//! Garbage collection: layers that nothing needs, and what recovery finds.

use plywood_graphdriver::LayerId;

use crate::database::{layers, references};
use crate::lease::Lease;
use crate::recovery::Unknown;
use crate::{GraphError, LayerRecord, Reclaimed, Store};

impl Store {
    /// Frees every layer that no image, container, pin, mount or live lease needs, and everything that recovery would.
    /// With `dry_run` nothing is changed, and the answer says what would be freed.
    ///
    /// # Errors
    /// The first one met; what could not be removed stays for the next time.
    pub fn gc(&self, dry_run: bool) -> Result<Reclaimed, GraphError> {
        if dry_run { self.reclaimable() } else { self.reclaim() }
    }

    fn reclaimable(&self) -> Result<Reclaimed, GraphError> {
        let leftovers = self.inner.leftovers()?;
        let mut reclaimed = Reclaimed {
            recipes: leftovers.recipes.len() as u64,
            temporary: self.inner.recover_files(true)?,
            bytes: self.inner.measure_leftovers(&leftovers),
            layers: Vec::new(),
        };
        add(&mut reclaimed, self.garbage()?);
        reclaimed.layers.extend(leftovers.abandoned);
        reclaimed.layers.extend(leftovers.unknown);
        Ok(reclaimed)
    }

    fn reclaim(&self) -> Result<Reclaimed, GraphError> {
        let _room = self.inner.reserve.make_room();
        let recovered = self.recover(Unknown::Remove)?;
        let mut reclaimed = Reclaimed {
            recipes: recovered.recipes,
            temporary: recovered.temporary,
            bytes: recovered.bytes,
            layers: Vec::new(),
        };
        let lease = Lease::begin(&self.inner, "garbage collection")?;
        let garbage = self.inner.database.write(|transaction| {
            lease.record(transaction)?;
            let garbage = references::garbage(transaction, &|lease| self.inner.is_alive(lease))?;
            for record in &garbage {
                layers::mark_deleting(transaction, &record.id, lease.id())?;
            }
            Ok(garbage)
        })?;
        let ids: Vec<LayerId> = garbage.iter().map(|record| record.id.clone()).collect();
        self.inner.sweep(&ids, &lease)?;
        add(&mut reclaimed, garbage);
        reclaimed.layers.extend(recovered.layers);
        Ok(reclaimed)
    }

    /// The layers that nothing needs now.
    pub(crate) fn garbage(&self) -> Result<Vec<LayerRecord>, GraphError> {
        self.inner
            .database
            .read(|transaction| references::garbage(transaction, &|lease| self.inner.is_alive(lease)))
    }
}

fn add(reclaimed: &mut Reclaimed, garbage: Vec<LayerRecord>) {
    for record in garbage {
        reclaimed.bytes += record.size_bytes;
        reclaimed.layers.push(record.id);
    }
}
