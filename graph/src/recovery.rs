//! Recovery: what a process that ended, or a boot that is over, left half done is undone or finished. Doing it twice, at
//! once or from several processes changes nothing more.
//!
//! Rows come before what the driver makes and go after what it removes, and ids are never used again. So whatever the
//! driver listed *before* the rows were read, and no row knows, belongs to nobody; [`Unknown`] says what becomes of it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use plywood_graphdriver::{LayerId, LayerRef};
use rusqlite::Transaction;

use crate::database::layers::{self, Standing};
use crate::database::{leases, mounts};
use crate::delete::NEW_RECIPE;
use crate::folder::Folder;
use crate::layers::is_passing;
use crate::lease::{self, Lease};
use crate::mounts::{detach, mounted_targets};
use crate::store::Inner;
use crate::{GraphError, LayerState, Store};

/// What nobody needs or finishes any more.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Layers of the driver that no row knows.
    pub(crate) unknown: Vec<LayerId>,
    /// Layers in staging or deleting whose lease is dead.
    pub(crate) abandoned: Vec<LayerId>,
    /// Layers in writable or sealed whose lease, which was sealing them, is dead.
    pub(crate) unsealed: Vec<LayerId>,
    /// Recipes that no layer has, by file name.
    pub(crate) recipes: Vec<String>,
    /// Leases that have a row, and no owner that lives.
    pub(crate) dead_leases: Vec<String>,
    /// Rows of settled layers that the driver's list lacks.
    pub(crate) missing: Vec<LayerId>,
    /// The driver has no layer at all: perhaps the file system that its folder is on is not mounted.
    pub(crate) driver_is_empty: bool,
}

/// What becomes of layers that no row knows. No crash makes them, as rows come before folders and go after them: the database
/// was lost, or put back from an older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// They stay, with their recipes: opening a store must not delete what its database forgot.
    Keep,
    /// They go: somebody asked for it.
    Remove,
}

/// What a recovery did.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) layers: Vec<LayerId>,
    /// Bytes of those layers, where somebody asked for them to go.
    pub(crate) bytes: u64,
    pub(crate) recipes: u64,
    pub(crate) temporary: u64,
}

impl Store {
    /// Recovers. What fails to be removed stays for the next time, and does not keep the store from being used.
    pub(crate) fn recover(&self, unknown: Unknown) -> Result<Recovered, GraphError> {
        let _room = self.inner.reserve.make_room();
        let leftovers = self.inner.leftovers()?;
        let mut recovered = Recovered { layers: leftovers.abandoned.clone(), ..Recovered::default() };
        if unknown == Unknown::Remove {
            recovered.bytes = self.inner.measure_leftovers(&leftovers);
        }
        // Nothing is written to a store in which nothing is left over: whoever only looks at one makes nobody wait.
        if leftovers.has_dead_rows() {
            let lease = Lease::begin(&self.inner, "recovery")?;
            self.inner.reap_abandoned(&leftovers.abandoned, &lease)?;
            self.inner.finish_sealing(&leftovers.unsealed, &lease)?;
        }
        if leftovers.unknown.is_empty() || unknown == Unknown::Remove {
            self.remove_unknown(&leftovers, &mut recovered)?;
        } else {
            let layers = leftovers.unknown.len();
            tracing::warn!(
                layers,
                "layers that no record knows are kept: if plywood.db was lost, put it back; 'gc' frees them"
            );
        }
        if leftovers.driver_is_empty && !leftovers.missing.is_empty() {
            let missing = leftovers.missing.len();
            tracing::error!(
                missing,
                "the driver has none of its layers: is its file system mounted? 'check' marks them damaged"
            );
        } else {
            self.inner.mark_missing(&leftovers.missing)?;
        }
        self.inner.recover_mounts()?;
        recovered.temporary = self.inner.recover_files(false)?;
        Ok(recovered)
    }

    fn remove_unknown(&self, leftovers: &Leftovers, recovered: &mut Recovered) -> Result<(), GraphError> {
        for id in &leftovers.unknown {
            match self.inner.driver.remove(id) {
                Ok(()) => recovered.layers.push(id.clone()),
                Err(error) => {
                    tracing::warn!(layer = %id, %error, cause = %error.source, "unknown layer stays");
                }
            }
        }
        for name in &leftovers.recipes {
            recovered.recipes += u64::from(self.inner.recipes.remove_file(name)?);
        }
        Ok(())
    }
}

impl Leftovers {
    /// Whether there are rows of processes that ended.
    fn has_dead_rows(&self) -> bool {
        !(self.abandoned.is_empty() && self.unsealed.is_empty() && self.dead_leases.is_empty())
    }
}

impl Inner {
    /// Finds what is left over, and changes nothing.
    pub(crate) fn leftovers(&self) -> Result<Leftovers, GraphError> {
        // The lists come before the rows: see the head of this file.
        let listed: HashSet<LayerId> = self.driver.layers()?.into_iter().collect();
        let recipes = self.recipes.names()?;
        let (rows, lease_ids) = self
            .database
            .read(|transaction| Ok((layers::standings(transaction)?, leases::all(transaction)?)))?;
        let mut leftovers = Leftovers::default();
        for id in lease_ids {
            if !self.is_alive(&id)? {
                leftovers.dead_leases.push(id);
            }
        }
        leftovers.recipes.extend(recipes.into_iter().filter(|name| is_left_over(name, &rows)));
        for (id, row) in rows.iter().filter(|(_, row)| is_passing(row.state)) {
            if !self.is_worked_on(row.lease.as_deref())? {
                leftovers.abandoned.push(id.clone());
            }
        }
        for (id, row) in rows.iter().filter(|(_, row)| row.lease.is_some() && is_sealing(row.state)) {
            if !self.is_worked_on(row.lease.as_deref())? {
                leftovers.unsealed.push(id.clone());
            }
        }
        let settled = |row: &Standing| !is_passing(row.state) && row.state != LayerState::Damaged;
        let lacking = rows.iter().filter(|(id, row)| settled(row) && !listed.contains(*id));
        leftovers.missing.extend(lacking.map(|(id, _)| id.clone()));
        leftovers.driver_is_empty = listed.is_empty();
        leftovers.unknown.extend(listed.into_iter().filter(|id| !rows.contains_key(id)));
        if !leftovers.missing.is_empty() {
            // They may have been committed between the list and the rows; a list made after the rows has them.
            let listed: HashSet<LayerId> = self.driver.layers()?.into_iter().collect();
            leftovers.missing.retain(|id| !listed.contains(id));
        }
        Ok(leftovers)
    }

