//! Mounts that outlive the process that made them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plywood_graphdriver::{LayerId, LayerRef, MountRequest};
use plywood_sys::{identity, mount, mountinfo};
use rusqlite::Transaction;
use rustix::io::Errno;

use crate::database::layers;
use crate::database::mounts::{self, MountRow};
use crate::images::found_image;
use crate::layers::{check_sound, parents};
use crate::lease::Lease;
use crate::store::Inner;
use crate::{GraphError, LayerState, MountRecord, MountTarget, Store, lookup};

/// A mount to make.
struct Wanted<'a> {
    record: MountRecord,
    request: MountRequest<'a>,
    /// The target is the store's own folder for the layer.
    is_default: bool,
    /// It ends with the lease.
    held: bool,
}

/// How long a mount for the moment waits for another one of the same layer.
const PATIENCE: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_millis(20);

/// A mount for the moment: it ends when this does, and with the process at the latest. [`end`](Self::end) it; dropping it does
/// its best.
#[derive(Debug)]
pub struct HeldMount {
    record: MountRecord,
    /// None once it is ended.
    lease: Option<Lease>,
}

/// What the records say about a mount that is wanted.
enum Begun {
    /// It is there.
    Present,
    /// It may be made, on these parents.
    Staged(Vec<LayerId>),
}

impl Store {
    /// Mounts an image, a container or a layer at the folder `target`, or at a folder of the store's own. The mount
    /// stays when the process ends. Images are mounted read-only. What is mounted at the store's own folder already, with the
    /// same access, is answered as it is.
    ///
    /// # Errors
    /// `AlreadyExists` where something is mounted at `target`; `InUse` for a second mount of a layer of which
    /// one can be written to; those of the lookup; the driver's.
    pub fn mount(
        &self,
        what: MountTarget<'_>,
        request: &MountRequest<'_>,
        target: Option<&Path>,
    ) -> Result<MountRecord, GraphError> {
        let wanted = self.wanted(what, request, target)?;
        let lease = Lease::begin(&self.inner, "mount")?;
        if self.mount_wanted(&wanted, &lease)? {
            lease.ended();
        }
        Ok(wanted.record)
    }

