//! Rows of leases, and the layers they hold.

use std::time::SystemTime;

use plywood_graphdriver::LayerId;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{parsed, stored_time};
use crate::GraphError;

/// Adds a lease and answers its place in the order of all leases.
pub(crate) fn insert(
    connection: &Connection,
    id: &str,
    purpose: &str,
    now: SystemTime,
) -> Result<i64, GraphError> {
    let text = "INSERT INTO leases (id, purpose, pid, created) VALUES (?1, ?2, ?3, ?4)";
    change(connection, text, params![id, purpose, i64::from(std::process::id()), stored_time(now)])?;
    Ok(connection.last_insert_rowid())
}

/// The place of a lease in the order of all leases; `None` where its row is gone.
pub(crate) fn sequence(connection: &Connection, id: &str) -> Result<Option<i64>, GraphError> {
    let failed = GraphError::database("read leases");
    let mut statement =
        connection.prepare_cached("SELECT sequence FROM leases WHERE id = ?1").map_err(&failed)?;
    statement.query_row([id], |row| row.get(0)).optional().map_err(&failed)
}

/// The ids of all leases.
pub(crate) fn all(connection: &Connection) -> Result<Vec<String>, GraphError> {
    let failed = GraphError::database("read leases");
    let mut statement =
        connection.prepare_cached("SELECT id FROM leases ORDER BY sequence").map_err(&failed)?;
    let rows = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

/// Drops a lease, and with it its hold on layers.
pub(crate) fn delete(connection: &Connection, id: &str) -> Result<(), GraphError> {
    change(connection, "DELETE FROM leases WHERE id = ?1", [id])
}

/// Lets a lease hold a layer.
pub(crate) fn hold(connection: &Connection, lease: &str, layer: &LayerId) -> Result<(), GraphError> {
    let text = "INSERT OR IGNORE INTO lease_layers (lease, layer) VALUES (?1, ?2)";
    change(connection, text, params![lease, layer.as_str()])
}

/// Lets a lease hold nothing any more.
pub(crate) fn release(connection: &Connection, lease: &str) -> Result<(), GraphError> {
    change(connection, "DELETE FROM lease_layers WHERE lease = ?1", params![lease])
}

/// The leases that hold layers, with their purpose and the layer.
pub(crate) fn holds(connection: &Connection) -> Result<Vec<(String, String, LayerId)>, GraphError> {
    let failed = GraphError::database("read leases");
    let text =
        "SELECT leases.id, purpose, layer FROM lease_layers JOIN leases ON leases.id = lease_layers.lease";
    let mut statement = connection.prepare_cached(text).map_err(&failed)?;
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, parsed(row, 2)?))).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

fn change(connection: &Connection, text: &str, parameters: impl rusqlite::Params) -> Result<(), GraphError> {
    let failed = GraphError::database("write leases");
    connection.prepare_cached(text).map_err(&failed)?.execute(parameters).map_err(&failed).map(drop)
}
