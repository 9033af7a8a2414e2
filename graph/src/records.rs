//! What the store remembers: layers, images, containers, mounts.

use std::path::PathBuf;
use std::time::SystemTime;

use plywood_archive::digest::Digest;
use plywood_graphdriver::LayerId;

use crate::{Blob, Reference};

/// Where a layer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerState {
    /// Being made; not to be relied on.
    Staging,
    /// A container's layer, or one made by hand, that is written to.
    Writable,
    /// A read-only view of its parents, made by hand.
    View,
    /// Complete, read-only and durable.
    Committed,
    /// Complete, read-only and durable as well, but written by an engine: it has no diff id and no recipe.
    Sealed,
    /// Being removed.
    Deleting,
    /// Found damaged; the next import of it makes it anew.
    Damaged,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRecord {
    /// Its id in the driver.
    pub id: LayerId,
    /// The layer it stands on.
    pub parent: Option<LayerId>,
    /// The digest of its uncompressed tar; layers that are not committed have none.
    pub diff_id: Option<Digest>,
    /// The digest of the chain up to it; layers that are not committed have none.
    pub chain_id: Option<Digest>,
    /// Bytes of its own files, unpacked.
    pub size_bytes: u64,
    /// Files, folders, links and devices of its own.
    pub inodes: u64,
    /// The blob that it came in, where that was known.
    pub packed: Option<Blob>,
    /// Where it is in its life.
    pub state: LayerState,
    /// It was made by hand and is kept until it is removed by hand.
    pub pinned: bool,
    /// When it was made.
    pub created: SystemTime,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    /// The digest of its config.
    pub id: Digest,
    /// Its names, sorted.
    pub names: Vec<Reference>,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// The manifest's media type.
    pub manifest_media_type: String,
    /// The manifest's digest.
    pub manifest_digest: Digest,
    /// The config, byte for byte.
    pub config: Vec<u8>,
    /// The layers, bottom-up.
    pub layers: Vec<LayerRecord>,
    /// When it came into the store.
    pub created: SystemTime,
    /// Bytes of all its layers, unpacked.
    pub size_bytes: u64,
}

/// A container: a writable layer with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRecord {
    /// Its id, 64 lower-case hexadecimal digits.
    pub id: String,
    /// Its name; no other container has it.
    pub name: String,
    /// The image it stands on; `None` for one made from scratch.
    pub image: Option<Digest>,
    /// Its writable layer.
    pub layer: LayerId,
    /// When it was made.
    pub created: SystemTime,
}

/// A mount that outlives the process that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRecord {
    /// Where it is mounted.
    pub target: PathBuf,
    /// The layer mounted.
    pub layer: LayerId,
    /// The boot that it belongs to; it is gone with it.
    pub boot_id: String,
    /// No writes.
    pub read_only: bool,
    /// When it was made.
    pub created: SystemTime,
}

/// What is to be mounted, each by a query as [`Store::image`](crate::Store::image) and its like take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountTarget<'a> {
    /// An image's top layer; always read-only.
    Image(&'a str),
    /// A container's layer.
    Container(&'a str),
    /// A layer.
    Layer(&'a str),
}
