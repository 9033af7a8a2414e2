//! Rows of mounts.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use plywood_graphdriver::LayerId;
use rusqlite::{Connection, Row, params};

use super::row::{parsed, stored_time, time};
use crate::{GraphError, MountRecord};

/// A mount's row: the record, and who is making it or taking it down.
#[derive(Debug, Clone)]
pub(crate) struct MountRow {
    pub(crate) record: MountRecord,
    pub(crate) lease: Option<String>,
    /// It ends with the lease: nobody asked for it to stay.
    pub(crate) held: bool,
}

fn mount_row(row: &Row<'_>) -> rusqlite::Result<MountRow> {
    let target: Vec<u8> = row.get(0)?;
    let record = MountRecord {
        target: PathBuf::from(OsString::from_vec(target)),
        layer: parsed(row, 1)?,
        boot_id: row.get(2)?,
        read_only: row.get(3)?,
        created: time(row, 4)?,
    };
    Ok(MountRow { record, lease: row.get(5)?, held: row.get(6)? })
}

fn select(
    connection: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<MountRow>, GraphError> {
    let failed = GraphError::database("read mounts");
    let text =
        format!("SELECT target, layer, boot_id, read_only, created, lease, held FROM mounts {condition}");
    let mut statement = connection.prepare_cached(&text).map_err(&failed)?;
    let rows = statement.query_map(parameters, mount_row).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

/// All mounts, oldest first.
pub(crate) fn all(connection: &Connection) -> Result<Vec<MountRow>, GraphError> {
    select(connection, "ORDER BY created, rowid", [])
}

/// The mount at a target.
pub(crate) fn by_target(connection: &Connection, target: &Path) -> Result<Option<MountRow>, GraphError> {
    Ok(select(connection, "WHERE target = ?1", [target.as_os_str().as_bytes()])?.pop())
}

/// The mounts of a layer.
pub(crate) fn by_layer(connection: &Connection, layer: &LayerId) -> Result<Vec<MountRow>, GraphError> {
    select(connection, "WHERE layer = ?1 ORDER BY created, rowid", [layer.as_str()])
}

/// Adds a mount that `lease` is making.
pub(crate) fn insert(
    connection: &Connection,
    mount: &MountRecord,
    lease: &str,
    held: bool,
) -> Result<(), GraphError> {
    let text = "INSERT INTO mounts (target, layer, boot_id, read_only, lease, created, held) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let target = mount.target.as_os_str().as_bytes();
    let created = stored_time(mount.created);
    change(
        connection,
        text,
        params![target, mount.layer.as_str(), mount.boot_id, mount.read_only, lease, created, held],
    )
}

/// Says who is making a mount or taking it down; `None` once it is done.
pub(crate) fn set_lease(
    connection: &Connection,
    target: &Path,
    lease: Option<&str>,
) -> Result<(), GraphError> {
    let target = target.as_os_str().as_bytes();
    change(connection, "UPDATE mounts SET lease = ?2 WHERE target = ?1", params![target, lease])
}

/// Drops a mount.
pub(crate) fn delete(connection: &Connection, target: &Path) -> Result<(), GraphError> {
    change(connection, "DELETE FROM mounts WHERE target = ?1", [target.as_os_str().as_bytes()])
}

fn change(connection: &Connection, text: &str, parameters: impl rusqlite::Params) -> Result<(), GraphError> {
    let failed = GraphError::database("write mounts");
    connection.prepare_cached(text).map_err(&failed)?.execute(parameters).map_err(&failed).map(drop)
}
