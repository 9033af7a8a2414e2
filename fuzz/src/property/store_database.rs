//! A store whose database was changed by somebody else.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use plywood_graph::{CheckOptions, GraphError, Store};
use rusqlite::{Connection, OpenFlags};

use crate::bytes::Bytes;
use crate::store::{self, Removals, StoreFolder};

/// Changes of an input at most.
const MOST_CHANGES: usize = 16;
/// `SQLite`'s, as the store makes its database.
const PAGE_BYTES: usize = 4096;

thread_local! {
    static FOLDER: OnceCell<StoreFolder> = const { OnceCell::new() };
}

/// With any bytes of the database changed, opening, listing and checking the store answer, be it an error; and no layer of the
/// driver, nor its recipe, is deleted that the records, as any reader finds them, do not call half made or half deleted.
pub fn check(input: &[u8]) {
    FOLDER.with(|folder| play(folder.get_or_init(StoreFolder::make), input));
}

fn play(folder: &StoreFolder, input: &[u8]) {
    folder.restore(&changed(&folder.database, input));
    let removable = removable(&folder.database_path());
    let removals: Removals = Arc::new(Mutex::new(Vec::new()));
    let answer = folder.open(&removals).and_then(|store| use_all(&store));
    // Those that a check unpacks to compare are its own.
    let deleted = removals.lock().unwrap();
    for id in deleted.iter().filter(|id| folder.layers().contains(id)) {
        assert!(removable.contains(id.as_str()), "{id} was deleted, and the store says {answer:?}");
    }
    for id in folder.layers().iter().filter(|id| !removable.contains(id.as_str())) {
        assert!(folder.recipe(id).exists(), "the recipe of {id} was deleted, and the store says {answer:?}");
    }
}

fn use_all(store: &Store) -> Result<(), GraphError> {
    let lists = [
        store.layers().map(drop),
        store.images().map(drop),
        store.containers().map(drop),
        store.mounts().map(drop),
        store.image(store::IMAGE).map(drop),
        store.container(store::CONTAINER).map(drop),
        store.gc(true).map(drop),
        store.check(CheckOptions::default(), &mut |_| {}).map(drop),
    ];
    lists.into_iter().collect()
}

/// The layers whose rows say that they may go, read from the table itself up to where it is damaged.
fn removable(database: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Immutable: nothing is written beside it, and no log is looked for.
    let address = format!("file:{}?immutable=1", database.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let Ok(connection) = Connection::open_with_flags(address, flags) else { return found };
    let query = "SELECT id FROM layers NOT INDEXED WHERE state IN ('staging', 'deleting')";
    let Ok(mut statement) = connection.prepare(query) else { return found };
    let Ok(mut rows) = statement.query([]) else { return found };
    while let Ok(Some(row)) = rows.next() {
        found.extend(row.get::<_, String>(0));
    }
    found
}

/// Eight bytes a change: the page, two for the place in it, what is done, and four to do it with.
fn changed(database: &[u8], input: &[u8]) -> Vec<u8> {
    let mut database = database.to_vec();
    let mut bytes = Bytes::new(input);
    for _ in 0..MOST_CHANGES {
        if bytes.is_empty() || database.is_empty() {
            break;
        }
        let (page, place, action) = (usize::from(bytes.byte()), usize::from(bytes.half()), bytes.byte());
        let value = bytes.word().to_le_bytes();
        let start = (page * PAGE_BYTES + place % PAGE_BYTES) % database.len();
        match action % 8 {
            0 => database.truncate(start),
            1 => copy_page(&mut database, usize::from(value[0]), page),
            6 => set(&mut database, start, &value),
            7 => set(&mut database, start, &value.map(|byte| byte & 15)),
            action if action % 2 == 0 => set(&mut database, start, &value[..1]),
            _ => database[start] ^= value[0],
        }
    }
    database
}

fn set(database: &mut [u8], start: usize, bytes: &[u8]) {
    for (byte, new) in database.iter_mut().skip(start).zip(bytes) {
        *byte = *new;
    }
}

fn copy_page(database: &mut [u8], from: usize, to: usize) {
    let pages = database.len() / PAGE_BYTES;
    if pages > 0 {
        let from = from % pages * PAGE_BYTES;
        database.copy_within(from..from + PAGE_BYTES, to % pages * PAGE_BYTES);
    }
}
