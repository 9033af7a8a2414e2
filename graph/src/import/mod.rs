//! Importing an image: claim, unpack, seal, make durable, commit. `docs/design/store.md` draws it.
//!
//! An import waits only for layers that a lease before its own is staging. Where it would have to wait for a later
//! one, because the earlier failed and somebody else was quicker, it gives up what it staged and begins anew, as the latest.
//! So imports never wait for each other in a circle.

mod claim;
mod commit;
mod plan;
mod settle;
mod single;
mod unpack;
mod write_behind;

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use plywood_archive::digest::Digest;
use plywood_graphdriver::{LayerId, LayerRef, Skipped};

use crate::folder::Folder;
use crate::lease::Lease;
use crate::store::Inner;
use crate::{Event, GraphError, ImagePlan, Imported, LayerSource, PlannedLayer, Progress, Store, chain_ids};
use claim::Claim;
use write_behind::WriteBehind;

pub(crate) use plan::{config_matches, diff_ids_of};
pub(crate) use single::{Keeper, Single, Staged, first_error};
pub(crate) use unpack::{Announced, Unpacked, any_cause};

/// Each beginning anew takes that another process failed and a third was quicker; so often it is no chance any more.
const BEGINNINGS: usize = 32;

/// Where one layer of the image stands.
#[derive(Debug)]
enum Slot {
    /// Committed, and held by the lease.
    Held(LayerId),
    /// Being staged by a lease before this one.
    Awaited(LayerId),
    /// Staged by this lease, perhaps unpacked already.
    Claimed(LayerId, Option<Unpacked>),
}

impl Slot {
    fn id(&self) -> &LayerId {
        match self {
            Self::Held(id) | Self::Awaited(id) | Self::Claimed(id, _) => id,
        }
    }
}

/// How an attempt ended, where it did not fail.
enum Attempt {
    Done(Imported),
    BeginAnew,
}

/// One attempt at an import.
struct Import<'a> {
    inner: &'a Arc<Inner>,
    plan: &'a ImagePlan,
    source: &'a dyn LayerSource,
    progress: &'a dyn Progress,
    image: Digest,
    chain_ids: Vec<Digest>,
    lease: Lease,
    sequence: i64,
    witness: Option<Folder>,
    /// Bottom-up, as long as the plan's layers.
    slots: Vec<Slot>,
}

impl Store {
    /// Imports an image: every layer that is not there yet is read from `source`, unpacked, verified, and committed
    /// together with the image and its names. Before that commit nothing of it exists, after it nothing is lost. Layers
    /// that another process is unpacking right now are waited for, not unpacked twice.
    ///
    /// An image that is there already only gets the names (and the manifest, if it came with another one).
    ///
    /// # Errors
    /// The first one met; nothing of the import remains then. `DigestMismatch` and `SizeMismatch` name the layer whose bytes
    /// are not the announced ones.
    pub fn import_image(
        &self,
        plan: &ImagePlan,
        source: &dyn LayerSource,
        progress: &dyn Progress,
    ) -> Result<Imported, GraphError> {
        plan::validate(plan)?;
        if let Some(imported) = self.import_present(plan, progress)? {
            return Ok(imported);
        }
        for _ in 0..BEGINNINGS {
            let import = Import::begin(&self.inner, plan, source, progress)?;
            match import.run() {
                Ok(Attempt::Done(imported)) => return Ok(imported),
                Ok(Attempt::BeginAnew) => {}
                // What stopping makes of the layers under way is no reason.
                Err(_) if progress.is_cancelled() => return Err(cancelled()),
                Err(error) => return Err(error),
            }
        }
        let reason = "other imports of the same layers kept failing".to_owned();
        Err(GraphError::Busy { operation: "import image", reason })
    }
}

impl<'a> Import<'a> {
    fn begin(
        inner: &'a Arc<Inner>,
        plan: &'a ImagePlan,
        source: &'a dyn LayerSource,
        progress: &'a dyn Progress,
    ) -> Result<Self, GraphError> {
        let lease = Lease::begin(inner, "import image")?;
        let witness = inner.durability_witness()?;
        let chain_ids = chain_ids(plan.layers.iter().map(|layer| &layer.diff_id));
        let image = Digest::of(&plan.config);
        let slots = Vec::new();
        Ok(Self { inner, plan, source, progress, image, chain_ids, lease, sequence: 0, witness, slots })
    }

    fn run(mut self) -> Result<Attempt, GraphError> {
        let attempt = self.work();
        match attempt {
            Ok(Attempt::Done(imported)) => {
                self.lease.ended();
                Ok(Attempt::Done(imported))
            }
            other => {
                let staged: Vec<LayerId> = self.claimed().map(|(_, id)| id.clone()).collect();
                self.inner.abandon(&staged, &self.lease);
                other
            }
        }
    }

    fn work(&mut self) -> Result<Attempt, GraphError> {
        self.claim_all()?;
        self.report_claims();
        if self.inner.driver.capabilities().independent_apply {
            self.unpack_at_once()?;
        }
        for index in 0..self.slots.len() {
            if self.progress.is_cancelled() {
                return Err(cancelled());
            }
            if let Claim::BeginAnew = self.wait_for(index)? {
                return Ok(Attempt::BeginAnew);
            }
            self.unpack_in_order(index)?;
            self.seal(index)?;
        }
        self.commit()?;
        Ok(Attempt::Done(self.imported()))
    }

