//! A container's changes, committed as a layer. The container lives on.

use std::io::{self, BufWriter, PipeWriter, Write};
use std::thread::ScopedJoinHandle;

use plywood_graphdriver::{GraphDriver, LayerRef};

use crate::database::layers;
use crate::import::{Keeper, Single};
use crate::layers::parents;
use crate::lease::Lease;
use crate::{CommittedLayer, GraphError, LayerState, LeaseGuard, Progress, Store, lookup};

/// A pipe holds 64 KiB.
const BUFFER_BYTES: usize = 64 << 10;

impl Store {
    /// Commits what a container changed as a layer on the container's own parents. Nothing holds the layer yet but the
    /// lease answered with it; [`register_image`](Self::register_image) comes next. The container should not be written to
    /// meanwhile.
    ///
    /// # Errors
    /// Those of [`container`](Self::container); the driver's.
    pub fn commit_layer(
        &self,
        container: &str,
        progress: &dyn Progress,
    ) -> Result<CommittedLayer, GraphError> {
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
        let pipe = || GraphError::io::<io::Error>("make", "a pipe");
        let (reader, writer) = io::pipe().map_err(pipe())?;
        let driver = &*self.inner.driver;
        let own = LayerRef::new(&container.layer, &parents);
        let layer = std::thread::scope(|scope| {
            let diff = scope.spawn(move || write_diff(driver, own, writer));
            let confirm = || joined(diff);
            let (lease, parent) = (&lease, parents.first());
            let single = Single { lease, parent, expected: None, keeper: Keeper::Lease };
            self.inner.import_single(&single, Box::new(reader), confirm, progress)
        })?;
        let image = container.image.map(|image| self.image(&image.to_string())).transpose()?;
        Ok(CommittedLayer { layer, image, lease: LeaseGuard::new(lease) })
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
