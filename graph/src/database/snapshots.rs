//! Rows of snapshots.

use std::collections::BTreeMap;
use std::time::SystemTime;

use plywood_graphdriver::LayerId;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::row::{parsed, stored_time, time};
use crate::{GraphError, SnapshotKind, SnapshotRecord};

/// Labels by name.
type Labels = BTreeMap<String, String>;

impl SnapshotKind {
    /// The kind as stored, and as containerd's filters have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::View => "view",
            Self::Committed => "committed",
        }
    }

    fn from_stored(text: &str) -> Option<Self> {
        [Self::Active, Self::View, Self::Committed].into_iter().find(|kind| kind.as_str() == text)
    }
}

fn snapshot_row(row: &Row<'_>) -> rusqlite::Result<SnapshotRecord> {
    let kind: String = row.get(2)?;
    let kind = SnapshotKind::from_stored(&kind)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(2, kind, Type::Text))?;
    let labels: String = row.get(4)?;
    let labels = serde_json::from_str::<Labels>(&labels)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(4, Type::Text, Box::new(error)))?;
    Ok(SnapshotRecord {
        key: row.get(0)?,
        parent: row.get(1)?,
        kind,
        layer: parsed(row, 3)?,
        labels,
        created: time(row, 5)?,
        updated: time(row, 6)?,
    })
}

fn select(
    connection: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<SnapshotRecord>, GraphError> {
    let failed = GraphError::database("read snapshots");
    let text =
        format!("SELECT key, parent, kind, layer, labels, created, updated FROM snapshots {condition}");
    let mut statement = connection.prepare_cached(&text).map_err(&failed)?;
    let rows = statement.query_map(parameters, snapshot_row).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

/// All snapshots, oldest first.
pub(crate) fn all(connection: &Connection) -> Result<Vec<SnapshotRecord>, GraphError> {
    select(connection, "ORDER BY created, rowid", [])
}

/// The snapshot with the key.
pub(crate) fn by_key(connection: &Connection, key: &str) -> Result<Option<SnapshotRecord>, GraphError> {
    Ok(select(connection, "WHERE key = ?1", [key])?.pop())
}

/// The snapshots that stand on another one, by key.
pub(crate) fn children(connection: &Connection, key: &str) -> Result<Vec<SnapshotRecord>, GraphError> {
    select(connection, "WHERE parent = ?1 ORDER BY key", [key])
}

/// The snapshots that have a layer, by key.
pub(crate) fn by_layer(connection: &Connection, layer: &LayerId) -> Result<Vec<SnapshotRecord>, GraphError> {
    select(connection, "WHERE layer = ?1 ORDER BY key", [layer.as_str()])
}

/// The committed snapshots whose key ends with `ending`, and whose own layer, sealed, stands on the layer `on`; oldest first.
pub(crate) fn committed_on(
    connection: &Connection,
    ending: &str,
    on: Option<&LayerId>,
) -> Result<Vec<SnapshotRecord>, GraphError> {
    // The layer decides and not the parent's key, which is another one in every namespace.
    let condition = "WHERE kind = 'committed' AND substr(key, -length(?1)) = ?1
        AND EXISTS (SELECT 1 FROM layers WHERE layers.id = layer AND layers.parent IS ?2 AND state = 'sealed')
        ORDER BY created, rowid";
    select(connection, condition, params![ending, on.map(LayerId::as_str)])
}

/// Adds a snapshot. Its key must be free.
pub(crate) fn insert(connection: &Connection, record: &SnapshotRecord) -> Result<(), GraphError> {
    let text = "INSERT INTO snapshots (key, parent, kind, layer, labels, created, updated)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let parameters = params![
        record.key,
        record.parent,
        record.kind.as_str(),
        record.layer.as_str(),
        stored_labels(&record.labels)?,
        stored_time(record.created),
        stored_time(record.updated),
    ];
    change(connection, text, parameters)
}

/// Writes the labels of a snapshot, and when that was.
pub(crate) fn set_labels(
    connection: &Connection,
    key: &str,
    labels: &Labels,
    updated: SystemTime,
) -> Result<(), GraphError> {
    let text = "UPDATE snapshots SET labels = ?2, updated = ?3 WHERE key = ?1";
    change(connection, text, params![key, stored_labels(labels)?, stored_time(updated)])
}

/// Drops a snapshot.
pub(crate) fn delete(connection: &Connection, key: &str) -> Result<(), GraphError> {
    change(connection, "DELETE FROM snapshots WHERE key = ?1", [key])
}

fn stored_labels(labels: &Labels) -> Result<String, GraphError> {
    serde_json::to_string(labels).map_err(|error| {
        GraphError::database("write snapshots")(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    })
}

fn change(connection: &Connection, text: &str, parameters: impl rusqlite::Params) -> Result<(), GraphError> {
    let failed = GraphError::database("write snapshots");
    connection.prepare_cached(text).map_err(&failed)?.execute(parameters).map_err(&failed).map(drop)
}
