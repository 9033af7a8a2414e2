//! Several images out of the store, in one archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use plywood_archive::compression::Compression;
use plywood_archive::digest::{Digest, HashingWriter, Measured};
use plywood_graph::{ImageRecord, Progress, Reference, Store};

use crate::docker_archive::write_docker_archive;
use crate::document::{CONTAINERD_NAME, Descriptor, REFERENCE_NAME};
use crate::layout::{INDEX, MARKER, MARKER_CONTENT, blob_name, new_index};
use crate::packing::{BlobSink, Fill, Packing, put_image};
use crate::replace::replace_file;
use crate::tarball::ArchiveWriter;
use crate::{ImageError, ManifestFormat};

/// What a saved archive is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SaveFormat {
    /// What `docker save` and `podman save` write; layers are plain.
    #[default]
    DockerArchive,
    /// An OCI layout in a tar; layers are plain too, so that manifests stay as they are where they can.
    OciArchive,
}

/// Writes images into one archive, every layer once. The same images give the same bytes. An image that was asked for
/// by a name has that name in the archive, one asked for by its id has none.
///
/// # Errors
/// [`ImageError`]: no image was asked for, one is not there, or writing failed; what was written is then worthless.
pub fn save(
    store: &Store,
    images: &[&str],
    format: SaveFormat,
    to: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<(), ImageError> {
    let records = records(store, images)?;
    match format {
        SaveFormat::DockerArchive => {
            let tagged: Vec<(ImageRecord, Vec<String>)> = records
                .into_iter()
                .map(|(image, names)| (image, names.iter().filter_map(tag_of).collect()))
                .collect();
            write_docker_archive(store, &tagged, "archive", to, progress)
        }
        SaveFormat::OciArchive => {
            let packing =
                Packing { compression: Compression::None, level: None, format: ManifestFormat::Oci };
            let mut spool = Spool::new(store, "archive");
            let mut index = Vec::new();
            for (image, names) in &records {
                let manifest = put_image(store, image, packing, &mut spool, progress)?;
                index.extend(entries(&manifest, names));
            }
            write_oci_archive(&mut spool, &index, to)
        }
    }
}

/// As [`save`], into a file that is written beside its target, made durable and renamed.
///
/// # Errors
/// As [`save`]; the target is then as it was.
pub fn save_to_file(
    store: &Store,
    images: &[&str],
    format: SaveFormat,
    to: &Path,
    progress: &dyn Progress,
) -> Result<(), ImageError> {
    replace_file(to, &mut |out| save(store, images, format, out, progress))
}

/// The images, each once, with the names by which they were asked for.
fn records(store: &Store, queries: &[&str]) -> Result<Vec<(ImageRecord, Vec<Reference>)>, ImageError> {
    let mut found: Vec<(ImageRecord, Vec<Reference>)> = Vec::new();
    for query in queries {
        let image = store.image(query)?;
        let asked = image.names.iter().find(|name| is_meant(name, query)).cloned();
        match found.iter_mut().find(|(known, _)| known.id == image.id) {
            Some((_, names)) => names.extend(asked.filter(|asked| !names.contains(asked))),
            None => found.push((image, asked.into_iter().collect())),
        }
    }
    if found.is_empty() {
        let reason = "no image was named".to_owned();
        return Err(ImageError::Invalid { operation: "save", reason });
    }
    Ok(found)
}

/// Whether who types `query` can mean `name`: it is that name, or without a registry the end of it.
fn is_meant(name: &Reference, query: &str) -> bool {
    let Ok(typed) = query.parse::<Reference>() else { return false };
    let ends = || {
        name.path().strip_suffix(typed.path()).is_some_and(|front| front.is_empty() || front.ends_with('/'))
    };
    let short = typed.domain() == "localhost" && !query.starts_with("localhost/");
    *name == typed || short && ends() && name.tag() == typed.tag()
}

/// A name as docker archives have it; one with a digest alone is none.
pub(crate) fn tag_of(name: &Reference) -> Option<String> {
    name.tag().map(|tag| format!("{}:{tag}", name.name()))
}

/// An image as an index lists it: once for each name.
fn entries(manifest: &Descriptor, names: &[Reference]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![manifest.clone()];
    }
    let entry = |name: &Reference| {
        let mut entry = manifest.clone();
        for key in [REFERENCE_NAME, CONTAINERD_NAME] {
            entry.annotations.insert(key.to_owned(), name.to_string());
        }
        entry
    };
    names.iter().map(entry).collect()
}

/// Blobs in temporary files of the store, until all are there and an archive can have them sorted.
#[derive(Debug)]
pub(crate) struct Spool<'a> {
    store: &'a Store,
    location: String,
    blobs: BTreeMap<Digest, (File, u64)>,
}

impl<'a> Spool<'a> {
    /// Begins with no blobs.
    pub(crate) fn new(store: &'a Store, location: &str) -> Self {
        Self { store, location: location.to_owned(), blobs: BTreeMap::new() }
    }
}

impl BlobSink for Spool<'_> {
    fn location(&self) -> &str {
        &self.location
    }

    fn size_of(&self, digest: &Digest) -> Result<Option<u64>, ImageError> {
        Ok(self.blobs.get(digest).map(|(_, size_bytes)| *size_bytes))
    }

    fn put(&mut self, fill: Fill<'_>) -> Result<Measured, ImageError> {
        let scratch = self.store.scratch()?;
        let mut writer = HashingWriter::new(BufWriter::with_capacity(256 << 10, scratch));
        fill(&mut writer)?;
        let (buffer, measured) = writer.finish();
        let file = buffer.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(ImageError::io("write", "a temporary file of the store"))?;
        self.blobs.insert(measured.digest, (file, measured.size_bytes));
        Ok(measured)
    }
}

/// Writes an OCI layout as a tar, its members sorted.
pub(crate) fn write_oci_archive(
    spool: &mut Spool<'_>,
    index: &[Descriptor],
    out: &mut dyn Write,
) -> Result<(), ImageError> {
    let index = new_index(index)?;
    let write = || -> io::Result<()> {
        let mut archive = ArchiveWriter::new(out);
        archive.folder("blobs")?;
        archive.folder("blobs/sha256")?;
        for (digest, (file, size_bytes)) in &mut spool.blobs {
            file.rewind()?;
            archive.file(&blob_name(digest), *size_bytes, file)?;
        }
        archive.bytes(INDEX, &index)?;
        archive.bytes(MARKER, MARKER_CONTENT)?;
        archive.finish()
    };
    write().map_err(ImageError::io("write", &spool.location))
}
