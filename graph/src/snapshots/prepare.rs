//! Snapshots made: active ones with a writable layer of their own, and views.

use plywood_graphdriver::{Access, LayerId, LayerRef};
use rusqlite::Transaction;

use super::{NewSnapshot, SnapshotKind, SnapshotRecord, check_free, found};
use crate::database::snapshots;
use crate::layers::Made;
use crate::lease::Lease;
use crate::{GraphError, LayerState, Store};

impl Store {
    /// Makes an active snapshot: a writable layer on the parent's, or on nothing.
    ///
    /// It is there for good from its commit on; a power cut may take the folder of one that was just made.
    ///
    /// # Errors
    /// `AlreadyExists` where the key is taken, `NotFound` where the parent is not there, `Invalid` where it is not committed; the
    /// driver's.
    pub fn prepare_snapshot(&self, new: &NewSnapshot<'_>) -> Result<SnapshotRecord, GraphError> {
        new.check_key("prepare snapshot")?;
        self.make_snapshot(new, SnapshotKind::Active)
    }

    /// Makes a view: the parent's tree, only to be read, or an empty one.
    ///
    /// # Errors
    /// As [`prepare_snapshot`](Self::prepare_snapshot).
    pub fn view_snapshot(&self, new: &NewSnapshot<'_>) -> Result<SnapshotRecord, GraphError> {
        new.check_key("view snapshot")?;
        if new.parent.is_none() {
            return self.make_snapshot(new, SnapshotKind::View);
        }
        self.inner.database.write(|transaction| {
            let layer = base(transaction, new)?;
            let layer = layer.ok_or_else(|| GraphError::NotFound { what: "layer", query: String::new() })?;
            self.insert(transaction, new, SnapshotKind::View, layer)
        })
    }

    /// Makes a layer for the snapshot, and then both at once.
    fn make_snapshot(&self, new: &NewSnapshot<'_>, kind: SnapshotKind) -> Result<SnapshotRecord, GraphError> {
        let lease = Lease::begin(&self.inner, "prepare snapshot")?;
        let on = self.inner.database.read(|transaction| base(transaction, new))?;
        let (access, state) = match kind {
            SnapshotKind::View => (Access::ReadOnly, LayerState::View),
            _ => (Access::ReadWrite, LayerState::Writable),
        };
        let begin = |transaction: &Transaction<'_>| lease.record(transaction).map(drop);
        let layer = self.inner.stage_snapshot(&lease, on.as_ref(), access, Made::Lasting, begin)?;
        if let Some(owner) = new.root_owner
            && let Err(error) = self.inner.give_root(LayerRef::new(&layer.id, layer.parents()), owner)
        {
            self.inner.abandon(std::slice::from_ref(&layer.id), &lease);
            return Err(error);
        }
        let mut made = None;
        self.inner.commit_snapshot(&lease, &layer, state, |transaction| {
            // The parent may have gone, and the key may have been taken, since they were looked up.
            if base(transaction, new)? != on {
                let query = new.parent.unwrap_or_default().to_owned();
                return Err(GraphError::NotFound { what: "snapshot", query });
            }
            made = Some(self.insert(transaction, new, kind, layer.id.clone())?);
            Ok(())
        })?;
        lease.ended_unawaited();
        made.ok_or_else(|| GraphError::NotFound { what: "snapshot", query: new.key.to_owned() })
    }

    fn insert(
        &self,
        transaction: &Transaction<'_>,
        new: &NewSnapshot<'_>,
        kind: SnapshotKind,
        layer: LayerId,
    ) -> Result<SnapshotRecord, GraphError> {
        let now = self.now();
        let record = SnapshotRecord {
            key: new.key.to_owned(),
            parent: new.parent.map(str::to_owned),
            kind,
            layer,
            labels: new.kept_labels(),
            created: now,
            updated: now,
        };
        snapshots::insert(transaction, &record)?;
        Ok(record)
    }
}

/// The layer of the parent, which must be committed; the key must be free.
fn base(transaction: &Transaction<'_>, new: &NewSnapshot<'_>) -> Result<Option<LayerId>, GraphError> {
    check_free(transaction, new.key)?;
    let Some(parent) = new.parent else { return Ok(None) };
    let parent = found(transaction, parent)?;
    if parent.kind != SnapshotKind::Committed {
        let reason = format!("the parent '{}' is not committed", parent.key);
        return Err(GraphError::Invalid { operation: "make snapshot", reason });
    }
    Ok(Some(parent.layer))
}
