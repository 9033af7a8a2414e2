//! What the store takes.

use std::collections::{HashMap, HashSet};

use plywood_graphdriver::{LayerId, LayerRef, Usage};

use crate::{
    ContainerRecord, ContainerUsage, DiskUsage, GraphError, ImageRecord, ImageUsage, LayerUsage, Store,
};

impl Store {
    /// What images, containers and layers take. Containers are measured now, which walks their own files.
    ///
    /// # Errors
    /// Those of reading the records; the driver's.
    pub fn disk_usage(&self) -> Result<DiskUsage, GraphError> {
        let images = self.images()?;
        let containers = self.containers()?;
        let garbage = self.garbage()?;
        let reclaimable_bytes = garbage.iter().map(|record| record.size_bytes).sum();
        let garbage: HashSet<LayerId> = garbage.into_iter().map(|record| record.id).collect();
        let sharing = sharing(&images);
        let image_usage = images.iter().map(|image| image_usage(image, &sharing, &containers)).collect();
        let layers = self.layers()?.into_iter().map(|record| LayerUsage {
            size_bytes: record.size_bytes,
            images: sharing.get(&record.id).copied().unwrap_or(0),
            reclaimable: garbage.contains(&record.id),
            id: record.id,
        });
        let layers = layers.collect();
        let containers = self.measure(containers)?;
        Ok(DiskUsage { images: image_usage, containers, layers, reclaimable_bytes })
    }

    fn measure(&self, containers: Vec<ContainerRecord>) -> Result<Vec<ContainerUsage>, GraphError> {
        let mut measured = Vec::with_capacity(containers.len());
        for ContainerRecord { id, name, image, layer, .. } in containers {
            let Usage { size_bytes, inodes } = match self.inner.hold_layer(&layer, "measure") {
                Ok((_lease, parents, _)) => self.inner.driver.usage(LayerRef::new(&layer, &parents))?,
                // Removed since the list was made.
                Err(GraphError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            measured.push(ContainerUsage { id, name, image, size_bytes, inodes });
        }
        Ok(measured)
    }
}

/// How many images have each layer.
fn sharing(images: &[ImageRecord]) -> HashMap<LayerId, usize> {
    let mut sharing = HashMap::new();
    for layer in images.iter().flat_map(|image| &image.layers) {
        *sharing.entry(layer.id.clone()).or_insert(0) += 1;
    }
    sharing
}

fn image_usage(
    image: &ImageRecord,
    sharing: &HashMap<LayerId, usize>,
    containers: &[ContainerRecord],
) -> ImageUsage {
    let shared = image.layers.iter().filter(|layer| sharing.get(&layer.id).is_some_and(|count| *count > 1));
    let shared_bytes: u64 = shared.map(|layer| layer.size_bytes).sum();
    ImageUsage {
        id: image.id,
        names: image.names.clone(),
        size_bytes: image.size_bytes,
        shared_bytes,
        unique_bytes: image.size_bytes - shared_bytes,
        containers: containers.iter().filter(|container| container.image == Some(image.id)).count(),
    }
}
