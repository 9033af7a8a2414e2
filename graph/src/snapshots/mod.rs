//! Snapshots: what container engines make of layers. They have keys of the engine's own, kinds, labels and parents.
//!
//! An engine writes into the layer of an active snapshot by itself, through the mounts that it is told; committing seals that layer as it
//! is. Keys are taken as they come: containerd's are `NAMESPACE/NUMBER/NAME`, so its namespaces never meet.

mod commit;
mod prepare;
mod record;
mod remove;
mod sharing;

use plywood_graphdriver::{ErrorKind, LayerRef, MountRequest, MountSpec, Usage};

use crate::database::{layers, snapshots};
use crate::{GraphError, Store};

pub use record::{LabelChange, NewSnapshot, SnapshotKind, SnapshotRecord};
pub use remove::Removal;

/// How often a tree is walked anew in which files disappear meanwhile.
const WALKS: usize = 5;

impl Store {
    /// The snapshot with the key.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot(&self, key: &str) -> Result<SnapshotRecord, GraphError> {
        self.inner.database.read(|transaction| found(transaction, key))
    }

    /// All snapshots, oldest first.
    ///
    /// # Errors
    /// Those of reading the records.
    pub fn snapshots(&self) -> Result<Vec<SnapshotRecord>, GraphError> {
        self.inner.database.read(|transaction| snapshots::all(transaction))
    }

    /// Changes labels of a snapshot, and answers it as it is then. Labels without a value are none.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn label_snapshot(&self, key: &str, change: &LabelChange) -> Result<SnapshotRecord, GraphError> {
        self.inner.database.write(|transaction| {
            let mut record = found(transaction, key)?;
            change.apply(&mut record.labels);
            record.updated = self.now();
            snapshots::set_labels(transaction, key, &record.labels, record.updated)?;
            Ok(record)
        })
    }

    /// The mounts by which an engine mounts an active snapshot or a view itself, in the form of `request`; whether they are read-only
    /// is the snapshot's.
    ///
    /// # Errors
    /// `Unfit` for a committed snapshot; `NotFound` where its layer went meanwhile; the driver's.
    pub fn snapshot_mounts(
        &self,
        record: &SnapshotRecord,
        request: &MountRequest<'_>,
    ) -> Result<Vec<MountSpec>, GraphError> {
        let parents =
            |transaction: &rusqlite::Transaction<'_>| crate::layers::parents(transaction, &record.layer);
        let parents = self.inner.database.read(parents)?;
        let read_only = match record.kind {
            SnapshotKind::Active => false,
            SnapshotKind::View => true,
            SnapshotKind::Committed => return Err(record.unfit("is committed, and only others are mounted")),
        };
        let request = MountRequest { read_only, ..*request };
        Ok(self.inner.driver.mount_specs(LayerRef::new(&record.layer, &parents), &request)?)
    }

    /// Writes what engines wrote into snapshots to the disk, where the store is durable: a commit then has less to wait for.
    ///
    /// # Errors
    /// Those of `syncfs(2)`: a write failed since the last time, and the kernel may not tell it again. No snapshot that was
    /// written to meanwhile is to be committed.
    pub fn write_back(&self) -> Result<(), GraphError> {
        match self.inner.durability_witness()? {
            Some(witness) => witness.sync_filesystem(),
            None => Ok(()),
        }
    }

    /// What a snapshot alone takes, without its parents: of an active one measured now, of a committed one when it was
    /// committed. A view takes nothing.
    ///
    /// # Errors
    /// `NotFound`; the driver's.
    pub fn snapshot_usage(&self, key: &str) -> Result<Usage, GraphError> {
        let (record, layer, parents) = self.inner.database.read(|transaction| {
            let record = found(transaction, key)?;
            let layer = layers::by_id(transaction, &record.layer)?;
            let parents = crate::layers::parents(transaction, &record.layer)?;
            Ok((record, layer, parents))
        })?;
        match record.kind {
            SnapshotKind::View => Ok(Usage::default()),
            SnapshotKind::Active => self.inner.measure(LayerRef::new(&record.layer, &parents)),
            SnapshotKind::Committed => {
                let layer = layer.ok_or_else(|| crate::layers::not_found(&record.layer))?.record;
                Ok(Usage { size_bytes: layer.size_bytes, inodes: layer.inodes })
            }
        }
    }
}

impl crate::store::Inner {
    /// Measures a layer that may be written to meanwhile: a file that disappears is no failure.
    fn measure(&self, layer: LayerRef<'_>) -> Result<Usage, GraphError> {
        let mut walks = 1;
        loop {
            match self.driver.usage(layer) {
                Err(error) if error.kind == ErrorKind::NotFound && walks < WALKS => walks += 1,
                measured => return Ok(measured?),
            }
        }
    }

    /// Gives the root folder of a fresh layer to an owner, as engines want it that map ids.
    fn give_root(&self, layer: LayerRef<'_>, (uid, gid): (u32, u32)) -> Result<(), GraphError> {
        let root = self.driver.contents(layer)?;
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        // The folder may be open as a place only (`O_PATH`), which takes no `fchown(2)`.
        rustix::fs::chownat(&root, "", Some(uid), Some(gid), rustix::fs::AtFlags::EMPTY_PATH)
            .map_err(GraphError::io("change the owner of", layer.id.as_str()))
    }
}

/// The snapshot with the key, which must be there.
fn found(connection: &rusqlite::Connection, key: &str) -> Result<SnapshotRecord, GraphError> {
    let absent = || GraphError::NotFound { what: "snapshot", query: key.to_owned() };
    snapshots::by_key(connection, key)?.ok_or_else(absent)
}

/// Refuses a key that a snapshot has.
fn check_free(connection: &rusqlite::Connection, key: &str) -> Result<(), GraphError> {
    match snapshots::by_key(connection, key)? {
        Some(record) => Err(GraphError::AlreadyExists { what: "snapshot", name: record.key }),
        None => Ok(()),
    }
}