    fn report_claims(&self) {
        for (index, slot) in self.slots.iter().enumerate() {
            let diff_id = Some(&self.plan.layers[index].diff_id);
            match slot {
                Slot::Held(_) => self.progress.report(Event::LayerReused { index, diff_id }),
                Slot::Awaited(_) => self.progress.report(Event::LayerWaiting { index, diff_id }),
                Slot::Claimed(..) => {}
            }
        }
    }

    fn claimed(&self) -> impl Iterator<Item = (usize, &LayerId)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match slot {
            Slot::Claimed(id, _) => Some((index, id)),
            _ => None,
        })
    }

    /// The ids below the layer at `index`, nearest first.
    fn parents(&self, index: usize) -> Vec<LayerId> {
        self.slots[..index].iter().rev().map(|slot| slot.id().clone()).collect()
    }

    /// Unpacks all claimed layers, some at a time. The first error stops the others.
    fn unpack_at_once(&mut self) -> Result<(), GraphError> {
        let mut work: Vec<usize> = self.claimed().map(|(index, _)| index).collect();
        // The largest first: begun last, it would be alone at the end.
        work.sort_by_key(|index| Reverse(self.plan.layers[*index].packed.map_or(0, |blob| blob.size_bytes)));
        let next = AtomicUsize::new(0);
        let stopped = Arc::new(AtomicBool::new(false));
        let answers = Mutex::new(Ok(Vec::new()));
        let import = &*self;
        let write_behind = WriteBehind::default();
        // A descriptor of its own: the witness is to hear of every failure since it was opened.
        let ahead = import.inner.durability_witness()?.filter(|_| !work.is_empty());
        let written = std::thread::scope(|scope| {
            let unpacking = write_behind.while_unpacking();
            let writing = ahead.as_ref().map(|ahead| scope.spawn(|| write_behind.run(ahead)));
            let worker = || {
                while let Some(index) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let answer = import.unpack(*index, &stopped).map(|unpacked| (*index, unpacked));
                    let failed = answer.is_err();
                    add_answer(&answers, answer);
                    // Only now: what stopping makes of the others is no first error.
                    stopped.fetch_or(failed, Ordering::Relaxed);
                }
            };
            let workers = import.inner.options.workers.clamp(1, work.len().max(1));
            let working: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            for one in working {
                one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            drop(unpacking);
            let joined = |panic| std::panic::resume_unwind(panic);
            writing.map_or(Ok(()), |writing| writing.join().unwrap_or_else(joined))
        });
        for (index, unpacked) in answers.into_inner().unwrap_or_else(PoisonError::into_inner)? {
            self.keep_unpacked(index, unpacked);
        }
        written
    }

    fn keep_unpacked(&mut self, index: usize, unpacked: Unpacked) {
        if let Slot::Claimed(_, place) = &mut self.slots[index] {
            *place = Some(unpacked);
        }
    }

    /// Unpacks a claimed layer that is not unpacked yet, on top of its parents.
    fn unpack_in_order(&mut self, index: usize) -> Result<(), GraphError> {
        if matches!(self.slots[index], Slot::Claimed(_, None)) {
            let unpacked = self.unpack(index, &Arc::new(AtomicBool::new(false)))?;
            self.keep_unpacked(index, unpacked);
        }
        Ok(())
    }

    fn unpack(&self, index: usize, stopped: &Arc<AtomicBool>) -> Result<Unpacked, GraphError> {
        let PlannedLayer { diff_id, packed } = self.plan.layers[index];
        let announced = Announced { index, diff_id: Some(diff_id), packed };
        let opened = self.source.open(index);
        let bytes = opened.map_err(|source| GraphError::Source { what: announced.to_string(), source })?;
        let parents = self.parents(index);
        let layer = LayerRef::new(self.slots[index].id(), &parents);
        self.inner.unpack(layer, &announced, bytes, self.progress, stopped)
    }

    /// Seals a claimed layer; its parents are sealed.
    fn seal(&self, index: usize) -> Result<(), GraphError> {
        let Slot::Claimed(id, _) = &self.slots[index] else { return Ok(()) };
        self.inner.seal(LayerRef::new(id, &self.parents(index)))
    }

    fn imported(&self) -> Imported {
        let mut skipped = Skipped::default();
        let mut layers_unpacked = 0;
        for slot in &self.slots {
            if let Slot::Claimed(_, Some(unpacked)) = slot {
                layers_unpacked += 1;
                skipped.devices += unpacked.skipped.devices;
                skipped.xattrs += unpacked.skipped.xattrs;
                skipped.owners += unpacked.skipped.owners;
            }
        }
        let layers_reused = self.slots.len() - layers_unpacked;
        Imported { image: self.image, layers_unpacked, layers_reused, skipped }
    }
}

fn cancelled() -> GraphError {
    GraphError::Cancelled { operation: "import image" }
}

/// Layers that were unpacked, or the first error.
type Answers = Result<Vec<(usize, Unpacked)>, GraphError>;

fn add_answer(answers: &Mutex<Answers>, answer: Result<(usize, Unpacked), GraphError>) {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    match (&mut *answers, answer) {
        (Ok(unpacked), Ok(one)) => unpacked.push(one),
        (Ok(_), Err(error)) => *answers = Err(error),
        (Err(_), _) => {}
    }
}
