//! Verifying a committed layer: its tar is rebuilt, unpacked once more beside it, and the two trees are compared.
//!
//! The tar alone tells nothing of modes, owners, times, attributes and files that nobody put there, because it has those from the recipe. A second
//! unpacking has them as they came, on every driver and with everything that settling does.

use std::io::{self, BufWriter, PipeWriter, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use plywood_archive::digest::Measured;
use plywood_graphdriver::{ErrorKind, LayerId, LayerRef, MountRequest};
use plywood_tree::equal::{Side, first_difference};

use crate::database::layers;
use crate::import::{Announced, any_cause};
use crate::lease::Lease;
use crate::random::random_layer_id;
use crate::rebuild::{is_of_the_system, layer_tar};
use crate::store::Inner;
use crate::{GraphError, LayerRecord};

/// A pipe holds 64 KiB.
const BUFFER_BYTES: usize = 64 << 10;

/// How a layer was found.
#[derive(Debug)]
pub(crate) enum Verified {
    /// It is what it was; so much was read.
    Sound(Measured),
    /// It is not, and why.
    Damaged(String),
}

/// The copies that a check makes: their files go at once, and their rows all together in the end.
#[derive(Debug)]
pub(crate) struct Copies {
    lease: Lease,
    removed: Vec<LayerId>,
}

impl Copies {
    /// None so far.
    pub(crate) fn begin(inner: &Arc<Inner>) -> Result<Self, GraphError> {
        let lease = Lease::begin(inner, "check")?;
        inner.database.write_without_sync(|transaction| lease.record(transaction))?;
        Ok(Self { lease, removed: Vec::new() })
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.lease.inner().abandon(&self.removed, &self.lease);
    }
}

impl Inner {
    /// Verifies the bytes of a committed layer that is held, and with `copies` the whole tree; its parents must be sound then.
    ///
    /// # Errors
    /// Those that say nothing about the layer: no memory, no descriptors, a database that cannot be written to.
    pub(crate) fn verify(
        self: &Arc<Self>,
        record: &LayerRecord,
        parents: &[LayerId],
        copies: Option<&mut Copies>,
    ) -> Result<Verified, GraphError> {
        let verified = if let Some(copies) = copies {
            match self.verify_tree(record, parents, copies) {
                // There is no space to unpack it beside; its bytes can be verified without.
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    tracing::warn!(layer = %record.id, "no space to compare the layer's tree: only its bytes are verified");
                    layer_tar(self, record, parents, &mut io::sink()).map(Verified::Sound)
                }
                verified => verified,
            }
        } else {
            layer_tar(self, record, parents, &mut io::sink()).map(Verified::Sound)
        };
        match verified {
            Err(error) if says_damage(&error) => Ok(Verified::Damaged(in_one_line(&error))),
            verified => verified,
        }
    }

    fn verify_tree(
        self: &Arc<Self>,
        record: &LayerRecord,
        parents: &[LayerId],
        copies: &mut Copies,
    ) -> Result<Verified, GraphError> {
        let layer = LayerRef::new(&record.id, parents);
        let to_write = MountRequest { id_mapped: true, ..MountRequest::read_write() };
        if self.driver.mount_specs(layer, &to_write).is_ok() {
            return Ok(Verified::Damaged("it is not sealed".to_owned()));
        }
        let copy = random_layer_id()?;
        let made = self.now();
        let lease = &copies.lease;
        self.database
            .write(|transaction| layers::insert_staging(transaction, &copy, None, lease.id(), made))?;
        let compared = self.unpack_copy(record, parents, &copy).and_then(|measured| {
            let difference = self.differs(record, LayerRef::new(&copy, parents), made)?;
            Ok(difference.map_or(Verified::Sound(measured), Verified::Damaged))
        });
        self.remove_files(&copy)?;
        copies.removed.push(copy);
        compared
    }

    /// Unpacks the layer's own tar as the layer `copy`, on the same parents.
    fn unpack_copy(
        &self,
        record: &LayerRecord,
        parents: &[LayerId],
        copy: &LayerId,
    ) -> Result<Measured, GraphError> {
        let (reader, writer) = io::pipe().map_err(GraphError::io::<io::Error>("make", "a pipe"))?;
        let layer = LayerRef::new(copy, parents);
        let (rebuilt, unpacked) = std::thread::scope(|scope| {
            let rebuilding = scope.spawn(move || write_tar(self, record, parents, writer));
            let announced = Announced { index: 0, diff_id: record.diff_id, packed: None };
            let stopped = Arc::new(AtomicBool::new(false));
            let unpacked = self.unpack(layer, &announced, Box::new(reader), &(), &stopped);
            let rebuilt = rebuilding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (rebuilt, unpacked)
        });
        match (rebuilt, unpacked) {
            // Where the bytes cannot be had, it is that and not what unpacking makes of the end of them.
            (Err(error), _) if !is_broken_pipe(&error) => Err(error),
            (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
            (Ok(measured), Ok(_)) => self.seal(layer).map(|()| measured),
        }
    }

    /// Where the layer differs from its fresh copy.
    fn differs(
        &self,
        record: &LayerRecord,
        copy: LayerRef<'_>,
        made: SystemTime,
    ) -> Result<Option<String>, GraphError> {
        let own = self.driver.contents(LayerRef::new(&record.id, copy.parents))?;
        let fresh = self.driver.contents(copy)?;
        let one = Side { root: own.as_fd(), made: record.created };
        let at = first_difference(one, Side { root: fresh.as_fd(), made })?;
        Ok(at.map(|at| {
            let shown = String::from_utf8_lossy(&at);
            format!("/{} is not what it was", shown.escape_debug())
        }))
    }
}

fn write_tar(
    inner: &Inner,
    record: &LayerRecord,
    parents: &[LayerId],
    writer: PipeWriter,
) -> Result<Measured, GraphError> {
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, writer);
    let measured = layer_tar(inner, record, parents, &mut buffered)?;
    buffered.flush().map_err(GraphError::io::<io::Error>("write", "a pipe"))?;
    Ok(measured)
}

fn is_broken_pipe(error: &GraphError) -> bool {
    any_cause(error, &|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Whether an error met in reading a layer tells of damage, and not of the moment: a file that is gone or is something else, bytes that are
/// not those, a disk that cannot read them.
fn says_damage(error: &GraphError) -> bool {
    match error {
        GraphError::Corrupt { .. } | GraphError::DigestMismatch { .. } | GraphError::SizeMismatch { .. } => {
            true
        }
        GraphError::Driver(_) | GraphError::Source { .. } => {
            error.kind() != ErrorKind::NoSpace && !any_cause(error, &is_of_the_system)
        }
        _ => false,
    }
}

/// The whole chain in one line.
pub(crate) fn in_one_line(error: &GraphError) -> String {
    if let GraphError::Corrupt { reason, .. } = error {
        return reason.clone();
    }
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        line.push_str(": ");
        line.push_str(&next.to_string());
        cause = next.source();
    }
    line
}
