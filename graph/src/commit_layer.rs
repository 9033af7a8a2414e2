//! A container's changes, committed as a layer together with the image that has it. The container lives on.

use std::io::{self, BufWriter, PipeWriter, Write};
use std::thread::ScopedJoinHandle;

use plywood_archive::digest::Digest;
use plywood_graphdriver::{GraphDriver, LayerId, LayerRef};

use crate::database::images::{self, NewImage};
use crate::database::layers;
use crate::images::check_chain;
use crate::import::{Staged, Unpacked, first_error};
use crate::layers::parents;
use crate::lease::Lease;
use crate::{GraphError, ImageRecord, LayerState, Progress, Reference, Store, lookup};

/// A pipe holds 64 KiB.
const BUFFER_BYTES: usize = 64 << 10;

/// A container's changes as a layer that waits for its image. Dropping it undoes it.
#[derive(Debug)]
pub struct StagedLayer {
    staged: Staged,
    unpacked: Unpacked,
    image: Option<ImageRecord>,
    is_committed: bool,
    lease: Lease,
}

impl Store {
    /// Makes a layer of what a container changed, on the container's own parents. It is there once
    /// [`register_image`](StagedLayer::register_image) has made an image of it. The container should not be written to meanwhile.
    ///
    /// # Errors
    /// Those of [`container`](Self::container); the driver's.
    pub fn stage_container(
        &self,
        container: &str,
        progress: &dyn Progress,
    ) -> Result<StagedLayer, GraphError> {
        let lease = Lease::begin(&self.inner, "commit container")?;
        let (container, parents) = self.inner.database.write_without_sync(|transaction| {
            lease.record(transaction)?;
            let container = lookup::container(transaction, container)?;
            let row = layers::by_id(transaction, &container.layer)?;
            if row.is_none_or(|row| row.record.state != LayerState::Writable) {
                let reason = "its layer was found damaged".to_owned();
                return Err(GraphError::Corrupt { what: format!("container {}", container.name), reason });
            }
            lease.hold(transaction, &container.layer)?;
            let parents = parents(transaction, &container.layer)?;
            Ok((container, parents))
        })?;
        let image = container.image.map(|image| self.image(&image.to_string())).transpose()?;
        let pipe = || GraphError::io::<io::Error>("make", "a pipe");
        let (reader, writer) = io::pipe().map_err(pipe())?;
        let driver = &*self.inner.driver;
        let own = LayerRef::new(&container.layer, &parents);
        let staged = Staged::begin(&lease, parents.first())?;
        let unpacked = std::thread::scope(|scope| {
            let diff = scope.spawn(move || write_diff(driver, own, writer));
            let unpacked = staged.unpack(&lease, Box::new(reader), None, progress);
            first_error(unpacked, joined(diff))
        });
        match unpacked {
            Ok(unpacked) => Ok(StagedLayer { staged, unpacked, image, is_committed: false, lease }),
            Err(error) => {
                staged.abandon(&lease);
                Err(error)
            }
        }
    }
}

impl StagedLayer {
    /// The digest of the layer's plain tar.
    #[must_use]
    pub fn diff_id(&self) -> Digest {
        self.unpacked.diff_id
    }

    /// How long the plain tar is.
    #[must_use]
    pub fn tar_size_bytes(&self) -> u64 {
        self.unpacked.packed.size_bytes
    }

    /// The image that the container stands on.
    #[must_use]
    pub fn image(&self) -> Option<&ImageRecord> {
        self.image.as_ref()
    }

    /// Commits the layer and registers an image whose top layer it is, in one transaction: whatever happens, both are there or
    /// neither is. Answers the image's id. Where the same layer is there already, the image has that one.
    ///
    /// # Errors
    /// `Invalid` where the config names other layers; the driver's.
    pub fn register_image(
        mut self,
        manifest: &[u8],
        manifest_media_type: &str,
        config: &[u8],
        names: &[Reference],
    ) -> Result<Digest, GraphError> {
        let id = Digest::of(config);
        let below: Vec<LayerId> = self.staged.parents().iter().rev().cloned().collect();
        self.staged.finish(&self.lease, &self.unpacked, &|transaction, layer| {
            let layers = [below.as_slice(), std::slice::from_ref(layer)].concat();
            check_chain(transaction, config, &layers)?;
            let image = NewImage { id, manifest, manifest_media_type, config, layers: &layers, names };
            images::put(transaction, &image, self.lease.inner().now())
        })?;
        self.is_committed = true;
        Ok(id)
    }
}

impl Drop for StagedLayer {
    fn drop(&mut self) {
        if !self.is_committed {
            self.staged.abandon(&self.lease);
        }
    }
}

fn write_diff(driver: &dyn GraphDriver, layer: LayerRef<'_>, writer: PipeWriter) -> Result<(), GraphError> {
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, writer);
    driver.diff(layer, &mut buffered)?;
    buffered.flush().map_err(GraphError::io::<io::Error>("write", "a pipe"))
}

fn joined(diff: ScopedJoinHandle<'_, Result<(), GraphError>>) -> Result<(), GraphError> {
    diff.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
