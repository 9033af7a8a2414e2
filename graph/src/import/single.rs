//! One layer whose diff id comes out only in the end: applied by hand, or a container's.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plywood_archive::digest::Digest;
use plywood_graphdriver::{LayerId, LayerRef};
use rusqlite::Transaction;

use super::unpack::any_cause;
use super::{Announced, Unpacked};
use crate::database::layers::{self, Commit, LayerRow};
use crate::folder::Folder;
use crate::layers::hold_parent;
use crate::lease::Lease;
use crate::random::random_layer_id;
use crate::store::Inner;
use crate::{GraphError, LayerRecord, LayerState, Progress, chain};

/// What keeps the new layer once it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// A pin.
    Pin,
    /// The lease that made it.
    Lease,
}

/// A layer that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Single<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) parent: Option<&'a LayerId>,
    /// Bytes with another diff id are refused.
    pub(crate) expected: Option<Digest>,
    pub(crate) keeper: Keeper,
}

/// A layer in staging, and what it stands on. The lease that it is staged by goes beside.
#[derive(Debug)]
pub(crate) struct Staged {
    id: LayerId,
    /// Nearest first.
    parents: Vec<LayerId>,
    parent_chain: Option<Digest>,
    witness: Option<Folder>,
}

/// How looking for the place of the new layer ended.
enum Place {
    /// It is committed under this id; ours is deleted where it is another one.
    Settled(LayerId),
    /// Somebody is staging the same layer.
    Awaited(LayerId),
}

impl Inner {
    /// Unpacks `bytes` as a new layer and commits it. Where the same layer is there already, that one is answered. The lease has its
    /// row.
    pub(crate) fn import_single(
        &self,
        &Single { lease, parent, expected, keeper }: &Single<'_>,
        bytes: Box<dyn Read + Send>,
        progress: &dyn Progress,
    ) -> Result<LayerRecord, GraphError> {
        let staged = Staged::begin(lease, parent)?;
        let keep = |transaction: &Transaction<'_>, layer: &LayerId| match keeper {
            Keeper::Pin => layers::pin(transaction, layer),
            Keeper::Lease => lease.hold(transaction, layer),
        };
        let unpacked = staged.unpack(lease, bytes, expected, progress);
        let committed = unpacked.and_then(|unpacked| staged.finish(lease, &unpacked, &keep));
        if committed.is_err() {
            staged.abandon(lease);
        }
        let id = committed?;
        let row = self.database.read(|transaction| layers::by_id(transaction, &id))?;
        row.map(|row| row.record).ok_or_else(|| GraphError::NotFound { what: "layer", query: id.to_string() })
    }
}

/// A pipe that broke only says that the other end failed.
pub(crate) fn first_error(
    unpacked: Result<Unpacked, GraphError>,
    made: Result<(), GraphError>,
) -> Result<Unpacked, GraphError> {
    let broken_pipe = |error: &GraphError| {
        any_cause(error, &|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        })
    };
    match (unpacked, made) {
        (Err(unpacked), Err(made)) if broken_pipe(&made) => Err(unpacked),
        (_, Err(made)) => Err(made),
        (unpacked, Ok(())) => unpacked,
    }
}

impl Staged {
    /// Stages a layer on `parent`.
    pub(crate) fn begin(lease: &Lease, parent: Option<&LayerId>) -> Result<Self, GraphError> {
        let inner = lease.inner();
        let witness = inner.durability_witness()?;
        let id = random_layer_id()?;
        let (parents, parent_chain) = inner.database.write(|transaction| {
            let below = hold_parent(transaction, lease, parent)?;
            layers::insert_staging(transaction, &id, None, lease.id(), inner.now())?;
            Ok(below)
        })?;
        Ok(Self { id, parents, parent_chain, witness })
    }

