//! Rows of layers.

use std::collections::HashMap;
use std::time::SystemTime;

use plywood_archive::digest::Digest;
use plywood_graphdriver::{LayerId, Usage};
use rusqlite::{Connection, Row, params};

use super::row::{count, parsed, parsed_or_null, stored, stored_time, time};
use crate::{Blob, GraphError, LayerRecord, LayerState};

const COLUMNS: &str = "id, parent, diff_id, chain_id, size_bytes, inodes, packed_digest, packed_size, state, created, \
                       EXISTS (SELECT 1 FROM pins WHERE pins.layer = layers.id), lease";

/// A layer's row: the record, and who works on it.
#[derive(Debug, Clone)]
pub(crate) struct LayerRow {
    pub(crate) record: LayerRecord,
    pub(crate) lease: Option<String>,
}

impl LayerRow {
    /// Whether the layer is in staging, and the lease works on it.
    pub(crate) fn is_staged_by(&self, lease: &str) -> bool {
        self.record.state == LayerState::Staging && self.lease.as_deref() == Some(lease)
    }
}

/// Where a layer is in its life, and who works on it: all that recovery asks of most rows.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) state: LayerState,
    pub(crate) lease: Option<String>,
}

/// What a commit adds to a layer in staging.
#[derive(Debug, Clone)]
pub(crate) struct Commit<'a> {
    pub(crate) id: &'a LayerId,
    pub(crate) parent: Option<&'a LayerId>,
    pub(crate) diff_id: Digest,
    pub(crate) chain_id: Digest,
    pub(crate) usage: Usage,
    pub(crate) packed: Option<Blob>,
}

