//! Images out of the store as blobs: layers packed, config, manifest.

use std::io::{self, Write};

use plywood_archive::compression::{Compression, Compressor};
use plywood_archive::digest::{Digest, Measured};
use plywood_graph::{Event, ImageRecord, LayerRecord, Progress, Store};

use crate::document::{Config, Descriptor, Manifest};
use crate::media_type::{
    DOCKER_CONFIG, DOCKER_MANIFEST, LayerKind, OCI_CONFIG, OCI_MANIFEST, docker_layer, oci_layer,
};
use crate::{ImageError, ManifestFormat};

/// How an image is to be packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    pub compression: Compression,
    pub level: Option<i32>,
    pub format: ManifestFormat,
}

/// Writes the content of one blob.
pub(crate) type Fill<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), ImageError>;

/// Where blobs go.
pub(crate) trait BlobSink {
    /// What errors call it.
    fn location(&self) -> &str;

    /// How long the blob is, where it is there and verified.
    fn size_of(&self, digest: &Digest) -> Result<Option<u64>, ImageError>;

    /// Takes a blob. Nothing is kept of one that fails half-way.
    fn put(&mut self, fill: Fill<'_>) -> Result<Measured, ImageError>;
}

/// Takes a document.
pub(crate) fn put_bytes(sink: &mut dyn BlobSink, bytes: &[u8]) -> Result<Measured, ImageError> {
    let measured = Measured::of(bytes);
    if sink.size_of(&measured.digest)? == Some(measured.size_bytes) {
        return Ok(measured);
    }
    let shown = format!("{}: {}", sink.location(), measured.digest);
    sink.put(&mut |out| out.write_all(bytes).map_err(ImageError::io("write", &shown)))
}

/// Puts an image's layers, config and manifest into `sink`, and describes the manifest.
///
/// The image's own manifest is kept, byte for byte, where all that it describes is what was put.
pub(crate) fn put_image(
    store: &Store,
    image: &ImageRecord,
    packing: Packing,
    sink: &mut dyn BlobSink,
    progress: &dyn Progress,
) -> Result<Descriptor, ImageError> {
    // Whoever registered the image may have given a manifest of another kind; then a new one is made.
    let own = Manifest::parse(&image.manifest, Some(&image.manifest_media_type), "store", "manifest").ok();
    let mut layers = Vec::with_capacity(image.layers.len());
    for (index, layer) in image.layers.iter().enumerate() {
        let known = own.as_ref().and_then(|own| own.layers.get(index));
        let put = PutLayer { store, layer, index, packing, progress };
        let measured = put.run(known, sink)?;
        layers.push(Descriptor::new(layer_type(packing)?, measured.digest, measured.size_bytes));
    }
    let config = put_bytes(sink, &image.config)?;
    let (manifest_type, config_type) = match packing.format {
        ManifestFormat::Oci => (OCI_MANIFEST, OCI_CONFIG),
        ManifestFormat::Docker => (DOCKER_MANIFEST, DOCKER_CONFIG),
    };
    let config = Descriptor::new(config_type, config.digest, config.size_bytes);
    let bytes = match own {
        Some(own) if image.manifest_media_type == manifest_type && describes(&own, &config, &layers) => {
            image.manifest.clone()
        }
        own => {
            let mut manifest = Manifest::new(manifest_type, config, layers);
            if let (Some(own), ManifestFormat::Oci) = (own, packing.format) {
                manifest.annotations = own.annotations;
            }
            manifest.to_bytes(sink.location())?
        }
    };
    let measured = put_bytes(sink, &bytes)?;
    let descriptor = Descriptor::new(manifest_type, measured.digest, measured.size_bytes);
    Ok(match Config::of(image)?.platform() {
        Some(platform) => descriptor.for_platform(&platform),
        None => descriptor,
    })
}

fn layer_type(packing: Packing) -> Result<String, ImageError> {
    match packing.format {
        ManifestFormat::Oci => Ok(oci_layer(packing.compression)),
        ManifestFormat::Docker => docker_layer(packing.compression).ok_or_else(|| ImageError::Invalid {
            operation: "write the manifest",
            reason: "docker's format has no zstd layers; choose gzip, or the OCI format".to_owned(),
        }),
    }
}

fn describes(manifest: &Manifest, config: &Descriptor, layers: &[Descriptor]) -> bool {
    let same = |a: &Descriptor, b: &Descriptor| a.digest == b.digest && a.size_bytes == b.size_bytes;
    same(&manifest.config, config)
        && manifest.layers.len() == layers.len()
        && manifest.layers.iter().zip(layers).all(|(a, b)| same(a, b))
}

/// The diff id of a layer that an image has.
pub(crate) fn diff_id(layer: &LayerRecord) -> Result<Digest, ImageError> {
    layer.diff_id.ok_or_else(|| ImageError::Invalid {
        operation: "read the layer",
        reason: format!("layer {} is not committed", layer.id),
    })
}

/// One layer on its way into a sink.
struct PutLayer<'a> {
    store: &'a Store,
    layer: &'a LayerRecord,
    index: usize,
    packing: Packing,
    progress: &'a dyn Progress,
}

impl PutLayer<'_> {
    fn run(&self, known: Option<&Descriptor>, sink: &mut dyn BlobSink) -> Result<Measured, ImageError> {
        let diff_id = diff_id(self.layer)?;
        let (index, diff_id) = (self.index, &diff_id);
        if let Some(measured) = self.there_already(known, diff_id, sink)? {
            self.progress.report(Event::LayerReused { index, diff_id: Some(diff_id) });
            return Ok(measured);
        }
        self.progress.report(Event::LayerStarted { index, diff_id: Some(diff_id), total_bytes: None });
        let shown = format!("{}: layer {diff_id}", sink.location());
        let measured = sink.put(&mut |out| {
            let Packing { compression, level, .. } = self.packing;
            let compressor =
                Compressor::new(out, compression, level).map_err(ImageError::io("pack", &shown))?;
            let mut reporting = Reporting { inner: compressor, index, diff_id, progress: self.progress };
            self.store.layer_tar(&self.layer.id, &mut reporting)?;
            reporting.inner.finish().map_err(ImageError::io("pack", &shown))?;
            Ok(())
        })?;
        self.progress.report(Event::LayerDone { index, diff_id: Some(diff_id) });
        Ok(measured)
    }

    /// The layer packed in the way asked for, where the sink has it. A level that was asked for is not taken on trust.
    fn there_already(
        &self,
        known: Option<&Descriptor>,
        diff_id: &Digest,
        sink: &mut dyn BlobSink,
    ) -> Result<Option<Measured>, ImageError> {
        let digest = match (self.packing.compression, known) {
            (Compression::None, _) => *diff_id,
            (wanted, Some(known)) if self.packing.level.is_none() => {
                let packed = LayerKind::of(&known.media_type).map(|kind| kind.compression);
                if packed != Some(wanted) || known.digest == *diff_id {
                    return Ok(None);
                }
                known.digest
            }
            _ => return Ok(None),
        };
        Ok(sink.size_of(&digest)?.map(|size_bytes| Measured { digest, size_bytes }))
    }
}

/// Tells about every byte that the inner writer takes.
pub(crate) struct Reporting<'a, W> {
    pub inner: W,
    pub index: usize,
    pub diff_id: &'a Digest,
    pub progress: &'a dyn Progress,
}

impl<W: Write> Write for Reporting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        let (index, diff_id) = (self.index, Some(self.diff_id));
        self.progress.report(Event::LayerAdvanced { index, diff_id, bytes: count as u64 });
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
