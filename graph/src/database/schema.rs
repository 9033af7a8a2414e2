//! The tables, and how older ones become these. `docs/design/store.md` draws them.

use rusqlite::{Connection, TransactionBehavior};

use crate::GraphError;

/// Each step brings the schema from the version that is its index to the next.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// The version that the records have; 0 where there are none.
pub(super) fn version(connection: &Connection) -> Result<usize, GraphError> {
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(GraphError::database("read the version"))?;
    // A negative one was never written by any version: it is refused as too new.
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// The driver's name as recorded.
pub(super) fn recorded_driver(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT value FROM settings WHERE key = 'driver'", [], |row| row.get(0))
}

/// Brings the records to the newest version, all steps in one transaction, and compares the driver's name. The caller
/// holds the writers' lock.
pub(super) fn migrate(connection: &mut Connection, driver: &str) -> Result<(), GraphError> {
    let failed = GraphError::database("migrate");
    if version(connection)? == MIGRATIONS.len() {
        return same_driver(&recorded_driver(connection).map_err(&failed)?, driver);
    }
    // Tables that others refer to are made anew, which only works without foreign keys; the pragma has no effect in a transaction.
    connection.pragma_update(None, "foreign_keys", false).map_err(&failed)?;
    let migrated = migrate_all(connection, driver);
    connection.pragma_update(None, "foreign_keys", true).map_err(&failed)?;
    migrated
}

fn migrate_all(connection: &mut Connection, driver: &str) -> Result<(), GraphError> {
    let failed = GraphError::database("migrate");
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let found = version(&transaction)?;
    let Some(steps) = MIGRATIONS.get(found..) else {
        return Err(GraphError::Unsupported { operation: "open store", reason: too_new(found) });
    };
    for step in steps {
        transaction.execute_batch(step).map_err(&failed)?;
    }
    if !steps.is_empty() {
        check_references(&transaction)?;
    }
    if found == 0 {
        let insert = "INSERT INTO settings (key, value) VALUES ('driver', ?1)";
        transaction.execute(insert, [driver]).map_err(&failed)?;
    }
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", newest).map_err(&failed)?;
    same_driver(&recorded_driver(&transaction).map_err(&failed)?, driver)?;
    transaction.commit().map_err(&failed)
}

fn same_driver(recorded: &str, driver: &str) -> Result<(), GraphError> {
    if recorded == driver {
        return Ok(());
    }
    Err(GraphError::Invalid { operation: "open store", reason: other_driver(recorded, driver) })
}

/// What foreign keys would have refused meanwhile.
fn check_references(connection: &Connection) -> Result<(), GraphError> {
    let failed = GraphError::database("migrate");
    let mut statement = connection.prepare("PRAGMA foreign_key_check").map_err(&failed)?;
    let broken = statement.query_map([], |row| row.get::<_, String>(0)).map_err(&failed)?;
    let broken = broken.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
    let Some(table) = broken.first() else { return Ok(()) };
    let reason = format!("rows of '{table}' refer to others that are not there");
    Err(GraphError::Corrupt { what: "the store's database".to_owned(), reason })
}

fn too_new(found: usize) -> String {
    let known = MIGRATIONS.len();
    format!(
        "its records have version {found}, and this program knows them up to {known}; use the newer program that wrote them"
    )
}

fn other_driver(recorded: &str, driver: &str) -> String {
    format!(
        "it was made with the driver '{recorded}', not '{driver}'; open it with '{recorded}', or give '{driver}' another root"
    )
}
