//! Who needs a layer: the check that stands before every deletion, in the same transaction.

use std::collections::{HashMap, HashSet};

use plywood_graphdriver::LayerId;
use rusqlite::Connection;

use super::row::parsed;
use super::{containers, images, layers, leases, mounts, snapshots};
use crate::{GraphError, LayerRecord, LayerState};

/// Whether a lease's owner lives.
pub(crate) type IsAlive<'a> = &'a dyn Fn(&str) -> Result<bool, GraphError>;

/// Everything that needs the layer, in words; empty where it may go. Holds of the lease `own` and of dead leases do not
/// count, and neither does a pin.
pub(crate) fn users(
    connection: &Connection,
    layer: &LayerId,
    own: &str,
    is_alive: IsAlive<'_>,
) -> Result<Vec<String>, GraphError> {
    let mut users = Vec::new();
    for image in images::ids_by_layer(connection, layer)? {
        let named =
            images::by_id(connection, &image)?.and_then(|image| image.names.first().map(ToString::to_string));
        users.push(format!("image {}", named.unwrap_or_else(|| image.hex()[..12].to_owned())));
    }
    for container in containers::by_layer(connection, layer)? {
        users.push(format!("container {} ({})", container.name, &container.id[..12]));
    }
    for snapshot in snapshots::by_layer(connection, layer)? {
        users.push(format!("snapshot {}", snapshot.key));
    }
    for child in children(connection, layer)? {
        users.push(format!("layer {}", child.short()));
    }
    for mount in mounts::by_layer(connection, layer)? {
        users.push(format!("mount {}", mount.record.target.display()));
    }
    for (lease, purpose, held) in leases::holds(connection)? {
        if held == *layer && lease != own && is_alive(&lease)? {
            users.push(format!("an operation that is going on ({purpose})"));
        }
    }
    Ok(users)
}

/// Whether a living lease other than `own` holds the layer.
pub(crate) fn is_held(
    connection: &Connection,
    layer: &LayerId,
    own: &str,
    is_alive: IsAlive<'_>,
) -> Result<bool, GraphError> {
    for (lease, _, held) in leases::holds(connection)? {
        if held == *layer && lease != own && is_alive(&lease)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the layer is pinned.
pub(crate) fn is_pinned(connection: &Connection, layer: &LayerId) -> Result<bool, GraphError> {
    Ok(layers::by_id(connection, layer)?.is_some_and(|row| row.record.pinned))
}

fn children(connection: &Connection, layer: &LayerId) -> Result<Vec<LayerId>, GraphError> {
    column(connection, "SELECT id FROM layers WHERE parent = ?1 ORDER BY id", [layer.as_str()])
}

/// The layers that nothing needs, children before their parents.
pub(crate) fn garbage(
    connection: &Connection,
    is_alive: IsAlive<'_>,
) -> Result<Vec<LayerRecord>, GraphError> {
    let rows: HashMap<LayerId, LayerRecord> =
        layers::all(connection)?.into_iter().map(|row| (row.record.id.clone(), row.record)).collect();
    let mut needed = HashSet::new();
    let mut waiting = roots(connection, is_alive)?;
    while let Some(id) = waiting.pop() {
        let parent = rows.get(&id).and_then(|record| record.parent.clone());
        if needed.insert(id) {
            waiting.extend(parent);
        }
    }
    let settled = |state| !matches!(state, LayerState::Staging | LayerState::Deleting);
    let unneeded = rows.values().filter(|record| settled(record.state) && !needed.contains(&record.id));
    let mut garbage: Vec<LayerRecord> = unneeded.cloned().collect();
    garbage.sort_by_cached_key(|record| (std::cmp::Reverse(depth(&rows, record)), record.id.clone()));
    Ok(garbage)
}

/// The number of parents; a circle, which only a damaged database has, ends too.
fn depth(rows: &HashMap<LayerId, LayerRecord>, record: &LayerRecord) -> usize {
    let up = |record: &&LayerRecord| record.parent.as_ref().and_then(|parent| rows.get(parent));
    std::iter::successors(Some(record), up).take(rows.len() + 1).count()
}

fn roots(connection: &Connection, is_alive: IsAlive<'_>) -> Result<Vec<LayerId>, GraphError> {
    let text =
        "SELECT layer FROM image_layers UNION SELECT layer FROM containers UNION SELECT layer FROM snapshots
        UNION SELECT layer FROM pins UNION SELECT layer FROM mounts";
    let mut roots: Vec<LayerId> = column(connection, text, [])?;
    for (lease, _, layer) in leases::holds(connection)? {
        if is_alive(&lease)? {
            roots.push(layer);
        }
    }
    Ok(roots)
}

fn column(
    connection: &Connection,
    text: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<LayerId>, GraphError> {
    let failed = GraphError::database("read who needs layers");
    let mut statement = connection.prepare_cached(text).map_err(&failed)?;
    let rows = statement.query_map(parameters, |row| parsed(row, 0)).map_err(&failed)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(&failed)
}
