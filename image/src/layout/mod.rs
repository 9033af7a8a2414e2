//! OCI image layouts: folders, and the same in archives.

mod confined;
mod files;
mod image;
mod select;
mod write;

use std::sync::Arc;

use plywood_archive::digest::Digest;
use serde::Deserialize;

pub(crate) use confined::{Folder, as_io_error};
pub(crate) use files::{Files, Opened, check_digest, check_size, read_document, read_opened};
pub(crate) use select::{Candidate, candidates, choose};
pub(crate) use write::{LayoutFolder, new_index};

use crate::ImageError;
use crate::document::{Descriptor, Index, parse};

/// The file that marks a layout.
pub(crate) const MARKER: &str = "oci-layout";
/// What the marker holds.
pub(crate) const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that lists the images.
pub(crate) const INDEX: &str = "index.json";

/// A layout that is being read.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    files: Arc<dyn Files>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// Takes files for a layout, after a look at its marker.
    pub(crate) fn open(files: Arc<dyn Files>) -> Result<Self, ImageError> {
        check_marker(&*files)?;
        Ok(Self { files })
    }

    /// What errors call it.
    pub(crate) fn location(&self) -> &str {
        self.files.location()
    }

    /// The images that the layout lists.
    pub(crate) fn index(&self) -> Result<Index, ImageError> {
        Index::parse(&read_document(&*self.files, INDEX)?, None, self.location(), INDEX)
    }

    /// Reads a document and verifies it.
    pub(crate) fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let name = blob_name(&descriptor.digest);
        let opened =
            self.blob(&descriptor.digest)?.ok_or_else(|| ImageError::missing(self.location(), &name))?;
        // First what is announced: that answer is the more useful one for an index of a gigabyte.
        if descriptor.size_bytes <= crate::DOCUMENT_LIMIT_BYTES {
            check_size(opened.size_bytes, descriptor.size_bytes, self.location(), &name)?;
        }
        let bytes = read_opened(opened, self.location(), &name)?;
        check_size(bytes.len() as u64, descriptor.size_bytes, self.location(), &name)?;
        check_digest(&bytes, &descriptor.digest, self.location(), &name)?;
        Ok(bytes)
    }

    /// Opens a blob; it is not verified.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Option<Opened>, ImageError> {
        self.files.open(&blob_name(digest))
    }
}

/// Where a blob is in a layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Checks that there is a layout, of a version that is understood.
pub(crate) fn check_marker(files: &dyn Files) -> Result<(), ImageError> {
    let Some(opened) = files.open(MARKER)? else {
        let reason = format!("it is no OCI layout: it has no file '{MARKER}'");
        return Err(ImageError::unusable(files.location(), reason));
    };
    let bytes = read_opened(opened, files.location(), MARKER)?;
    let Marker { image_layout_version: version } = parse(&bytes, files.location(), MARKER)?;
    if version == "1" || version.starts_with("1.") {
        return Ok(());
    }
    let shown = version.chars().take(40).collect::<String>();
    let reason = format!("it is a layout of version '{shown}'; only 1.x is understood");
    Err(ImageError::unusable(files.location(), reason))
}
