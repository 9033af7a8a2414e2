//! One image out of the store.

use plywood_archive::compression::Compression;
use plywood_archive::digest::Digest;
use plywood_graph::{ImageRecord, Progress, Store};

use crate::docker_archive::write_docker_archive;
use crate::document::{Descriptor, REFERENCE_NAME};
use crate::layout::LayoutFolder;
use crate::packing::{Packing, put_image};
use crate::replace::replace_file;
use crate::save::{Spool, write_oci_archive};
use crate::{ImageError, Location};

/// Whose media types a manifest has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ManifestFormat {
    /// The OCI image specification's.
    #[default]
    Oci,
    /// Docker's schema 2. It has no zstd layers, and skopeo takes it in no layout.
    Docker,
}

/// How an image is written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushOptions {
    /// How layers are packed; docker archives have them plain whatever this says.
    pub compression: Compression,
    /// The level: 0 to 9 for gzip, 1 to 22 for zstd. `None` is 6 and 3; a layer that is there packed already is then
    /// not packed again.
    pub level: Option<i32>,
    /// Whose media types the manifest has.
    pub format: ManifestFormat,
}

impl Default for PushOptions {
    /// Gzip and OCI.
    fn default() -> Self {
        Self { compression: Compression::Gzip, level: None, format: ManifestFormat::Oci }
    }
}

/// Writes an image out, and answers the digest of its manifest; of a docker archive, which has none, that of the
/// config, the image's id.
///
/// A layout gets the image in place of the one of that reference, and keeps its others; two pushes into one layout
/// at once lose nothing. An archive is written beside its target, made durable and renamed.
///
/// # Errors
/// [`ImageError`]: there is no such image, what is at `to` is no layout, or writing failed; the target is then as it
/// was, save for blobs that no index names.
pub fn push(
    store: &Store,
    image: &str,
    to: &Location,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest, ImageError> {
    let record = store.image(image)?;
    let location = to.to_string();
    let PushOptions { compression, level, format } = *options;
    let packing = Packing { compression, level, format };
    match to {
        Location::Oci { folder, reference } => {
            let mut sink = LayoutFolder::open_or_create(folder, &location)?;
            let manifest = put_image(store, &record, packing, &mut sink, progress)?;
            let manifest = named(manifest, reference.as_deref());
            sink.list(&manifest)?;
            Ok(manifest.digest)
        }
        Location::OciArchive { file, reference } => {
            let mut sink = Spool::new(store, &location);
            let manifest = put_image(store, &record, packing, &mut sink, progress)?;
            let manifest = named(manifest, reference.as_deref());
            let index = [manifest];
            replace_file(file, &mut |out| write_oci_archive(&mut sink, &index, out))?;
            Ok(index[0].digest)
        }
        Location::DockerArchive { file, reference } => {
            let id = record.id;
            let tags = docker_tags(&record, reference.as_deref())?;
            let images = [(record, tags)];
            replace_file(file, &mut |out| write_docker_archive(store, &images, &location, out, progress))?;
            Ok(id)
        }
    }
}

/// The image with the name that an index gives it.
fn named(mut manifest: Descriptor, reference: Option<&str>) -> Descriptor {
    if let Some(reference) = reference {
        manifest.annotations.insert(REFERENCE_NAME.to_owned(), reference.to_owned());
    }
    manifest
}

/// The tags that an image gets in a docker archive: the one asked for, else all that it has.
fn docker_tags(image: &ImageRecord, reference: Option<&str>) -> Result<Vec<String>, ImageError> {
    let Some(reference) = reference else {
        return Ok(image.names.iter().filter_map(crate::save::tag_of).collect());
    };
    let parsed = reference.parse().map_err(|error: plywood_graph::InvalidReference| ImageError::Invalid {
        operation: "name the image in the archive",
        reason: error.to_string(),
    })?;
    let tag = crate::save::tag_of(&parsed).ok_or_else(|| ImageError::Invalid {
        operation: "name the image in the archive",
        reason: format!("'{reference}' has no tag"),
    })?;
    Ok(vec![tag])
}
