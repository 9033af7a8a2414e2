//! Unpacking one layer into the driver, with its recipe, and verifying what came.

use std::error::Error;
use std::fmt;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plywood_archive::digest::{Digest, Measured};
use plywood_archive::pipeline::{LayerDigests, LayerStream};
use plywood_graphdriver::{Applied, ApplyOptions, LayerRef, Skipped, Usage};

use crate::store::Inner;
use crate::{Blob, Event, GraphError, Progress};

/// Recipes are written in small pieces.
const RECIPE_BUFFER_BYTES: usize = 64 << 10;

/// What is known of a layer before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announced {
    pub(crate) index: usize,
    pub(crate) diff_id: Option<Digest>,
    pub(crate) packed: Option<Blob>,
}

impl fmt::Display for Announced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.diff_id {
            Some(diff_id) => write!(formatter, "layer {} ({})", self.index, &diff_id.hex()[..12]),
            None => write!(formatter, "the layer"),
        }
    }
}

/// What is known of a layer after it was unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unpacked {
    pub(crate) diff_id: Digest,
    pub(crate) packed: Blob,
    pub(crate) usage: Usage,
    pub(crate) skipped: Skipped,
}

impl Inner {
    /// Unpacks `bytes` as the layer, which is in staging, and writes its recipe. `stopped` makes it end early.
    pub(crate) fn unpack(
        &self,
        layer: LayerRef<'_>,
        announced: &Announced,
        bytes: Box<dyn Read + Send>,
        progress: &dyn Progress,
        stopped: &Arc<AtomicBool>,
    ) -> Result<Unpacked, GraphError> {
        let Announced { index, packed, .. } = *announced;
        let diff_id = announced.diff_id.as_ref();
        progress.report(Event::LayerStarted {
            index,
            diff_id,
            total_bytes: packed.map(|blob| blob.size_bytes),
        });
        let counted = Arc::new(AtomicU64::new(0));
        let metered = Metered {
            source: bytes,
            counted: Arc::clone(&counted),
            most_bytes: packed.map_or(u64::MAX, |blob| blob.size_bytes),
            stopped: Arc::clone(stopped),
        };
        let stream = LayerStream::spawn(Box::new(metered), self.options.expansion);
        let mut telling = Telling { stream, counted, told: 0, announced, progress };
        let applied = self.apply(layer, &mut telling)?;
        let failed = |source: io::Error| GraphError::Source { what: announced.to_string(), source };
        let digests = telling.finish().map_err(failed)?;
        verify(announced, &digests)?;
        if !applied.skipped.is_empty() {
            progress.report(Event::LayerSkipped { index, diff_id, skipped: applied.skipped });
        }
        progress.report(Event::LayerDone { index, diff_id });
        let Measured { digest, size_bytes } = digests.packed;
        let packed = Blob { digest, size_bytes };
        Ok(Unpacked {
            diff_id: digests.unpacked.digest,
            packed,
            usage: applied.usage,
            skipped: applied.skipped,
        })
    }

    fn apply(&self, layer: LayerRef<'_>, tar: &mut dyn Read) -> Result<Applied, GraphError> {
        let name = layer.id.as_str();
        let mut recipe = BufWriter::with_capacity(RECIPE_BUFFER_BYTES, self.recipes.create_file(name)?);
        let applied = self.driver.apply(layer, tar, self.apply_options(&mut recipe))?;
        recipe.flush().map_err(GraphError::io("write", self.recipes.path().join(name)))?;
        Ok(applied)
    }

    /// The store's bounds and owners, and where the recipe goes.
    pub(super) fn apply_options<'a>(&self, recipe: &'a mut (dyn Write + Send)) -> ApplyOptions<'a> {
        ApplyOptions { limits: self.options.limits, ownership: self.options.ownership, recipe: Some(recipe) }
    }
}

/// The packed bytes first: where they are wrong, so is all that came of them.
fn verify(announced: &Announced, digests: &LayerDigests) -> Result<(), GraphError> {
    if let Some(packed) = announced.packed {
        let what = format!("{announced}, packed");
        let (expected_bytes, actual_bytes) = (packed.size_bytes, digests.packed.size_bytes);
        if expected_bytes != actual_bytes {
            return Err(GraphError::SizeMismatch { what, expected_bytes, actual_bytes });
        }
        same_digest(what, packed.digest, digests.packed.digest)?;
    }
    match announced.diff_id {
        Some(diff_id) => same_digest(format!("{announced}, unpacked"), diff_id, digests.unpacked.digest),
        None => Ok(()),
    }
}

fn same_digest(what: String, expected: Digest, actual: Digest) -> Result<(), GraphError> {
    if expected == actual { Ok(()) } else { Err(GraphError::DigestMismatch { what, expected, actual }) }
}

/// Counts the packed bytes on the thread that reads them, and ends the stream where it has to end.
struct Metered {
    source: Box<dyn Read + Send>,
    counted: Arc<AtomicU64>,
    most_bytes: u64,
    stopped: Arc<AtomicBool>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped, because another layer failed"));
        }
        let count = self.source.read(buffer)?;
        let so_far = self.counted.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if so_far > self.most_bytes {
            let message = format!("it has more than the {} bytes announced", self.most_bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(count)
    }
}

/// Tells how far the layer is, on the thread that unpacks it.
struct Telling<'a> {
    stream: LayerStream,
    counted: Arc<AtomicU64>,
    told: u64,
    announced: &'a Announced,
    progress: &'a dyn Progress,
}

impl Telling<'_> {
    fn tell(&mut self) {
        let counted = self.counted.load(Ordering::Relaxed);
        if counted > self.told {
            let (index, diff_id) = (self.announced.index, self.announced.diff_id.as_ref());
            self.progress.report(Event::LayerAdvanced { index, diff_id, bytes: counted - self.told });
            self.told = counted;
        }
    }

    fn finish(mut self) -> io::Result<LayerDigests> {
        io::copy(&mut self.stream, &mut io::sink())?;
        self.tell();
        self.stream.finish()
    }
}

impl Read for Telling<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_cancelled() {
            return Err(io::Error::other("it was cancelled"));
        }
        let count = self.stream.read(buffer)?;
        self.tell();
        Ok(count)
    }
}

/// Whether the error or one of its causes is like that.
pub(crate) fn any_cause(error: &GraphError, like: &dyn Fn(&(dyn Error + 'static)) -> bool) -> bool {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |cause| next_cause(*cause)).any(like)
}

/// `io::Error::source` leaves out the error that it wraps.
fn next_cause<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => cause.source(),
    }
}