    /// Bytes that layers without a size on record take. What cannot be measured, as half-made ones cannot everywhere, counts nothing.
    pub(crate) fn measure_leftovers(&self, leftovers: &Leftovers) -> u64 {
        let all = leftovers.abandoned.iter().chain(&leftovers.unknown);
        let bytes =
            |id: &LayerId| self.driver.usage(LayerRef::new(id, &[])).map_or(0, |usage| usage.size_bytes);
        all.map(bytes).sum()
    }

    /// Takes abandoned layers over, and removes them. Another process may have been quicker.
    fn reap_abandoned(&self, abandoned: &[LayerId], lease: &Lease) -> Result<(), GraphError> {
        // A power cut that takes this back leaves what it found.
        let mine = self.database.write_without_sync(|transaction| {
            lease.record(transaction)?;
            self.drop_dead_leases(transaction)?;
            let mut mine = Vec::new();
            for id in abandoned {
                let row = layers::by_id(transaction, id)?.filter(|row| is_passing(row.record.state));
                let Some(row) = row else { continue };
                if !self.is_worked_on(row.lease.as_deref())? {
                    layers::mark_deleting(transaction, id, lease.id())?;
                    mine.push(id.clone());
                }
            }
            Ok(mine)
        })?;
        if let Err(error) = self.sweep(&mine, lease) {
            tracing::warn!(%error, "abandoned layers stay for the next recovery");
        }
        Ok(())
    }

    fn drop_dead_leases(&self, transaction: &Transaction<'_>) -> Result<(), GraphError> {
        for id in leases::all(transaction)? {
            if !self.is_alive(&id)? {
                leases::delete(transaction, &id)?;
            }
        }
        Ok(())
    }

    /// Marks layers damaged that the driver does not have. One that was deleted since is not settled any more.
    pub(crate) fn mark_missing(&self, missing: &[LayerId]) -> Result<(), GraphError> {
        if missing.is_empty() {
            return Ok(());
        }
        self.database.write(|transaction| {
            for id in missing {
                if layers::mark_damaged(transaction, id)? {
                    tracing::error!(layer = %id, "the driver does not have the layer any more: marked damaged");
                }
            }
            Ok(())
        })
    }

    /// Brings records and mounts together, and takes down what is mounted at the store's own folders without a record.
    fn recover_mounts(&self) -> Result<(), GraphError> {
        if !self.database.read(|transaction| mounts::all(transaction))?.is_empty() {
            self.database.write_without_sync(|transaction| self.reconcile_mounts(transaction))?;
        }
        let names = self.mount_points.names()?;
        if names.is_empty() {
            return Ok(());
        }
        let folder = self.mount_points.path();
        let folder = folder.canonicalize().map_err(GraphError::io("resolve", folder))?;
        // Rows come before mounts, so what is in this list and in no row that is read later belongs to nobody.
        let mounted = mounted_targets()?;
        let targets: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        let recorded = self.database.read(|transaction| mounts::all(transaction))?;
        let is_recorded = |target: &PathBuf| recorded.iter().any(|row| row.record.target == *target);
        for target in targets.iter().filter(|target| mounted.contains(*target) && !is_recorded(target)) {
            if let Err(error) = detach(target) {
                tracing::warn!(%error, "a mount that no record knows stays");
            }
        }
        self.database.write_without_sync(|transaction| {
            for target in &targets {
                if mounts::by_target(transaction, target)?.is_none() {
                    self.remove_mount_point(target);
                }
            }
            Ok(())
        })
    }

    /// Removes the files of dead leases and temporary files that nobody holds; answers how many.
    pub(crate) fn recover_files(&self, dry_run: bool) -> Result<u64, GraphError> {
        let mut removed = 0;
        for folder in [&self.leases, &self.temporary] {
            removed += remove_unlocked(folder, dry_run)?;
        }
        Ok(removed)
    }
}

/// Whether a lease on a layer in the state says that it is being sealed.
fn is_sealing(state: LayerState) -> bool {
    matches!(state, LayerState::Writable | LayerState::Sealed)
}

fn remove_unlocked(folder: &Folder, dry_run: bool) -> Result<u64, GraphError> {
    let mut removed = 0;
    for name in folder.names()? {
        removed += u64::from(lease::remove_if_unlocked(folder, &name, dry_run)?);
    }
    Ok(removed)
}

/// Whether a file in the recipes' folder belongs to no layer, or is a new recipe that settling left of one that is settled.
fn is_left_over(name: &str, rows: &HashMap<LayerId, Standing>) -> bool {
    let (stem, is_new) = match name.strip_suffix(NEW_RECIPE) {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    let row = stem.parse::<LayerId>().ok().and_then(|id| rows.get(&id));
    row.is_none_or(|row| is_new && !is_passing(row.state))
}
