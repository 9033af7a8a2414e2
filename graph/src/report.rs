//! What care for a store answers: removals, collections, checks, usage.

use std::fmt;
use std::path::PathBuf;

use plywood_archive::digest::Digest;
use plywood_graphdriver::LayerId;

use crate::Reference;

/// What a removal of an image did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that were taken away.
    pub untagged: Vec<Reference>,
    /// The image, where it went too.
    pub image: Option<Digest>,
    /// The layers that nothing else needed, topmost first.
    pub layers: Vec<LayerId>,
}

/// What a garbage collection freed, or would free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Layers that nothing needs, and those on disk that no record knows.
    pub layers: Vec<LayerId>,
    /// Bytes of these layers, as recorded or measured.
    pub bytes: u64,
    /// Recipes without a layer.
    pub recipes: u64,
    /// Temporary files and the lease files of ended processes.
    pub temporary: u64,
}

/// How thoroughly a store is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Records only; no file is read.
    pub quick: bool,
    /// Layers found damaged or missing are marked so; the next import of their image makes them anew.
    pub mark: bool,
}

/// Something wrong that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The database itself is damaged.
    Database {
        /// What `SQLite` says.
        reason: String,
    },
    /// The records know a layer that the driver does not have.
    LayerMissing {
        /// The layer.
        layer: LayerId,
    },
    /// The driver has a layer that the records do not know.
    LayerUnknown {
        /// The layer.
        layer: LayerId,
    },
    /// A committed layer is not what it was.
    LayerDamaged {
        /// The layer.
        layer: LayerId,
        /// What was found.
        reason: String,
    },
    /// A committed layer has no recipe, so it cannot be verified or exported.
    RecipeMissing {
        /// The layer.
        layer: LayerId,
    },
    /// A recipe belongs to no layer.
    RecipeUnknown {
        /// The file's name.
        name: String,
    },
    /// An image has a layer that is missing, damaged or not committed, or the chain of its layers is broken.
    ImageIncomplete {
        /// The image.
        image: Digest,
        /// The layer.
        layer: LayerId,
    },
    /// An image does not have the layers that its config names.
    ImageInconsistent {
        /// The image.
        image: Digest,
        /// What does not fit.
        reason: String,
    },
    /// The layer of a container is missing or damaged.
    ContainerIncomplete {
        /// The container's name.
        name: String,
        /// Its layer.
        layer: LayerId,
    },
    /// A snapshot's layer is missing, damaged, or not on that of the snapshot's parent.
    SnapshotIncomplete {
        /// The snapshot's key.
        key: String,
        /// The layer.
        layer: LayerId,
    },
    /// A mount is recorded, and is not there.
    MountGone {
        /// Where it was.
        target: PathBuf,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database { reason } => write!(formatter, "the database is damaged: {reason}"),
            Self::LayerMissing { layer } => write!(formatter, "layer {layer} is gone from the driver"),
            Self::LayerUnknown { layer } => write!(formatter, "layer {layer} of the driver is in no record"),
            Self::LayerDamaged { layer, reason } => write!(formatter, "layer {layer} is damaged: {reason}"),
            Self::RecipeMissing { layer } => write!(formatter, "layer {layer} has no recipe"),
            Self::RecipeUnknown { name } => write!(formatter, "recipe {name} belongs to no layer"),
            Self::ImageIncomplete { image, layer } => {
                write!(formatter, "image {image} lacks its layer {layer}")
            }
            Self::ImageInconsistent { image, reason } => write!(formatter, "image {image}: {reason}"),
            Self::ContainerIncomplete { name, layer } => {
                write!(formatter, "container {name} lacks its layer {layer}")
            }
            Self::SnapshotIncomplete { key, layer } => {
                write!(formatter, "snapshot {key} lacks its layer {layer}")
            }
            Self::MountGone { target } => write!(formatter, "nothing is mounted at {}", target.display()),
        }
    }
}

/// Where the bytes of a layer were had from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its own files, or those of another layer with the same tar.
    OwnFiles,
    /// A folder of the driver that was in no record.
    UnknownFolder,
    /// The source that was named.
    Source,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OwnFiles => "the store's own files",
            Self::UnknownFolder => "a folder that was in no record",
            Self::Source => "the source",
        })
    }
}

/// Something that a repair could not restore: it stays marked, and nothing can be made on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrepaired {
    /// What it is, in words.
    pub what: String,
    /// Why not.
    pub reason: String,
}

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The layers that were made anew, and where their bytes are from.
    pub restored: Vec<(LayerId, Origin)>,
    /// The damaged ones whose places they took, and which are gone.
    pub replaced: Vec<LayerId>,
    /// What could not be restored.
    pub unrepaired: Vec<Unrepaired>,
}

/// What a check went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Layers looked at.
    pub layers: u64,
    /// Images looked at.
    pub images: u64,
    /// Bytes of tar that were rebuilt and verified.
    pub bytes_verified: u64,
    /// Problems visited.
    pub problems: u64,
}

/// What the store takes, by image, container and layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// The images, as [`Store::images`](crate::Store::images) lists them.
    pub images: Vec<ImageUsage>,
    /// The containers.
    pub containers: Vec<ContainerUsage>,
    /// The layers.
    pub layers: Vec<LayerUsage>,
    /// Bytes that a garbage collection would free now.
    pub reclaimable_bytes: u64,
}

/// What an image takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The image.
    pub id: Digest,
    /// Its names.
    pub names: Vec<Reference>,
    /// Bytes of all its layers.
    pub size_bytes: u64,
    /// Bytes of the layers that other images have too.
    pub shared_bytes: u64,
    /// Bytes of the layers that it alone has.
    pub unique_bytes: u64,
    /// Containers on it.
    pub containers: usize,
}

/// What a container takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: Option<Digest>,
    /// Bytes in its writable layer, measured now.
    pub size_bytes: u64,
    /// Inodes in its writable layer, measured now.
    pub inodes: u64,
}

/// What a layer takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerUsage {
    /// The layer.
    pub id: LayerId,
    /// Bytes of its own files.
    pub size_bytes: u64,
    /// Images that have it.
    pub images: usize,
    /// Nothing needs it; a garbage collection would free it.
    pub reclaimable: bool,
}
