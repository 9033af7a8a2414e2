//! Images in docker's archives, ready to be imported.

use std::io::{self, Read};
use std::sync::Arc;

use plywood_archive::compression::{Compression, Decompressor, ExpansionLimit};
use plywood_archive::digest::Digest;
use plywood_graph::{Blob, ImagePlan, LayerSource, PlannedLayer, Reference};

use super::{Item, MANIFEST};
use crate::document::{Config, Descriptor, Manifest, parse};
use crate::layout::{Files, Opened, as_io_error, check_digest, read_document, read_opened};
use crate::media_type::{DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST};
use crate::tarball::Archive;
use crate::{ImageError, Platform};

/// A docker archive that is being read.
#[derive(Debug)]
pub(crate) struct DockerArchive {
    archive: Arc<Archive>,
    items: Vec<Item>,
}

/// What the store is to import, and where it reads the layers.
#[derive(Debug)]
pub(crate) struct PlannedDockerImage {
    /// What the store is to import.
    pub plan: ImagePlan,
    archive: Arc<Archive>,
    layers: Vec<String>,
}

impl DockerArchive {
    /// Takes an archive for one of docker's.
    pub(crate) fn open(archive: Arc<Archive>) -> Result<Self, ImageError> {
        let location = archive.location();
        if !archive.has(MANIFEST) {
            let reason = format!("it is no docker archive: it has no file '{MANIFEST}'");
            return Err(ImageError::unusable(location, reason));
        }
        let items: Vec<Item> = parse(&read_document(&*archive, MANIFEST)?, location, MANIFEST)?;
        if items.is_empty() {
            return Err(ImageError::unusable(location, "there is no image in it"));
        }
        Ok(Self { archive, items })
    }

    /// All images, in their order.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The one image that `reference` names, or the only one.
    pub(crate) fn choose(&self, reference: Option<&str>) -> Result<&Item, ImageError> {
        let location = self.archive.location().to_owned();
        let mut present: Vec<String> = self.items.iter().flat_map(|item| item.repo_tags.clone()).collect();
        present.sort();
        match reference {
            Some(reference) => {
                let wanted = reference_of_tag(reference);
                let mut items = self.items.iter();
                let found = items.find(|item| {
                    let mut tags = item.repo_tags.iter();
                    tags.any(|tag| tag == reference || wanted.is_some() && reference_of_tag(tag) == wanted)
                });
                let reference = reference.to_owned();
                found.ok_or(ImageError::NoSuchReference { location, reference, present })
            }
            None if self.items.len() == 1 => Ok(&self.items[0]),
            None => Err(ImageError::SeveralImages { location, present }),
        }
    }

    /// Reads an image's config, and checks what can be checked before its layers are read.
    pub(crate) fn plan(&self, item: &Item, names: Vec<Reference>) -> Result<PlannedDockerImage, ImageError> {
        let (config_bytes, config) = self.config(item)?;
        let diff_ids = config.diff_ids();
        if item.layers.len() != diff_ids.len() {
            let reason =
                format!("it has {} layers, and its config {} diff ids", item.layers.len(), diff_ids.len());
            return Err(ImageError::malformed(self.archive.location(), &item.config, reason));
        }
        let mut layers = Vec::new();
        let mut descriptors = Vec::new();
        for (name, diff_id) in item.layers.iter().zip(diff_ids) {
            let packed_bytes = self.archive.follow(name)?.size_bytes;
            let packed = named_digest(name).map(|digest| Blob { digest, size_bytes: packed_bytes });
            layers.push(PlannedLayer { diff_id: *diff_id, packed });
            descriptors.push(Descriptor::new(DOCKER_LAYER, *diff_id, self.plain_bytes(name)?));
        }
        let config_digest = Digest::of(&config_bytes);
        let config = Descriptor::new(DOCKER_CONFIG, config_digest, config_bytes.len() as u64);
        let plan = ImagePlan {
            manifest: Manifest::new(DOCKER_MANIFEST, config, descriptors)
                .to_bytes(self.archive.location())?,
            manifest_media_type: DOCKER_MANIFEST.to_owned(),
            config: config_bytes,
            layers,
            names,
        };
        Ok(PlannedDockerImage { plan, archive: Arc::clone(&self.archive), layers: item.layers.clone() })
    }

    /// Refuses an image that says it is for another platform.
    pub(crate) fn check_platform(&self, item: &Item, wanted: &Platform) -> Result<(), ImageError> {
        match self.config(item)?.1.platform() {
            Some(platform) if platform.suitability(wanted).is_none() => Err(ImageError::NoPlatform {
                location: self.archive.location().to_owned(),
                wanted: wanted.to_string(),
                present: vec![platform.to_string()],
            }),
            _ => Ok(()),
        }
    }

    fn config(&self, item: &Item) -> Result<(Vec<u8>, Config), ImageError> {
        let location = self.archive.location();
        let section = self.archive.follow(&item.config)?;
        let opened = Opened { size_bytes: section.size_bytes, reader: Box::new(section) };
        let bytes = read_opened(opened, location, &item.config)?;
        let name = item.config.strip_suffix(".json").unwrap_or(&item.config);
        if let Some(expected) = digest_of_hex(name).or_else(|| named_digest(name)) {
            check_digest(&bytes, &expected, location, &item.config)?;
        }
        let config = Config::parse(&bytes, location, &item.config)?;
        Ok((bytes, config))
    }

    /// How long a layer's plain tar is; one that is packed is unpacked to see.
    fn plain_bytes(&self, name: &str) -> Result<u64, ImageError> {
        let shown = format!("{}: {name}", self.archive.location());
        let mut first = Vec::new();
        let start = self.archive.follow(name)?.take(Compression::DETECT_BYTES as u64).read_to_end(&mut first);
        start.map_err(ImageError::io("read", &shown))?;
        let section = self.archive.follow(name)?;
        match Compression::detect(&first) {
            Ok(Compression::None) => Ok(section.size_bytes),
            Ok(_) => {
                let mut unpacked = Decompressor::new(section, ExpansionLimit::default());
                io::copy(&mut unpacked, &mut io::sink()).map_err(ImageError::io("unpack", &shown))
            }
            Err(error) => Err(ImageError::malformed(self.archive.location(), name, error.to_string())),
        }
    }
}

impl Item {
    /// The names that the image has in the archive, those that are none left out.
    pub(crate) fn names(&self) -> Vec<Reference> {
        self.repo_tags.iter().filter_map(|tag| reference_of_tag(tag)).collect()
    }
}

impl LayerSource for PlannedDockerImage {
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send>> {
        let name = self.layers.get(index).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Box::new(self.archive.follow(name).map_err(as_io_error)?))
    }
}

/// Docker leaves its own registry away: its `alpine:3` is `docker.io/library/alpine:3`.
fn reference_of_tag(tag: &str) -> Option<Reference> {
    let has_registry =
        tag.split_once('/').is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']));
    let full = if has_registry { tag.to_owned() } else { format!("docker.io/{tag}") };
    match full.parse() {
        Ok(reference) => Some(reference),
        Err(error) => {
            tracing::warn!(%error, "a name in the archive is not kept");
            None
        }
    }
}

/// The digest that a member's name promises: newer archives keep their members as a layout does.
fn named_digest(name: &str) -> Option<Digest> {
    digest_of_hex(name.strip_prefix("blobs/sha256/")?)
}

fn digest_of_hex(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}
