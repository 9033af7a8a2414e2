//! What goes into an import of an image, and what comes out.

use std::io::{self, Read};

use plywood_archive::digest::Digest;
use plywood_graphdriver::Skipped;

use crate::Reference;

/// Bytes that are known by their digest and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Their digest.
    pub digest: Digest,
    /// Their number.
    pub size_bytes: u64,
}

/// A layer as an image names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedLayer {
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The layer as it comes, perhaps compressed; `None` where only the diff id is known (docker archives), and then
    /// only that is verified.
    pub packed: Option<Blob>,
}

/// An image to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePlan {
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// The manifest's media type.
    pub manifest_media_type: String,
    /// The config, byte for byte; its digest is the image's id.
    pub config: Vec<u8>,
    /// The layers, bottom-up.
    pub layers: Vec<PlannedLayer>,
    /// The names that the image gets; each moves here from the image that had it.
    pub names: Vec<Reference>,
}

/// Where the layers of an image come from.
pub trait LayerSource: Sync {
    /// Opens the packed layer at `index` of [`ImagePlan::layers`], from its beginning. It may be called from
    /// several threads at once, only for layers that are missing, and again for a layer after another process
    /// got in between.
    ///
    /// # Errors
    /// The source's own.
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send>>;
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// The image's id: the digest of its config.
    pub image: Digest,
    /// Layers that this import unpacked.
    pub layers_unpacked: usize,
    /// Layers that were there, or that another process unpacked meanwhile.
    pub layers_reused: usize,
    /// What was left out of the layers unpacked.
    pub skipped: Skipped,
}