    /// Mounts a container, an image or a layer for the moment, at a folder of the store's own. It is nobody else's: others wait
    /// for its end, and where the process dies, whoever opens the store next takes it down.
    ///
    /// # Errors
    /// `InUse` where the layer is mounted already, or somebody else's mount for the moment did not end within ten seconds;
    /// those of the lookup; the driver's.
    pub fn mount_held(
        &self,
        what: MountTarget<'_>,
        request: &MountRequest<'_>,
    ) -> Result<HeldMount, GraphError> {
        let mut wanted = self.wanted(what, request, None)?;
        wanted.held = true;
        let started = Instant::now();
        loop {
            let lease = Lease::begin(&self.inner, "mount for the moment")?;
            match self.mount_wanted(&wanted, &lease) {
                Ok(_) => return Ok(HeldMount { record: wanted.record, lease: Some(lease) }),
                Err(GraphError::Busy { .. }) if started.elapsed() < PATIENCE => std::thread::sleep(WAIT),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a mount; answers whether it was not there before.
    fn mount_wanted(&self, wanted: &Wanted<'_>, lease: &Lease) -> Result<bool, GraphError> {
        let database = &self.inner.database;
        // Mounts do not outlive the machine, and neither need their rows.
        let begun =
            database.write_without_sync(|transaction| self.begin_mount(transaction, wanted, lease))?;
        let Begun::Staged(parents) = begun else { return Ok(false) };
        let made = self.make_mount(wanted, &parents, lease);
        if made.is_err() {
            database.write_without_sync(|transaction| {
                self.inner.drop_mount(transaction, &wanted.record.target)
            })?;
        }
        made.map(|()| true)
    }

    /// Unmounts what is mounted at the path `query`, or every mount of the container, image or layer that it means.
    ///
    /// # Errors
    /// `NotFound` where there is no such mount; `InUse` where files are open below it.
    pub fn unmount(&self, query: &str) -> Result<(), GraphError> {
        let rows = self.inner.database.read(|transaction| mounts_of(transaction, query))?;
        if rows.is_empty() {
            return Err(GraphError::NotFound { what: "mount", query: query.to_owned() });
        }
        rows.iter().try_for_each(|row| self.unmount_at(&row.record.target))
    }

    /// The mounts, oldest first. Records of mounts that are gone are dropped.
    ///
    /// # Errors
    /// Those of reading the records and the kernel's list.
    pub fn mounts(&self) -> Result<Vec<MountRecord>, GraphError> {
        let database = &self.inner.database;
        if database.read(|transaction| mounts::all(transaction))?.is_empty() {
            return Ok(Vec::new());
        }
        database.write_without_sync(|transaction| self.inner.reconcile_mounts(transaction))
    }

    fn wanted<'a>(
        &self,
        what: MountTarget<'_>,
        request: &MountRequest<'a>,
        target: Option<&Path>,
    ) -> Result<Wanted<'a>, GraphError> {
        let (layer, only_read) = self.inner.database.read(|transaction| mounted_layer(transaction, what))?;
        let request = MountRequest { read_only: request.read_only || only_read, ..*request };
        // The kernel's list has real paths.
        let path = target.unwrap_or(self.inner.mount_points.path());
        let real_path = path.canonicalize().map_err(GraphError::io("resolve", path))?;
        let target_path = if target.is_some() { real_path } else { real_path.join(layer.as_str()) };
        let record = MountRecord {
            target: target_path,
            layer,
            boot_id: boot_id()?,
            read_only: request.read_only,
            created: self.now(),
        };
        Ok(Wanted { record, request, is_default: target.is_none(), held: false })
    }

    fn begin_mount(
        &self,
        transaction: &Transaction<'_>,
        wanted: &Wanted<'_>,
        lease: &Lease,
    ) -> Result<Begun, GraphError> {
        let MountRecord { target, layer, read_only, .. } = &wanted.record;
        self.inner.reconcile_mounts(transaction)?;
        if mounts::by_layer(transaction, layer)?.iter().any(|row| row.held) {
            let reason = format!("another process uses layer {} at the moment", layer.short());
            return Err(GraphError::Busy { operation: "mount", reason });
        }
        if let Some(row) = mounts::by_target(transaction, target)? {
            let same = row.record.layer == *layer && row.record.read_only == *read_only;
            if wanted.is_default && !wanted.held && same && row.lease.is_none() {
                return Ok(Begun::Present);
            }
            return Err(GraphError::AlreadyExists { what: "mount", name: target.display().to_string() });
        }
        let others = mounts::by_layer(transaction, layer)?;
        let shared: Vec<&MountRow> =
            others.iter().filter(|row| !(*read_only && row.record.read_only)).collect();
        if !shared.is_empty() {
            let by = shared.iter().map(|row| format!("mount {}", row.record.target.display())).collect();
            return Err(GraphError::InUse { what: "layer", name: layer.short().to_owned(), by });
        }
        let state = layers::by_id(transaction, layer)?.map(|row| row.record.state);
        if !matches!(
            state,
            Some(LayerState::Committed | LayerState::Sealed | LayerState::Writable | LayerState::View)
        ) {
            let reason = format!("layer {} is {}", layer.short(), state.map_or("gone", LayerState::as_str));
            return Err(GraphError::Invalid { operation: "mount", reason });
        }
        // A container on a damaged image can still be looked at, to save what is in it.
        let to_save = state == Some(LayerState::Writable) && *read_only;
        if !to_save {
            check_sound(transaction, layer)?;
        }
        lease.record(transaction)?;
        mounts::insert(transaction, &wanted.record, lease.id(), wanted.held)?;
        if wanted.is_default {
            self.inner.mount_points.make_folder(layer.as_str())?;
        }
        parents(transaction, layer).map(Begun::Staged)
    }

    fn make_mount(&self, wanted: &Wanted<'_>, parents: &[LayerId], lease: &Lease) -> Result<(), GraphError> {
        let MountRecord { target, layer, .. } = &wanted.record;
        let mounted = self.inner.driver.mount(LayerRef::new(layer, parents), &wanted.request, target)?;
        if wanted.held {
            mounted.keep();
            return Ok(());
        }
        // An error here drops `mounted`, which unmounts; a crash here leaves a row that recovery completes.
        self.inner.database.write_without_sync(|transaction| {
            mounts::set_lease(transaction, target, None)?;
            lease.drop_row(transaction)
        })?;
        mounted.keep();
        Ok(())
    }

    /// Unmounts one target. A mount that is gone already is `Ok`.
    pub(crate) fn unmount_at(&self, target: &Path) -> Result<(), GraphError> {
        let _room = self.inner.reserve.make_room();
        let lease = Lease::begin(&self.inner, "unmount")?;
        let database = &self.inner.database;
        let there = database.write_without_sync(|transaction| {
            let Some(row) = mounts::by_target(transaction, target)? else { return Ok(false) };
            if self.inner.is_worked_on(row.lease.as_deref())? {
                let reason = format!("another process is busy with {}", target.display());
                return Err(GraphError::Busy { operation: "unmount", reason });
            }
            lease.record(transaction)?;
            mounts::set_lease(transaction, target, Some(lease.id()))?;
            Ok(true)
        })?;
        if !there {
            return Ok(());
        }
        if let Err(error) = detach(target) {
            database.write_without_sync(|transaction| mounts::set_lease(transaction, target, None))?;
            return Err(error);
        }
        database.write_without_sync(|transaction| self.inner.drop_mount(transaction, target))
    }
}

impl HeldMount {
    /// Where it is.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.record.target
    }

