//! One image of a layout, ready to be imported.

use std::io::{self, Read};

use plywood_graph::{Blob, ImagePlan, LayerSource, PlannedLayer, Reference};

use super::{Layout, as_io_error, blob_name, check_size};
use crate::ImageError;
use crate::document::{Config, Descriptor, Manifest};
use crate::media_type::{DOCKER_CONFIG, LayerKind, OCI_CONFIG};

/// What the store is to import, and where it reads the layers.
#[derive(Debug)]
pub(crate) struct PlannedImage {
    /// What the store is to import.
    pub plan: ImagePlan,
    layout: Layout,
    layers: Vec<Descriptor>,
}

impl Layout {
    /// Reads manifest and config of an image, and checks what can be checked before its layers are read.
    pub(crate) fn plan(
        &self,
        manifest: &Descriptor,
        names: Vec<Reference>,
    ) -> Result<PlannedImage, ImageError> {
        let member = blob_name(&manifest.digest);
        let manifest_bytes = self.document(manifest)?;
        let parsed = Manifest::parse(&manifest_bytes, Some(&manifest.media_type), self.location(), &member)?;
        let (config_bytes, config) = self.config_of(&parsed)?;
        let (layers, diff_ids) = (parsed.layers, config.diff_ids());
        if layers.len() != diff_ids.len() {
            let reason =
                format!("it lists {} layers, and its config {} diff ids", layers.len(), diff_ids.len());
            return Err(ImageError::malformed(self.location(), member, reason));
        }
        for layer in &layers {
            self.check_layer(layer)?;
        }
        let planned = layers.iter().zip(diff_ids).map(|(layer, diff_id)| PlannedLayer {
            diff_id: *diff_id,
            packed: Some(Blob { digest: layer.digest, size_bytes: layer.size_bytes }),
        });
        let plan = ImagePlan {
            manifest: manifest_bytes,
            manifest_media_type: manifest.media_type.clone(),
            config: config_bytes,
            layers: planned.collect(),
            names,
        };
        Ok(PlannedImage { plan, layout: self.clone(), layers })
    }

    /// Reads the config that a manifest names, if it is one of an image.
    pub(super) fn config_of(&self, manifest: &Manifest) -> Result<(Vec<u8>, Config), ImageError> {
        let member = blob_name(&manifest.config.digest);
        if !matches!(manifest.config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            return Err(ImageError::MediaType {
                location: self.location().to_owned(),
                member,
                media_type: manifest.config.media_type.clone(),
                reason: "it is not the config of a container image",
            });
        }
        let bytes = self.document(&manifest.config)?;
        let config = Config::parse(&bytes, self.location(), &member)?;
        Ok((bytes, config))
    }

    fn check_layer(&self, layer: &Descriptor) -> Result<(), ImageError> {
        let refused = |reason| ImageError::MediaType {
            location: self.location().to_owned(),
            member: layer.digest.to_string(),
            media_type: layer.media_type.clone(),
            reason,
        };
        let kind = LayerKind::of(&layer.media_type).ok_or_else(|| {
            refused("only tar layers of OCI and docker schema 2 are taken, plain or packed with gzip or zstd")
        })?;
        if kind.foreign && self.blob(&layer.digest)?.is_none() {
            return Err(refused("its content is not there, and is not fetched from elsewhere"));
        }
        Ok(())
    }
}

impl LayerSource for PlannedImage {
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send>> {
        let layer = self.layers.get(index).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (location, name) = (self.layout.location(), blob_name(&layer.digest));
        let Some(opened) = self.layout.blob(&layer.digest).map_err(as_io_error)? else {
            return Err(io::Error::new(io::ErrorKind::NotFound, ImageError::missing(location, name)));
        };
        check_size(opened.size_bytes, layer.size_bytes, location, &name).map_err(as_io_error)?;
        Ok(opened.reader)
    }
}
