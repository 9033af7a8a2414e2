//! Checking a store: records against the driver, the recipes and the mounts, and every byte of every layer.

use std::collections::{HashMap, HashSet};
use std::io;

use plywood_graphdriver::LayerId;

use crate::database::{self, images, layers, mounts, snapshots};
use crate::mounts::mounted_targets;
use crate::{
    CheckOptions, CheckReport, GraphError, LayerRecord, LayerState, Problem, SnapshotKind, SnapshotRecord,
    Store, rebuild,
};

/// A check under way.
struct Check<'a> {
    store: &'a Store,
    options: CheckOptions,
    visit: &'a mut dyn FnMut(Problem),
    report: CheckReport,
    /// Layers that their images cannot rely on.
    bad: HashSet<LayerId>,
}

impl Store {
    /// Checks the store, and visits every problem. Unless `quick`, each committed layer's tar is rebuilt and compared with
    /// its diff id. The store may be used meanwhile: what others are working on is no problem.
    ///
    /// # Errors
    /// Where the check itself cannot go on; problems of the store are no errors.
    pub fn check(
        &self,
        options: CheckOptions,
        visit: &mut dyn FnMut(Problem),
    ) -> Result<CheckReport, GraphError> {
        let mut check =
            Check { store: self, options, visit, report: CheckReport::default(), bad: HashSet::new() };
        check.database()?;
        check.leftovers()?;
        check.layers()?;
        check.images()?;
        check.snapshots()?;
        check.mounts()?;
        check.mark()?;
        Ok(check.report)
    }
}

impl Check<'_> {
    fn problem(&mut self, problem: Problem) {
        self.report.problems += 1;
        (self.visit)(problem);
    }

    fn database(&mut self) -> Result<(), GraphError> {
        for reason in self.store.inner.database.read(database::integrity)? {
            self.problem(Problem::Database { reason });
        }
        Ok(())
    }

    fn leftovers(&mut self) -> Result<(), GraphError> {
        let leftovers = self.store.inner.leftovers()?;
        for layer in leftovers.unknown {
            self.problem(Problem::LayerUnknown { layer });
        }
        for name in leftovers.recipes {
            self.problem(Problem::RecipeUnknown { name });
        }
        for layer in leftovers.missing {
            self.bad.insert(layer.clone());
            self.problem(Problem::LayerMissing { layer });
        }
        Ok(())
    }

    fn layers(&mut self) -> Result<(), GraphError> {
        for record in self.store.layers()? {
            self.report.layers += 1;
            match record.state {
                LayerState::Damaged => self.damaged(&record.id, "it was found damaged earlier".to_owned()),
                LayerState::Committed if !self.bad.contains(&record.id) => self.committed(&record)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn damaged(&mut self, id: &LayerId, reason: String) {
        self.bad.insert(id.clone());
        self.problem(Problem::LayerDamaged { layer: id.clone(), reason });
    }

    fn committed(&mut self, record: &LayerRecord) -> Result<(), GraphError> {
        let inner = &self.store.inner;
        // Held, so that nobody removes it half-way; one that was removed since the list was made is no problem.
        let (_lease, parents, record) = match inner.hold_layer(&record.id, "check") {
            Ok(held) => held,
            Err(GraphError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if inner.recipes.open_existing(record.id.as_str())?.is_none() {
            self.bad.insert(record.id.clone());
            self.problem(Problem::RecipeMissing { layer: record.id });
            return Ok(());
        }
        if self.options.quick {
            return Ok(());
        }
        match rebuild::layer_tar(inner, &record, &parents, &mut io::sink()) {
            Ok(measured) => self.report.bytes_verified += measured.size_bytes,
            Err(GraphError::Corrupt { reason, .. }) => self.damaged(&record.id, reason),
            Err(GraphError::Driver(error)) if error.kind == plywood_graphdriver::ErrorKind::Corrupt => {
                self.damaged(&record.id, format!("{error}: {}", error.source));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn images(&mut self) -> Result<(), GraphError> {
        for image in self.store.inner.database.read(|transaction| images::all(transaction))? {
            self.report.images += 1;
            let mut below: Option<&LayerId> = None;
            for layer in &image.layers {
                let complete = layer.state == LayerState::Committed
                    && layer.parent.as_ref() == below
                    && !self.bad.contains(&layer.id);
                if !complete {
                    self.problem(Problem::ImageIncomplete { image: image.id, layer: layer.id.clone() });
                }
                below = Some(&layer.id);
            }
        }
        Ok(())
    }

    fn snapshots(&mut self) -> Result<(), GraphError> {
        let read = |transaction: &rusqlite::Transaction<'_>| {
            let rows = layers::all(transaction)?.into_iter();
            let rows = rows.map(|row| (row.record.id.clone(), row.record)).collect::<HashMap<_, _>>();
            Ok((snapshots::all(transaction)?, rows))
        };
        let (snapshots, layers) = self.store.inner.database.read(read)?;
        let by_key: HashMap<&str, &SnapshotRecord> =
            snapshots.iter().map(|record| (record.key.as_str(), record)).collect();
        for snapshot in &snapshots {
            let below = snapshot.parent.as_deref().and_then(|parent| by_key.get(parent));
            let below = below.map(|parent| &parent.layer);
            let complete = layers.get(&snapshot.layer).is_some_and(|layer| {
                let own_tree = snapshot.kind != SnapshotKind::View || snapshot.parent.is_none();
                let on = if own_tree { layer.parent.as_ref() } else { Some(&snapshot.layer) };
                on == below && fits(snapshot, layer.state)
            });
            if !complete || self.bad.contains(&snapshot.layer) {
                let (key, layer) = (snapshot.key.clone(), snapshot.layer.clone());
                self.problem(Problem::SnapshotIncomplete { key, layer });
            }
        }
        Ok(())
    }

    fn mounts(&mut self) -> Result<(), GraphError> {
        let inner = &self.store.inner;
        let rows = inner.database.read(|transaction| mounts::all(transaction))?;
        if rows.is_empty() {
            return Ok(());
        }
        let mounted = mounted_targets()?;
        for row in rows {
            if !inner.is_worked_on(row.lease.as_deref())? && !mounted.contains(&row.record.target) {
                self.problem(Problem::MountGone { target: row.record.target });
            }
        }
        Ok(())
    }

    fn mark(&self) -> Result<(), GraphError> {
        if !self.options.mark || self.bad.is_empty() {
            return Ok(());
        }
        self.store.inner.database.write(|transaction| {
            self.bad.iter().try_for_each(|id| layers::mark_damaged(transaction, id).map(drop))
        })
    }
}

/// Whether a layer in the state can be that of the snapshot.
fn fits(snapshot: &SnapshotRecord, state: LayerState) -> bool {
    let lower = matches!(state, LayerState::Sealed | LayerState::Committed);
    match snapshot.kind {
        SnapshotKind::Active => state == LayerState::Writable,
        SnapshotKind::View => state == LayerState::View || lower,
        SnapshotKind::Committed => lower,
    }
}
