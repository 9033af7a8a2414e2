//! How an import tells how far it is.

use plywood_archive::digest::Digest;
use plywood_graphdriver::Skipped;

/// Something that happened during an import. Events of several layers come interleaved and from several threads.
///
/// `index` is the layer's place in the image, from 0 at the bottom; `diff_id` is `None` where it comes out only in the end
/// (a layer applied by hand, a container committed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The layer was there already.
    LayerReused {
        /// The layer's place.
        index: usize,
        /// The layer's diff id.
        diff_id: Option<&'a Digest>,
    },
    /// Another process is unpacking the layer; it is waited for.
    LayerWaiting {
        /// The layer's place.
        index: usize,
        /// The layer's diff id.
        diff_id: Option<&'a Digest>,
    },
    /// Unpacking begins.
    LayerStarted {
        /// The layer's place.
        index: usize,
        /// The layer's diff id.
        diff_id: Option<&'a Digest>,
        /// Bytes that the packed layer has, where that is known.
        total_bytes: Option<u64>,
    },
    /// More of the packed layer was read.
    LayerAdvanced {
        /// The layer's place.
        index: usize,
        /// The layer's diff id.
        diff_id: Option<&'a Digest>,
        /// Packed bytes read since the last event of this layer.
        bytes: u64,
    },
    /// The layer is unpacked and verified. It is not committed yet.
    LayerDone {
        /// The layer's place.
        index: usize,
        /// The layer's diff id.
        diff_id: Option<&'a Digest>,
    },
    /// Some of the layer could not be kept.
    LayerSkipped {
        /// The layer's place.
        index: usize,
        /// The layer's diff id.
        diff_id: Option<&'a Digest>,
        /// What was left out.
        skipped: Skipped,
    },
    /// All layers are unpacked; they are made durable and committed together.
    Committing {
        /// Layers that are new.
        layers: usize,
    },
}

/// Who is told.
pub trait Progress: Sync {
    /// Takes one event. It is called on the threads that work, so it should be quick.
    fn report(&self, event: Event<'_>);

    /// Whether the work is to end early: it then fails with `Cancelled`, and nothing of it remains. Asked often, so it should be quick.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Nobody.
impl Progress for () {
    fn report(&self, _event: Event<'_>) {}
}
