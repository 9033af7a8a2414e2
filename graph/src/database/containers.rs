//! Rows of containers.

use plywood_archive::digest::Digest;
use plywood_graphdriver::LayerId;
use rusqlite::{Connection, Row, params};

use super::row::{parsed, parsed_or_null, stored_time, time};
use crate::{ContainerRecord, GraphError};

fn container_row(row: &Row<'_>) -> rusqlite::Result<ContainerRecord> {
    Ok(ContainerRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        image: parsed_or_null(row, 2)?,
        layer: parsed(row, 3)?,
        created: time(row, 4)?,
    })
}

fn select(
    connection: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<ContainerRecord>, GraphError> {
    let failed = GraphError::database("read containers");
    let text = format!("SELECT id, name, image, layer, created FROM containers {condition}");
    let mut statement = connection.prepare_cached(&text).map_err(&failed)?;
    let rows = statement.query_map(parameters, container_row).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

/// All containers, newest first.
pub(crate) fn all(connection: &Connection) -> Result<Vec<ContainerRecord>, GraphError> {
    select(connection, "ORDER BY created DESC, rowid DESC", [])
}

/// The container with the name.
pub(crate) fn by_name(connection: &Connection, name: &str) -> Result<Option<ContainerRecord>, GraphError> {
    Ok(select(connection, "WHERE name = ?1", [name])?.pop())
}

/// The containers whose id begins with the hexadecimal digits `prefix`.
pub(crate) fn by_prefix(connection: &Connection, prefix: &str) -> Result<Vec<ContainerRecord>, GraphError> {
    select(connection, "WHERE id GLOB ?1 || '*' ORDER BY id", [prefix])
}

/// The containers on an image, by name.
pub(crate) fn by_image(connection: &Connection, image: &Digest) -> Result<Vec<ContainerRecord>, GraphError> {
    select(connection, "WHERE image = ?1 ORDER BY name", [image.to_string()])
}

/// The containers whose writable layer this is.
pub(crate) fn by_layer(connection: &Connection, layer: &LayerId) -> Result<Vec<ContainerRecord>, GraphError> {
    select(connection, "WHERE layer = ?1 ORDER BY name", [layer.as_str()])
}

/// Adds a container. Its name must be free.
pub(crate) fn insert(connection: &Connection, container: &ContainerRecord) -> Result<(), GraphError> {
    let text = "INSERT INTO containers (id, name, image, layer, created) VALUES (?1, ?2, ?3, ?4, ?5)";
    let image = container.image.map(|image| image.to_string());
    let created = stored_time(container.created);
    change(connection, text, params![container.id, container.name, image, container.layer.as_str(), created])
}

/// Drops a container.
pub(crate) fn delete(connection: &Connection, id: &str) -> Result<(), GraphError> {
    change(connection, "DELETE FROM containers WHERE id = ?1", [id])
}

fn change(connection: &Connection, text: &str, parameters: impl rusqlite::Params) -> Result<(), GraphError> {
    let failed = GraphError::database("write containers");
    connection.prepare_cached(text).map_err(&failed)?.execute(parameters).map_err(&failed).map(drop)
}
