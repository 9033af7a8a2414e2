//! Rows of images and of their names.

use std::time::SystemTime;

use plywood_archive::digest::Digest;
use plywood_graphdriver::LayerId;
use rusqlite::{Connection, Row, params};

use super::layers;
use super::row::{parsed, stored_time, time};
use crate::{GraphError, ImageRecord, Reference};

/// An image to add or to bring up to date.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewImage<'a> {
    pub(crate) id: Digest,
    pub(crate) manifest: &'a [u8],
    pub(crate) manifest_media_type: &'a str,
    pub(crate) config: &'a [u8],
    /// Bottom-up.
    pub(crate) layers: &'a [LayerId],
    pub(crate) names: &'a [Reference],
}

fn image_row(row: &Row<'_>) -> rusqlite::Result<ImageRecord> {
    Ok(ImageRecord {
        id: parsed(row, 0)?,
        names: Vec::new(),
        manifest: row.get(1)?,
        manifest_media_type: row.get(2)?,
        manifest_digest: parsed(row, 3)?,
        config: row.get(4)?,
        layers: Vec::new(),
        created: time(row, 5)?,
        size_bytes: 0,
    })
}

fn select(
    connection: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<ImageRecord>, GraphError> {
    let failed = GraphError::database("read images");
    let columns = "id, manifest, manifest_media_type, manifest_digest, config, created";
    let text = format!("SELECT {columns} FROM images {condition}");
    let mut statement = connection.prepare_cached(&text).map_err(&failed)?;
    let rows = statement.query_map(parameters, image_row).map_err(&failed)?;
    let mut images = rows.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
    for image in &mut images {
        image.names = names_of(connection, &image.id)?;
        image.layers = layers::of_image(connection, &image.id)?;
        image.size_bytes = image.layers.iter().map(|layer| layer.size_bytes).sum();
    }
    Ok(images)
}

/// All images, newest first.
pub(crate) fn all(connection: &Connection) -> Result<Vec<ImageRecord>, GraphError> {
    select(connection, "ORDER BY created DESC, rowid DESC", [])
}

/// One image.
pub(crate) fn by_id(connection: &Connection, id: &Digest) -> Result<Option<ImageRecord>, GraphError> {
    Ok(select(connection, "WHERE id = ?1", [id.to_string()])?.pop())
}

/// The ids of the images whose id begins with the hexadecimal digits `prefix`.
pub(crate) fn ids_by_prefix(connection: &Connection, prefix: &str) -> Result<Vec<Digest>, GraphError> {
    ids(connection, "SELECT id FROM images WHERE id GLOB 'sha256:' || ?1 || '*' ORDER BY id", [prefix])
}

/// The ids of the images that have the manifest with this digest.
pub(crate) fn ids_by_manifest(connection: &Connection, digest: &Digest) -> Result<Vec<Digest>, GraphError> {
    ids(connection, "SELECT id FROM images WHERE manifest_digest = ?1 ORDER BY id", [digest.to_string()])
}

/// The ids of the images that have the layer.
pub(crate) fn ids_by_layer(connection: &Connection, layer: &LayerId) -> Result<Vec<Digest>, GraphError> {
    ids(
        connection,
        "SELECT DISTINCT image FROM image_layers WHERE layer = ?1 ORDER BY image",
        [layer.as_str()],
    )
}

fn ids(
    connection: &Connection,
    text: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Digest>, GraphError> {
    let failed = GraphError::database("read images");
    let mut statement = connection.prepare_cached(text).map_err(&failed)?;
    let rows = statement.query_map(parameters, |row| parsed(row, 0)).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

/// All names with their images, sorted.
pub(crate) fn names(connection: &Connection) -> Result<Vec<(Reference, Digest)>, GraphError> {
    let failed = GraphError::database("read names");
    let text = "SELECT reference, image FROM names ORDER BY reference";
    let mut statement = connection.prepare_cached(text).map_err(&failed)?;
    let rows = statement.query_map([], |row| Ok((parsed(row, 0)?, parsed(row, 1)?))).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

fn names_of(connection: &Connection, image: &Digest) -> Result<Vec<Reference>, GraphError> {
    let failed = GraphError::database("read names");
    let text = "SELECT reference FROM names WHERE image = ?1 ORDER BY reference";
    let mut statement = connection.prepare_cached(text).map_err(&failed)?;
    let rows = statement.query_map([image.to_string()], |row| parsed(row, 0)).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

/// Adds an image with its layers and names. One that is there gets the manifest, layers and names given, and keeps its
/// other names.
pub(crate) fn put(connection: &Connection, image: &NewImage<'_>, now: SystemTime) -> Result<(), GraphError> {
    let text = "INSERT INTO images (id, manifest_digest, manifest, manifest_media_type, config, top_layer, created)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (id) DO UPDATE SET manifest_digest = excluded.manifest_digest, manifest = excluded.manifest,
            manifest_media_type = excluded.manifest_media_type, top_layer = excluded.top_layer";
    let id = image.id.to_string();
    let parameters = params![
        id,
        Digest::of(image.manifest).to_string(),
        image.manifest,
        image.manifest_media_type,
        image.config,
        image.layers.last().map(LayerId::as_str),
        stored_time(now),
    ];
    change(connection, text, parameters)?;
    change(connection, "DELETE FROM image_layers WHERE image = ?1", [&id])?;
    let text = "INSERT INTO image_layers (image, position, layer) VALUES (?1, ?2, ?3)";
    for (position, layer) in (0_i64..).zip(image.layers) {
        change(connection, text, params![id, position, layer.as_str()])?;
    }
    image.names.iter().try_for_each(|name| tag(connection, &image.id, name))
}

/// Gives an image a name; another image that had it loses it.
pub(crate) fn tag(connection: &Connection, image: &Digest, name: &Reference) -> Result<(), GraphError> {
    let text = "INSERT INTO names (reference, image) VALUES (?1, ?2)
        ON CONFLICT (reference) DO UPDATE SET image = excluded.image";
    change(connection, text, params![name.to_string(), image.to_string()]).map(drop)
}

/// Takes a name away; answers whether it was there.
pub(crate) fn untag(connection: &Connection, name: &Reference) -> Result<bool, GraphError> {
    Ok(change(connection, "DELETE FROM names WHERE reference = ?1", [name.to_string()])? == 1)
}

/// Drops an image with its names. Nothing checks here whether it is in use, but the database refuses it while a
/// container stands on it.
pub(crate) fn delete(connection: &Connection, image: &Digest) -> Result<(), GraphError> {
    change(connection, "DELETE FROM images WHERE id = ?1", [image.to_string()]).map(drop)
}

fn change(
    connection: &Connection,
    text: &str,
    parameters: impl rusqlite::Params,
) -> Result<usize, GraphError> {
    let failed = GraphError::database("write images");
    connection.prepare_cached(text).map_err(&failed)?.execute(parameters).map_err(&failed)
}
