//! Containers: made, listed, removed.

use plywood_archive::digest::Digest;
use plywood_graphdriver::{Access, LayerId};
use rusqlite::Transaction;

use crate::container_names::random_name;
use crate::database::{containers, layers, mounts};
use crate::images::found_image;
use crate::layers::Made;
use crate::lease::Lease;
use crate::random::random_long_hex;
use crate::{ContainerRecord, GraphError, LayerState, Store, lookup};

/// With more than two thousand names, so many taken ones in a row are no chance.
const NAME_ATTEMPTS: usize = 64;
/// As for tags: the longest name.
const LONGEST_NAME: usize = 128;

impl Store {
    /// Makes a container: a writable layer on the image `image`, or on nothing. Without a name it gets one.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is taken; those of [`image`](Self::image); the driver's.
    pub fn create_container(
        &self,
        image: Option<&str>,
        name: Option<&str>,
    ) -> Result<ContainerRecord, GraphError> {
        name.map_or(Ok(()), check_name)?;
        let lease = Lease::begin(&self.inner, "create container")?;
        let (image, parent) = self.inner.database.write_without_sync(|transaction| {
            lease.record(transaction)?;
            name.map_or(Ok(()), |name| check_free(transaction, name))?;
            image.map_or(Ok((None, None)), |query| base(transaction, query, &lease))
        })?;
        let access = Access::ReadWrite;
        let layer = self.inner.stage_snapshot(&lease, parent.as_ref(), access, Made::Durable, |_| Ok(()))?;
        let mut container = ContainerRecord {
            id: random_long_hex()?,
            name: name.unwrap_or_default().to_owned(),
            image,
            layer: layer.id.clone(),
            created: self.inner.now(),
        };
        self.inner.commit_snapshot(&lease, &layer, LayerState::Writable, |transaction| {
            match name {
                Some(name) => check_free(transaction, name)?,
                None => container.name = free_name(transaction)?,
            }
            containers::insert(transaction, &container)
        })?;
        lease.ended();
        Ok(container)
    }

    /// All containers, newest first.
    ///
    /// # Errors
    /// Those of reading the records.
    pub fn containers(&self) -> Result<Vec<ContainerRecord>, GraphError> {
        self.inner.database.read(|transaction| containers::all(transaction))
    }

    /// The container that `query` means: a name, an id, or the beginning of an id (at least four digits).
    ///
    /// # Errors
    /// `NotFound`; `Ambiguous`, listing the candidates.
    pub fn container(&self, query: &str) -> Result<ContainerRecord, GraphError> {
        self.inner.database.read(|transaction| lookup::container(transaction, query))
    }

    /// Removes a container and its writable layer. `force` unmounts it before.
    ///
    /// # Errors
    /// `InUse` where it is mounted, without `force`; those of [`container`](Self::container).
    pub fn remove_container(&self, query: &str, force: bool) -> Result<(), GraphError> {
        let _room = self.inner.reserve.make_room();
        self.mounts()?; // records of mounts that are gone do not stand in the way
        if force {
            let container = self.container(query)?;
            let rows =
                self.inner.database.read(|transaction| mounts::by_layer(transaction, &container.layer))?;
            rows.iter().try_for_each(|row| self.unmount_at(&row.record.target))?;
        }
        let lease = Lease::begin(&self.inner, "remove container")?;
        let layer = self.inner.database.write(|transaction| {
            lease.record(transaction)?;
            let container = lookup::container(transaction, query)?;
            containers::delete(transaction, &container.id)?;
            let by = self.inner.users(transaction, &container.layer, &lease)?;
            if !by.is_empty() {
                return Err(GraphError::InUse { what: "container", name: container.name, by });
            }
            layers::mark_deleting(transaction, &container.layer, lease.id())?;
            Ok(container.layer)
        })?;
        self.inner.sweep(&[layer], &lease)
    }
}

/// The image, held by the lease, and its top layer.
fn base(
    transaction: &Transaction<'_>,
    query: &str,
    lease: &Lease,
) -> Result<(Option<Digest>, Option<LayerId>), GraphError> {
    let (record, _) = found_image(transaction, query)?;
    let top = record.layers.last().map(|layer| layer.id.clone());
    top.iter().try_for_each(|top| lease.hold(transaction, top))?;
    Ok((Some(record.id), top))
}

fn check_name(name: &str) -> Result<(), GraphError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let inner = |byte: u8| plain(byte) || matches!(byte, b'_' | b'.' | b'-');
    let first = name.bytes().next().is_some_and(plain);
    if first && name.len() <= LONGEST_NAME && name.bytes().all(inner) {
        return Ok(());
    }
    let shown: String = name.chars().take(LONGEST_NAME).flat_map(char::escape_debug).collect();
    let reason = format!(
        "the name '{shown}' is not up to 128 letters, digits, '_', '.' and '-', a letter or digit first"
    );
    Err(GraphError::Invalid { operation: "create container", reason })
}

fn check_free(transaction: &Transaction<'_>, name: &str) -> Result<(), GraphError> {
    match containers::by_name(transaction, name)? {
        Some(container) => Err(GraphError::AlreadyExists { what: "container", name: container.name }),
        None => Ok(()),
    }
}

fn free_name(transaction: &Transaction<'_>) -> Result<String, GraphError> {
    for _ in 0..NAME_ATTEMPTS {
        let name = random_name()?;
        if containers::by_name(transaction, &name)?.is_none() {
            return Ok(name);
        }
    }
    // The id is as good a name, and surely free.
    random_long_hex().map(|hex| hex[..12].to_owned())
}
