//! The layers that a location has, by diff id: where damaged ones are restored from.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use plywood_archive::digest::Digest;
use plywood_graph::{LayerSource, Store};

use crate::docker_archive::DockerArchive;
use crate::layout::{Folder, Layout};
use crate::tarball::Archive;
use crate::{ImageError, Location};

/// All layers of all images of a location, whatever their names and platforms. They are not verified before they are read; the store takes
/// none that is not what it should be.
pub struct Originals {
    images: Vec<Box<dyn LayerSource>>,
    /// The image and the layer in it.
    places: HashMap<Digest, (usize, usize)>,
}

impl std::fmt::Debug for Originals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Originals").field("layers", &self.places.len()).finish_non_exhaustive()
    }
}

impl Originals {
    /// Reads which layers there are. Images that are not whole, or are of a kind that is not understood, are left out.
    ///
    /// # Errors
    /// [`ImageError`]: there is no layout or archive.
    pub fn open(store: &Store, from: &Location) -> Result<Self, ImageError> {
        let location = from.to_string();
        let mut found = Self { images: Vec::new(), places: HashMap::new() };
        match from {
            Location::Oci { folder, .. } => {
                found.add_layout(&Layout::open(Arc::new(Folder::open(folder, location)?))?)?;
            }
            Location::OciArchive { file, .. } => {
                found.add_layout(&Layout::open(Arc::new(Archive::open(store, file, &location)?))?)?;
            }
            Location::DockerArchive { file, .. } => {
                let archive = DockerArchive::open(Arc::new(Archive::open(store, file, &location)?))?;
                for item in archive.items() {
                    match archive.plan(item, Vec::new()) {
                        Ok(image) => {
                            let diff_ids = image.plan.layers.iter().map(|layer| layer.diff_id).collect();
                            found.add(Box::new(image), diff_ids);
                        }
                        Err(error) => tracing::warn!(%error, "an image of the source is left out"),
                    }
                }
            }
        }
        Ok(found)
    }

    fn add_layout(&mut self, layout: &Layout) -> Result<(), ImageError> {
        for manifest in layout.all_manifests()? {
            match layout.plan(&manifest, Vec::new()) {
                Ok(image) => {
                    let diff_ids = image.plan.layers.iter().map(|layer| layer.diff_id).collect();
                    self.add(Box::new(image), diff_ids);
                }
                Err(error) => tracing::warn!(%error, "an image of the source is left out"),
            }
        }
        Ok(())
    }

    fn add(&mut self, image: Box<dyn LayerSource>, diff_ids: Vec<Digest>) {
        let number = self.images.len();
        self.images.push(image);
        for (index, diff_id) in diff_ids.into_iter().enumerate() {
            self.places.entry(diff_id).or_insert((number, index));
        }
    }
}

impl plywood_graph::Originals for Originals {
    fn open(&self, diff_id: &Digest) -> io::Result<Option<Box<dyn Read + Send>>> {
        match self.places.get(diff_id) {
            Some((image, index)) => self.images[*image].open(*index).map(Some),
            None => Ok(None),
        }
    }
}
