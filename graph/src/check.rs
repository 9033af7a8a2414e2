//! Checking a store: records against the driver, the recipes and the mounts, and every byte of every layer.

use std::collections::{HashMap, HashSet};

use plywood_archive::digest::Digest;
use plywood_graphdriver::LayerId;

use crate::chain;
use crate::database::{self, containers, images, layers, mounts, snapshots};
use crate::import::config_matches;
use crate::mounts::mounted_targets;
use crate::verify::{Copies, Verified};
use crate::{
    CheckOptions, CheckReport, GraphError, LayerRecord, LayerState, Problem, SnapshotKind, SnapshotRecord,
    Store,
};

/// A check under way.
struct Check<'a> {
    store: &'a Store,
    options: CheckOptions,
    visit: &'a mut dyn FnMut(Problem),
    report: CheckReport,
    /// Layers that their images cannot rely on.
    bad: HashSet<LayerId>,
    /// Layers that do not stand, by the records, on the chain that their chain id names.
    astray: HashSet<LayerId>,
}

impl Store {
    /// Checks the store, and visits every problem. Unless `quick`, each committed layer's tar is rebuilt, compared with
    /// its diff id, and unpacked once more, beside the layer, to compare the trees. The store may be used meanwhile: what others are
    /// working on is no problem.
    ///
    /// # Errors
    /// Where the check itself cannot go on; problems of the store are no errors.
    pub fn check(
        &self,
        options: CheckOptions,
        visit: &mut dyn FnMut(Problem),
    ) -> Result<CheckReport, GraphError> {
        let _room = self.inner.reserve.make_room();
        let mut check = Check {
            store: self,
            options,
            visit,
            report: CheckReport::default(),
            bad: HashSet::new(),
            astray: HashSet::new(),
        };
        check.database()?;
        check.leftovers()?;
        check.layers()?;
        check.images()?;
        check.containers()?;
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
        let mut copies = if self.options.quick { None } else { Some(Copies::begin(&self.store.inner)?) };
        let mut chain_ids: HashMap<LayerId, Option<Digest>> = HashMap::new();
        for record in parents_first(self.store.layers()?) {
            self.report.layers += 1;
            if !stands_right(&record, &chain_ids) {
                self.astray.insert(record.id.clone());
            }
            chain_ids.insert(record.id.clone(), record.chain_id);
            match record.state {
                LayerState::Damaged => self.damaged(&record.id, "it was found damaged earlier".to_owned()),
                LayerState::Committed if !self.bad.contains(&record.id) => {
                    self.committed(&record, copies.as_mut())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn damaged(&mut self, id: &LayerId, reason: String) {
        self.bad.insert(id.clone());
        self.problem(Problem::LayerDamaged { layer: id.clone(), reason });
    }

    fn committed(&mut self, record: &LayerRecord, copies: Option<&mut Copies>) -> Result<(), GraphError> {
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
        // On parents that are damaged themselves, or are not its own, a second unpacking proves nothing.
        let is_sound = |id: &LayerId| !self.bad.contains(id) && !self.astray.contains(id);
        let on_sound = parents.iter().all(is_sound) && !self.astray.contains(&record.id);
        match inner.verify(&record, &parents, copies.filter(|_| on_sound))? {
            Verified::Sound(measured) => self.report.bytes_verified += measured.size_bytes,
            Verified::Damaged(reason) => self.damaged(&record.id, reason),
        }
        Ok(())
    }

    fn images(&mut self) -> Result<(), GraphError> {
        for image in self.store.inner.database.read(|transaction| images::all(transaction))? {
            self.report.images += 1;
            let diff_ids = image.layers.iter().filter_map(|layer| layer.diff_id);
            if let Err(error) = config_matches(&image.config, diff_ids, "check image") {
                self.problem(Problem::ImageInconsistent { image: image.id, reason: error.to_string() });
            }
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

    /// The layer of a container is written to, and cannot be verified; but it has to be there, on the image's.
    fn containers(&mut self) -> Result<(), GraphError> {
        let read = |transaction: &rusqlite::Transaction<'_>| {
            let rows = containers::all(transaction)?.into_iter();
            rows.map(|row| Ok((layers::by_id(transaction, &row.layer)?, row))).collect::<Result<Vec<_>, _>>()
        };
        for (layer, container) in self.store.inner.database.read(read)? {
            let state = layer.map(|row| row.record.state);
            if state != Some(LayerState::Writable) || self.bad.contains(&container.layer) {
                let (name, layer) = (container.name, container.layer);
                self.problem(Problem::ContainerIncomplete { name, layer });
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

/// Whether a layer's chain id is that of its parent's and its own diff id.
fn stands_right(record: &LayerRecord, chain_ids: &HashMap<LayerId, Option<Digest>>) -> bool {
    let (Some(diff_id), Some(chain_id)) = (record.diff_id, record.chain_id) else { return true };
    let below = match &record.parent {
        None => None,
        Some(parent) => match chain_ids.get(parent) {
            Some(Some(below)) => Some(below),
            _ => return false,
        },
    };
    chain::extend(below, &diff_id) == chain_id
}

/// Sorts layers so that each comes after those that it stands on.
fn parents_first(records: Vec<LayerRecord>) -> Vec<LayerRecord> {
    let parents: HashMap<LayerId, Option<LayerId>> =
        records.iter().map(|record| (record.id.clone(), record.parent.clone())).collect();
    let most = records.len();
    let depth = |record: &LayerRecord| {
        let up = |id: &LayerId| parents.get(id).cloned().flatten();
        // A circle, which only a damaged database has, ends too.
        std::iter::successors(record.parent.clone(), up).take(most).count()
    };
    let mut sorted: Vec<(usize, LayerRecord)> =
        records.into_iter().map(|record| (depth(&record), record)).collect();
    sorted.sort_by_key(|(depth, _)| *depth);
    sorted.into_iter().map(|(_, record)| record).collect()
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
