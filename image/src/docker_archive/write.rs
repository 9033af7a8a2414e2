//! Images out of the store as one of docker's archives.

use std::collections::BTreeMap;
use std::io::{self, Seek, Write};

use plywood_graph::{Event, ImageRecord, LayerRecord, Progress, Store};

use super::{Item, MANIFEST};
use crate::ImageError;
use crate::packing::{Reporting, diff_id};
use crate::tarball::ArchiveWriter;

/// A member that is still to be written.
enum Content<'a> {
    Config(&'a ImageRecord),
    Layer(usize, &'a LayerRecord),
}

/// Writes images with the names that they are to have in the archive. Members are sorted, and each layer is written
/// once; its plain tar passes through a temporary file of the store, because a member begins with its length.
pub(crate) fn write_docker_archive(
    store: &Store,
    images: &[(ImageRecord, Vec<String>)],
    location: &str,
    out: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<(), ImageError> {
    let mut members = BTreeMap::new();
    let mut items = Vec::new();
    for (image, tags) in images {
        let config = format!("{}.json", image.id.hex());
        let mut layers = Vec::new();
        for (index, layer) in image.layers.iter().enumerate() {
            let name = format!("{}.tar", diff_id(layer)?.hex());
            members.insert(name.clone(), Content::Layer(index, layer));
            layers.push(name);
        }
        members.insert(config.clone(), Content::Config(image));
        items.push(Item { config, repo_tags: tags.clone(), layers });
    }
    let written = || ImageError::io("write", location);
    let mut archive = ArchiveWriter::new(out);
    for (name, content) in members {
        match content {
            Content::Config(image) => archive.bytes(&name, &image.config).map_err(written())?,
            Content::Layer(index, layer) => {
                let (mut tar, size_bytes) = spool_layer(store, index, layer, progress)?;
                archive.file(&name, size_bytes, &mut tar).map_err(written())?;
            }
        }
    }
    let manifest = serde_json::to_vec(&items).map_err(|source| ImageError::Document {
        location: location.to_owned(),
        member: MANIFEST.to_owned(),
        source,
    })?;
    // Digests begin with a digit or a letter up to 'f', so this is the last of the sorted names.
    archive.bytes(MANIFEST, &manifest).map_err(written())?;
    archive.finish().map_err(written())
}

fn spool_layer(
    store: &Store,
    index: usize,
    layer: &LayerRecord,
    progress: &dyn Progress,
) -> Result<(std::fs::File, u64), ImageError> {
    let diff_id = &diff_id(layer)?;
    progress.report(Event::LayerStarted { index, diff_id: Some(diff_id), total_bytes: None });
    let mut scratch = store.scratch()?;
    let buffer = io::BufWriter::with_capacity(256 << 10, &mut scratch);
    let mut reporting = Reporting { inner: buffer, index, diff_id, progress };
    let measured = store.layer_tar(&layer.id, &mut reporting)?;
    reporting.inner.flush().map_err(ImageError::io("write", "a temporary file of the store"))?;
    drop(reporting);
    scratch.rewind().map_err(ImageError::io("rewind", "a temporary file of the store"))?;
    progress.report(Event::LayerDone { index, diff_id: Some(diff_id) });
    Ok((scratch, measured.size_bytes))
}