    /// Unmounts.
    ///
    /// # Errors
    /// `InUse` where somebody has files open below it; it is then taken down when nobody has.
    pub fn end(mut self) -> Result<(), GraphError> {
        self.lease.take().map_or(Ok(()), |lease| take_down(&self.record.target, &lease))
    }
}

impl Drop for HeldMount {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && let Err(error) = take_down(&self.record.target, &lease)
        {
            tracing::warn!(target_path = %self.record.target.display(), %error, "a mount for the moment did not end well");
        }
    }
}

/// Unmounts what the lease holds. What is busy disappears now and ends with its last user.
fn take_down(target: &Path, lease: &Lease) -> Result<(), GraphError> {
    let detached = detach(target);
    if detached.is_err() {
        mount::detach_lazily(target).map_err(GraphError::io("unmount", target))?;
    }
    let inner = lease.inner();
    let _room = inner.reserve.make_room();
    inner.database.write_without_sync(|transaction| inner.drop_mount(transaction, target))?;
    detached
}

impl Inner {
    /// Compares the records with the kernel's list: rows of mounts that are gone are dropped, and rows that a dead process
    /// left while it mounted or unmounted are completed. Answers the mounts that are there.
    pub(crate) fn reconcile_mounts(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<Vec<MountRecord>, GraphError> {
        let rows = mounts::all(transaction)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        // Read after the rows: what they say was mounted before is in it, unless it is gone.
        let mounted = mounted_targets()?;
        let boot_id = boot_id()?;
        let mut present = Vec::new();
        for MountRow { record, lease, held } in rows {
            if self.is_worked_on(lease.as_deref())? {
                continue;
            }
            if record.boot_id != boot_id || !mounted.contains(&record.target) {
                self.drop_mount(transaction, &record.target)?;
                continue;
            }
            if held {
                if let Err(error) = mount::detach_lazily(&record.target) {
                    tracing::warn!(target_path = %record.target.display(), %error, "a mount of a process that died stays");
                    continue;
                }
                self.drop_mount(transaction, &record.target)?;
                continue;
            }
            if lease.is_some() {
                mounts::set_lease(transaction, &record.target, None)?;
            }
            present.push(record);
        }
        Ok(present)
    }

    /// Drops a mount's row, and its folder where that is the store's own. Both in one transaction, as both are made in
    /// one: nobody loses the folder of a mount that is just beginning.
    fn drop_mount(&self, transaction: &Transaction<'_>, target: &Path) -> Result<(), GraphError> {
        mounts::delete(transaction, target)?;
        self.remove_mount_point(target);
        Ok(())
    }

    /// Removes the store's own folder for a mount, where `target` is one and nothing is mounted there.
    pub(crate) fn remove_mount_point(&self, target: &Path) {
        let name = target.file_name().and_then(|name| name.to_str());
        let own = self.mount_points.path().canonicalize().ok();
        if let Some(name) = name.filter(|_| own.as_deref() == target.parent())
            && let Err(error) = self.mount_points.remove_folder(name)
        {
            tracing::debug!(%error, "mount point left for the next recovery");
        }
    }
}

/// The targets in the kernel's list.
pub(crate) fn mounted_targets() -> Result<HashSet<PathBuf>, GraphError> {
    let mounts = mountinfo::read().map_err(GraphError::io("read", "/proc/self/mountinfo"))?;
    Ok(mounts.into_iter().map(|mount| mount.target).collect())
}

/// Unmounts; a target that is not mounted is `Ok`.
pub(crate) fn detach(target: &Path) -> Result<(), GraphError> {
    let Err(error) = mount::detach(target) else { return Ok(()) };
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::INVAL | Errno::NOENT) => Ok(()),
        Some(Errno::BUSY) => {
            let by = vec!["processes with files open below it".to_owned()];
            Err(GraphError::InUse { what: "mount", name: target.display().to_string(), by })
        }
        _ => Err(GraphError::Io { operation: "unmount", path: target.to_owned(), source: error }),
    }
}