impl LayerState {
    /// The state as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Writable => "writable",
            Self::View => "view",
            Self::Committed => "committed",
            Self::Sealed => "sealed",
            Self::Deleting => "deleting",
            Self::Damaged => "damaged",
        }
    }

    fn from_stored(text: &str) -> Option<Self> {
        let all = [
            Self::Staging,
            Self::Writable,
            Self::View,
            Self::Committed,
            Self::Sealed,
            Self::Deleting,
            Self::Damaged,
        ];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

fn layer_row(row: &Row<'_>) -> rusqlite::Result<LayerRow> {
    let packed = match parsed_or_null(row, 6)? {
        Some(digest) => Some(Blob { digest, size_bytes: count(row, 7)? }),
        None => None,
    };
    let record = LayerRecord {
        id: parsed(row, 0)?,
        parent: parsed_or_null(row, 1)?,
        diff_id: parsed_or_null(row, 2)?,
        chain_id: parsed_or_null(row, 3)?,
        size_bytes: count(row, 4)?,
        inodes: count(row, 5)?,
        packed,
        state: parsed_state(row, 8)?,
        pinned: row.get(10)?,
        created: time(row, 9)?,
    };
    Ok(LayerRow { record, lease: row.get(11)? })
}

fn parsed_state(row: &Row<'_>, index: usize) -> rusqlite::Result<LayerState> {
    let text = row.get_ref(index)?.as_str()?;
    LayerState::from_stored(text).ok_or_else(|| {
        rusqlite::Error::InvalidColumnType(index, text.to_owned(), rusqlite::types::Type::Text)
    })
}

fn select(
    connection: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<LayerRow>, GraphError> {
    let failed = GraphError::database("read layers");
    let text = format!("SELECT {COLUMNS} FROM layers {condition}");
    let mut statement = connection.prepare_cached(&text).map_err(&failed)?;
    let rows = statement.query_map(parameters, layer_row).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

/// All rows, oldest first.
pub(crate) fn all(connection: &Connection) -> Result<Vec<LayerRow>, GraphError> {
    // The table is read in the order of its row ids; sorting there would carry whole rows through SQLite's sorter.
    let mut rows = select(connection, "", [])?;
    rows.sort_by_key(|row| row.record.created);
    Ok(rows)
}

/// All layers, with the little that recovery asks of most.
pub(crate) fn standings(connection: &Connection) -> Result<HashMap<LayerId, Standing>, GraphError> {
    let failed = GraphError::database("read layers");
    let mut statement = connection.prepare_cached("SELECT id, state, lease FROM layers").map_err(&failed)?;
    let standing =
        |row: &Row<'_>| Ok((parsed(row, 0)?, Standing { state: parsed_state(row, 1)?, lease: row.get(2)? }));
    let rows = statement.query_map([], standing).map_err(&failed)?;
    rows.collect::<Result<HashMap<_, _>, _>>().map_err(&failed)
}

/// The row of one layer.
pub(crate) fn by_id(connection: &Connection, id: &LayerId) -> Result<Option<LayerRow>, GraphError> {
    Ok(select(connection, "WHERE id = ?1", [id.as_str()])?.pop())
}

/// The rows whose id begins with `prefix`, which is hexadecimal.
pub(crate) fn by_prefix(connection: &Connection, prefix: &str) -> Result<Vec<LayerRow>, GraphError> {
    select(connection, "WHERE id GLOB ?1 || '*' AND state <> 'deleting' ORDER BY id", [prefix])
}

/// The one layer with that chain id that is in staging or committed.
pub(crate) fn by_chain(connection: &Connection, chain_id: &Digest) -> Result<Option<LayerRow>, GraphError> {
    Ok(select(
        connection,
        "WHERE chain_id = ?1 AND state IN ('staging', 'committed')",
        [chain_id.to_string()],
    )?
    .pop())
}

/// The layers of an image, bottom-up.
pub(crate) fn of_image(connection: &Connection, image: &Digest) -> Result<Vec<LayerRecord>, GraphError> {
    let condition = "JOIN image_layers ON image_layers.layer = layers.id WHERE image = ?1 ORDER BY position";
    Ok(select(connection, condition, [image.to_string()])?.into_iter().map(|row| row.record).collect())
}

/// The layer and its parents, nearest first.
pub(crate) fn chain(connection: &Connection, id: &LayerId) -> Result<Vec<LayerId>, GraphError> {
    let failed = GraphError::database("read a chain");
    let text = "WITH RECURSIVE chain (id, parent, depth) AS (
            SELECT id, parent, 0 FROM layers WHERE id = ?1
            UNION ALL
            SELECT layers.id, layers.parent, depth + 1 FROM layers JOIN chain ON layers.id = chain.parent
        ) SELECT id FROM chain ORDER BY depth";
    let mut statement = connection.prepare_cached(text).map_err(&failed)?;
    let rows = statement.query_map([id.as_str()], |row| parsed(row, 0)).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}

/// The nearest layer that is damaged, of a layer and those it stands on.
pub(crate) fn damaged_in_chain(connection: &Connection, id: &LayerId) -> Result<Option<LayerId>, GraphError> {
    for id in chain(connection, id)? {
        if by_id(connection, &id)?.is_some_and(|row| row.record.state == LayerState::Damaged) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The layers with that diff id whose files are there or were: a tar that one of them lacks may be had from another.
pub(crate) fn by_diff_id(connection: &Connection, diff_id: &Digest) -> Result<Vec<LayerRecord>, GraphError> {
    let condition = "WHERE diff_id = ?1 AND state IN ('committed', 'damaged') ORDER BY state, rowid";
    Ok(select(connection, condition, [diff_id.to_string()])?.into_iter().map(|row| row.record).collect())
}

/// Puts back the row of a container's layer that is there: writable, on `parent`.
pub(crate) fn insert_writable(
    connection: &Connection,
    id: &LayerId,
    parent: Option<&LayerId>,
    now: SystemTime,
) -> Result<(), GraphError> {
    let text = "INSERT INTO layers (id, parent, state, created) VALUES (?1, ?2, 'writable', ?3)";
    change(connection, text, params![id.as_str(), parent.map(LayerId::as_str), stored_time(now)]).map(drop)
}

/// Adds a layer in staging, which `lease` works on. Its chain id is set where it is known beforehand.
pub(crate) fn insert_staging(
    connection: &Connection,
    id: &LayerId,
    chain: Option<(&Digest, &Digest)>,
    lease: &str,
    now: SystemTime,
) -> Result<(), GraphError> {
    let text = "INSERT INTO layers (id, diff_id, chain_id, state, lease, created) VALUES (?1, ?2, ?3, 'staging', ?4, ?5)";
    let (diff_id, chain_id) =
        chain.map(|(diff_id, chain_id)| (diff_id.to_string(), chain_id.to_string())).unzip();
    change(connection, text, params![id.as_str(), diff_id, chain_id, lease, stored_time(now)])?;
    Ok(())
}

/// Commits a layer that `lease` staged; `false` where it does not any more.
pub(crate) fn commit(connection: &Connection, commit: &Commit<'_>, lease: &str) -> Result<bool, GraphError> {
    let text =
        "UPDATE layers SET state = 'committed', lease = NULL, parent = ?3, diff_id = ?4, chain_id = ?5,
            size_bytes = ?6, inodes = ?7, packed_digest = ?8, packed_size = ?9
        WHERE id = ?1 AND state = 'staging' AND lease = ?2";
    let (packed_digest, packed_size) =
        commit.packed.map(|blob| (blob.digest.to_string(), stored(blob.size_bytes))).unzip();
    let parameters = params![
        commit.id.as_str(),
        lease,
        commit.parent.map(LayerId::as_str),
        commit.diff_id.to_string(),
        commit.chain_id.to_string(),
        stored(commit.usage.size_bytes),
        stored(commit.usage.inodes),
        packed_digest,
        packed_size,
    ];
    Ok(change(connection, text, parameters)? == 1)
}

/// Makes a layer that `lease` staged a writable one or a view; `false` where it does not stage it any more.
pub(crate) fn settle_snapshot(
    connection: &Connection,
    id: &LayerId,
    parent: Option<&LayerId>,
    state: LayerState,
    lease: &str,
) -> Result<bool, GraphError> {
    let text = "UPDATE layers SET state = ?3, parent = ?4, lease = NULL
        WHERE id = ?1 AND state = 'staging' AND lease = ?2";
    let parameters = params![id.as_str(), lease, state.as_str(), parent.map(LayerId::as_str)];
    Ok(change(connection, text, parameters)? == 1)
}

/// Says that `lease` is sealing a writable layer; `false` where the layer is not writable.
pub(crate) fn begin_sealing(connection: &Connection, id: &LayerId, lease: &str) -> Result<bool, GraphError> {
    let text = "UPDATE layers SET lease = ?2 WHERE id = ?1 AND state = 'writable'";
    Ok(change(connection, text, params![id.as_str(), lease])? == 1)
}

/// Makes a writable layer that `lease` seals a sealed one on `parent`; `false` where it does not seal it any more. The lease stays on
/// the row until [`end_sealing`].
pub(crate) fn seal(
    connection: &Connection,
    id: &LayerId,
    parent: Option<&LayerId>,
    usage: Usage,
    lease: &str,
) -> Result<bool, GraphError> {
    let text = "UPDATE layers SET state = 'sealed', parent = ?3, size_bytes = ?4, inodes = ?5
        WHERE id = ?1 AND state = 'writable' AND lease = ?2";
    let (size_bytes, inodes) = (stored(usage.size_bytes), stored(usage.inodes));
    let parameters = params![id.as_str(), lease, parent.map(LayerId::as_str), size_bytes, inodes];
    Ok(change(connection, text, parameters)? == 1)
}

/// Puts the sealing of a sealed layer, whose lease is dead, into the charge of `lease`.
pub(crate) fn take_over(connection: &Connection, id: &LayerId, lease: &str) -> Result<(), GraphError> {
    let text = "UPDATE layers SET lease = ?2 WHERE id = ?1 AND state = 'sealed'";
    change(connection, text, params![id.as_str(), lease]).map(drop)
}

/// Takes the lease from the row of a layer that is writable or sealed.
pub(crate) fn end_sealing(connection: &Connection, id: &LayerId, lease: &str) -> Result<(), GraphError> {
    let text = "UPDATE layers SET lease = NULL WHERE id = ?1 AND lease = ?2 AND state IN ('writable', 'sealed', 'damaged')";
    change(connection, text, params![id.as_str(), lease]).map(drop)
}

/// Puts a layer on another parent: the one with the same chain id that replaces a damaged one.
pub(crate) fn set_parent(
    connection: &Connection,
    id: &LayerId,
    parent: Option<&LayerId>,
) -> Result<(), GraphError> {
    let text = "UPDATE layers SET parent = ?2 WHERE id = ?1 AND parent IS NOT ?2";
    change(connection, text, params![id.as_str(), parent.map(LayerId::as_str)]).map(drop)
}

/// Puts a layer that is made anew in the place of damaged ones with the same chain id: in images and below layers.
/// What stands on those goes on with the new one.
pub(crate) fn replace_damaged(
    connection: &Connection,
    chain_id: &Digest,
    id: &LayerId,
) -> Result<(), GraphError> {
    let damaged = "(SELECT id FROM layers WHERE chain_id = ?1 AND state = 'damaged')";
    let uses = [
        ("image_layers", "layer"),
        ("images", "top_layer"),
        ("layers", "parent"),
        ("snapshots", "layer"),
        ("pins", "layer"),
    ];
    for (table, column) in uses {
        // Of two damaged ones that were both pinned, one pin is enough.
        let text = format!("UPDATE OR REPLACE {table} SET {column} = ?2 WHERE {column} IN {damaged}");
        change(connection, &text, params![chain_id.to_string(), id.as_str()])?;
    }
    // What was made anew from its own files came without the blob that it once was.
    let text = format!(
        "UPDATE layers SET (packed_digest, packed_size) =
            (SELECT packed_digest, packed_size FROM layers WHERE id IN {damaged} AND packed_digest IS NOT NULL)
        WHERE id = ?2 AND packed_digest IS NULL"
    );
    change(connection, &text, params![chain_id.to_string(), id.as_str()]).map(drop)
}

/// Marks a layer as being deleted by `lease`. It lets go of its parent with that.
pub(crate) fn mark_deleting(connection: &Connection, id: &LayerId, lease: &str) -> Result<(), GraphError> {
    let text = "UPDATE layers SET state = 'deleting', parent = NULL, lease = ?2 WHERE id = ?1";
    change(connection, text, params![id.as_str(), lease]).map(drop)
}

/// Marks a layer that was settled as damaged; `false` where it is not settled any more.
pub(crate) fn mark_damaged(connection: &Connection, id: &LayerId) -> Result<bool, GraphError> {
    let text = "UPDATE layers SET state = 'damaged' WHERE id = ?1 AND state IN ('committed', 'sealed', 'writable', 'view')";
    Ok(change(connection, text, [id.as_str()])? == 1)
}

/// Drops the row of a layer that `lease` deleted.
pub(crate) fn drop_deleted(connection: &Connection, id: &LayerId, lease: &str) -> Result<(), GraphError> {
    let text = "DELETE FROM layers WHERE id = ?1 AND state = 'deleting' AND lease = ?2";
    change(connection, text, params![id.as_str(), lease]).map(drop)
}

/// Pins a layer.
pub(crate) fn pin(connection: &Connection, id: &LayerId) -> Result<(), GraphError> {
    change(connection, "INSERT OR IGNORE INTO pins (layer) VALUES (?1)", [id.as_str()]).map(drop)
}

/// Takes a layer's pin away.
pub(crate) fn unpin(connection: &Connection, id: &LayerId) -> Result<(), GraphError> {
    change(connection, "DELETE FROM pins WHERE layer = ?1", [id.as_str()]).map(drop)
}

fn change(
    connection: &Connection,
    text: &str,
    parameters: impl rusqlite::Params,
) -> Result<usize, GraphError> {
    let failed = GraphError::database("write layers");
    connection.prepare_cached(text).map_err(&failed)?.execute(parameters).map_err(&failed)
}