    /// Unpacks the layer's bytes, those of `expected` where that is known.
    pub(crate) fn unpack(
        &self,
        lease: &Lease,
        bytes: Box<dyn Read + Send>,
        expected: Option<Digest>,
        progress: &dyn Progress,
    ) -> Result<Unpacked, GraphError> {
        let announced = Announced { index: 0, diff_id: expected, packed: None };
        let stopped = Arc::new(AtomicBool::new(false));
        lease.inner().unpack(self.layer(), &announced, bytes, progress, &stopped)
    }

    /// The layers it stands on, nearest first.
    pub(crate) fn parents(&self) -> &[LayerId] {
        &self.parents
    }

    fn layer(&self) -> LayerRef<'_> {
        LayerRef::new(&self.id, &self.parents)
    }

    /// Undoes it: nothing of the layer remains, unless it was committed.
    pub(crate) fn abandon(&self, lease: &Lease) {
        lease.inner().abandon(std::slice::from_ref(&self.id), lease);
    }

    /// Seals and commits; answers the id under which the layer is there. `keep` is done in the same transaction: it lets something need the
    /// layer with that id.
    pub(crate) fn finish(
        &self,
        lease: &Lease,
        unpacked: &Unpacked,
        keep: &dyn Fn(&Transaction<'_>, &LayerId) -> Result<(), GraphError>,
    ) -> Result<LayerId, GraphError> {
        let inner = lease.inner();
        inner.seal(self.layer())?;
        inner.make_durable(self.witness.as_ref())?;
        loop {
            let mut swept = Vec::new();
            let place = inner.database.write(|transaction| {
                let place = self.commit(transaction, lease, unpacked, &mut swept)?;
                if let Place::Settled(layer) = &place {
                    keep(transaction, layer)?;
                }
                Ok(place)
            })?;
            if let Err(error) = inner.sweep(&swept, lease) {
                tracing::warn!(%error, "layers left for the next recovery");
            }
            match place {
                Place::Settled(id) => return Ok(id),
                // Nobody waits for ours, whose chain id nobody knows: there is no circle.
                Place::Awaited(id) => inner.wait_until_settled(&id)?,
            }
        }
    }

    fn commit(
        &self,
        transaction: &Transaction<'_>,
        lease: &Lease,
        unpacked: &Unpacked,
        swept: &mut Vec<LayerId>,
    ) -> Result<Place, GraphError> {
        let chain_id = chain::extend(self.parent_chain.as_ref(), &unpacked.diff_id);
        let settled = match layers::by_chain(transaction, &chain_id)? {
            Some(row) if row.record.state == LayerState::Committed => {
                swept.push(self.id.clone());
                row.record.id
            }
            other => {
                if let Some(LayerRow { record, lease: by }) = other {
                    if lease.inner().is_worked_on(by.as_deref())? {
                        return Ok(Place::Awaited(record.id));
                    }
                    swept.push(record.id);
                }
                self.id.clone()
            }
        };
        for id in &*swept {
            layers::mark_deleting(transaction, id, lease.id())?;
        }
        if settled == self.id {
            self.commit_own(transaction, lease, unpacked, chain_id)?;
        }
        Ok(Place::Settled(settled))
    }

    fn commit_own(
        &self,
        tx: &Transaction<'_>,
        lease: &Lease,
        unpacked: &Unpacked,
        chain_id: Digest,
    ) -> Result<(), GraphError> {
        let &Unpacked { diff_id, packed, usage, .. } = unpacked;
        // Bytes that were not packed at all are the diff id over again.
        let packed = Some(packed).filter(|packed| packed.digest != diff_id);
        let commit = Commit { id: &self.id, parent: self.parents.first(), diff_id, chain_id, usage, packed };
        if layers::commit(tx, &commit, lease.id())? {
            return layers::replace_damaged(tx, &chain_id, &self.id);
        }
        let reason = "the layer was taken away by another process meanwhile".to_owned();
        Err(GraphError::Busy { operation: "commit layer", reason })
    }
}