fn boot_id() -> Result<String, GraphError> {
    identity::boot_id().map_err(GraphError::io("read", "/proc/sys/kernel/random/boot_id"))
}

/// The layer to mount, and whether it is only to be read.
fn mounted_layer(
    transaction: &Transaction<'_>,
    what: MountTarget<'_>,
) -> Result<(LayerId, bool), GraphError> {
    match what {
        MountTarget::Image(query) => {
            let (record, _) = found_image(transaction, query)?;
            let top = record.layers.last().map(|layer| layer.id.clone());
            let reason = format!("image '{query}' has no layers");
            top.map(|top| (top, true)).ok_or(GraphError::Invalid { operation: "mount", reason })
        }
        MountTarget::Container(query) => Ok((lookup::container(transaction, query)?.layer, false)),
        MountTarget::Layer(query) => {
            let record = lookup::layer(transaction, query)?;
            Ok((record.id, record.state == LayerState::View))
        }
    }
}

/// The mounts that a query means: by path if it has a slash at its beginning, else of a container, an image or a layer.
fn mounts_of(transaction: &Transaction<'_>, query: &str) -> Result<Vec<MountRow>, GraphError> {
    let path = Path::new(query);
    if path.is_absolute() {
        let found = mounts::by_target(transaction, path)?;
        // A dead FUSE mount cannot be resolved; it is found by the path as recorded.
        let real = || path.canonicalize().ok().map(|real| mounts::by_target(transaction, &real));
        return Ok(found
            .map_or_else(|| real().transpose().map(Option::flatten), |row| Ok(Some(row)))?
            .into_iter()
            .collect());
    }
    let means = [MountTarget::Container(query), MountTarget::Image(query), MountTarget::Layer(query)];
    for what in means {
        match mounted_layer(transaction, what) {
            Ok((layer, _)) => {
                let rows = mounts::by_layer(transaction, &layer)?;
                if !rows.is_empty() {
                    return Ok(rows);
                }
            }
            Err(GraphError::NotFound { .. } | GraphError::Invalid { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}
