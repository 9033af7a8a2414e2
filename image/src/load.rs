//! All images of an archive into the store.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use plywood_archive::digest::Digest;
use plywood_graph::{ImagePlan, Imported, LayerSource, Progress, Reference, Store};

use crate::docker_archive::{DockerArchive, MANIFEST};
use crate::document::Descriptor;
use crate::layout::{INDEX, Layout, MARKER, candidates};
use crate::tarball::Archive;
use crate::{ImageError, Platform};

/// An archive to be loaded.
pub enum ArchiveInput<'a> {
    /// A file. A plain tar is read in place.
    File(&'a Path),
    /// A stream, such as standard input. It is read to its end, into a temporary file of the store.
    Stream(&'a mut dyn Read),
}

impl fmt::Debug for ArchiveInput<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => formatter.debug_tuple("Stream").finish_non_exhaustive(),
        }
    }
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The names that it has in the archive and now in the store.
    pub names: Vec<Reference>,
    /// What the import did.
    pub imported: Imported,
}

/// Brings every image of an archive into the store, with the names that it has there; plain, or packed with gzip or
/// zstd. Of an archive that is both an OCI layout and one of docker's, as `docker save` writes them now, the layout is
/// read, because it has the digests. `platform` decides only where an image is there for several.
///
/// # Errors
/// As [`pull`](crate::pull). Images before the one that failed are loaded.
pub fn load(
    store: &Store,
    input: ArchiveInput<'_>,
    platform: &Platform,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>, ImageError> {
    let archive = match input {
        ArchiveInput::File(path) => Archive::open(store, path, &path.display().to_string())?,
        ArchiveInput::Stream(stream) => Archive::copy(store, stream, "standard input")?,
    };
    let archive = Arc::new(archive);
    if archive.has(MARKER) && archive.has(INDEX) {
        load_layout(store, &Layout::open(archive)?, platform, progress)
    } else if archive.has(MANIFEST) {
        load_docker(store, &DockerArchive::open(archive)?, progress)
    } else {
        use crate::layout::Files;
        let reason = format!(
            "it is neither an OCI layout nor a docker archive: it has no '{INDEX}' and no '{MANIFEST}'"
        );
        Err(ImageError::unusable(archive.location(), reason))
    }
}

fn load_layout(
    store: &Store,
    layout: &Layout,
    platform: &Platform,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>, ImageError> {
    let mut images: Vec<(Descriptor, Vec<Reference>)> = Vec::new();
    for candidate in candidates(&layout.index()?) {
        let manifest = layout.manifest_for(&candidate.entries, platform, true)?;
        match images.iter_mut().find(|(known, _)| known.digest == manifest.digest) {
            Some((_, names)) => names.extend(candidate.name()),
            None => images.push((manifest, candidate.name().into_iter().collect())),
        }
    }
    if images.is_empty() {
        return Err(ImageError::unusable(layout.location(), "there is no image in it"));
    }
    let mut loaded = Vec::new();
    for (manifest, names) in images {
        let image = layout.plan(&manifest, names)?;
        loaded.push(import(store, &image.plan, &image, progress)?);
    }
    Ok(loaded)
}

fn load_docker(
    store: &Store,
    archive: &DockerArchive,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>, ImageError> {
    let mut loaded = Vec::new();
    for item in archive.items() {
        let image = archive.plan(item, item.names())?;
        loaded.push(import(store, &image.plan, &image, progress)?);
    }
    Ok(loaded)
}

fn import(
    store: &Store,
    plan: &ImagePlan,
    source: &dyn LayerSource,
    progress: &dyn Progress,
) -> Result<Loaded, ImageError> {
    let imported = store.import_image(plan, source, progress)?;
    debug_assert_eq!(imported.image, Digest::of(&plan.config));
    Ok(Loaded { names: plan.names.clone(), imported })
}
