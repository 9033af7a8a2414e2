//! A store with two images and a container, the same in every process.

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plywood_archive::digest::Digest;
use plywood_archive::tar::{Entry, Kind, TarWriter};
use plywood_graph::{Durability, GraphError, ImagePlan, LayerSource, PlannedLayer, Store, StoreOptions};
use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Capabilities, Change, Contents, DriverResult, DriverStatus, GraphDriver,
    LayerId, LayerRef, MountRequest, MountSpec, Mounted, Ownership, Resettle, Usage,
};
use plywood_sys::identity::Privilege;
use plywood_vfs::Vfs;
use rusqlite::Connection;

use crate::sandbox;

/// The name of the first image.
pub const IMAGE: &str = "image-two";
/// The name of the container.
pub const CONTAINER: &str = "work";
/// What becomes of a layer's id: random in a store, and here always the same.
const COLUMNS: [(&str, &str); 5] = [
    ("layers", "id"),
    ("layers", "parent"),
    ("image_layers", "layer"),
    ("images", "top_layer"),
    ("containers", "layer"),
];

/// The layers that a driver was asked to remove.
pub type Removals = Arc<Mutex<Vec<LayerId>>>;

/// The store's folder and its driver's, with all that is needed to put them back.
pub struct StoreFolder {
    root: PathBuf,
    driver: PathBuf,
    /// The database, all of it in one file.
    pub database: Vec<u8>,
    /// The driver's layers with their recipes; of the container's layer there is none.
    recipes: Vec<(LayerId, Vec<u8>)>,
}

impl StoreFolder {
    /// Makes the store in memory.
    pub fn make() -> Self {
        let top = tempfile::tempdir_in(sandbox::folder()).unwrap().keep();
        let mut made = Self {
            root: top.join("store"),
            driver: top.join("layers"),
            database: Vec::new(),
            recipes: Vec::new(),
        };
        let store = made.open(&Removals::default()).unwrap();
        for last in ["two", "three"] {
            let image = Image::new(&["one", last]);
            store.import_image(&image.plan, &image, &()).unwrap();
        }
        store.create_container(Some(IMAGE), Some(CONTAINER)).unwrap();
        drop(store);
        made.name_layers();
        made.database = fs::read(made.database_path()).unwrap();
        made
    }

    /// Gives every layer an id that does not differ between processes, in the order of the diff ids.
    fn name_layers(&mut self) {
        let connection = Connection::open(self.database_path()).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        let query = "SELECT id, diff_id IS NOT NULL FROM layers ORDER BY diff_id";
        let mut statement = connection.prepare(query).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)));
        let layers: Vec<(String, bool)> = rows.unwrap().map(Result::unwrap).collect();
        drop(statement);
        assert_eq!(layers.len(), 4);
        for ((old, has_recipe), number) in layers.into_iter().zip(1_u8..) {
            let new = LayerId::from_bytes([number * 0x11; 16]);
            for (table, column) in COLUMNS {
                let update = format!("UPDATE {table} SET {column} = ?1 WHERE {column} = ?2");
                connection.execute(&update, [new.as_str(), &old]).unwrap();
            }
            fs::rename(self.driver.join(&old), self.driver.join(new.as_str())).unwrap();
            if has_recipe {
                let (from, to) = (self.root.join("recipes").join(&old), self.recipe(&new));
                fs::rename(from, &to).unwrap();
                self.recipes.push((new, fs::read(to).unwrap()));
            }
        }
        let id = "c".repeat(64);
        connection.execute("UPDATE containers SET id = ?1", [id]).unwrap();
        let stale = "INSERT INTO mounts VALUES (?1, ?2, 'another boot', 1, NULL, 0, 1)";
        let target = self.root.join("mnt").join("1".repeat(32));
        connection.execute(stale, (target.to_str().unwrap().as_bytes(), "1".repeat(32))).unwrap();
        connection
            .execute_batch("DELETE FROM sqlite_sequence; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
    }

    /// The driver's layers that have recipes.
    pub fn layers(&self) -> Vec<LayerId> {
        self.recipes.iter().map(|(id, _)| id.clone()).collect()
    }

    pub fn recipe(&self, id: &LayerId) -> PathBuf {
        self.root.join("recipes").join(id.as_str())
    }

    pub fn database_path(&self) -> PathBuf {
        self.root.join("plywood.db")
    }

    /// Puts everything back as it was, with this database.
    pub fn restore(&self, database: &[u8]) {
        for name in ["plywood.db-wal", "plywood.db-shm"] {
            match fs::remove_file(self.root.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{name}: {error}"),
                _ => {}
            }
        }
        fs::write(self.database_path(), database).unwrap();
        for (id, recipe) in &self.recipes {
            if !self.recipe(id).exists() {
                fs::write(self.recipe(id), recipe).unwrap();
            }
        }
    }

    /// Opens the store on a driver that only notes what it is to remove.
    pub fn open(&self, removals: &Removals) -> Result<Store, GraphError> {
        let privilege = Privilege::probe().unwrap();
        fs::create_dir_all(self.driver.parent().unwrap()).unwrap();
        let inner = Vfs::open(&self.driver, privilege)?;
        let driver = Keeping { inner, removals: Arc::clone(removals) };
        let ownership = if privilege.may_change_owners() { Ownership::FromLayer } else { Ownership::Caller };
        let options = StoreOptions {
            durability: Durability::None,
            workers: 1,
            clock: stopped_clock,
            ..StoreOptions::new(ownership)
        };
        Store::open(&self.root, Box::new(driver), options)
    }
}

fn stopped_clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// An image of plain layers, one a content.
struct Image {
    plan: ImagePlan,
    tars: Vec<Vec<u8>>,
}

impl Image {
    fn new(contents: &[&str]) -> Self {
        let tars: Vec<Vec<u8>> = contents.iter().map(|content| tar(content)).collect();
        let diff_ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
        let texts: Vec<String> = diff_ids.iter().map(ToString::to_string).collect();
        let config =
            serde_json::json!({"rootfs": {"type": "layers", "diff_ids": texts}}).to_string().into_bytes();
        let name = format!("image-{}", contents.last().unwrap());
        let plan = ImagePlan {
            manifest: format!("{{\"config\":\"{}\"}}", Digest::of(&config)).into_bytes(),
            manifest_media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            config,
            layers: diff_ids.into_iter().map(|diff_id| PlannedLayer { diff_id, packed: None }).collect(),
            names: vec![name.parse().unwrap()],
        };
        Self { plan, tars }
    }
}

impl LayerSource for Image {
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.tars[index].clone())))
    }
}

fn tar(content: &str) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    writer.append(&Entry { mode: 0o755, ..Entry::new("folder/", Kind::Directory) }).unwrap();
    let size_bytes = content.len() as u64;
    writer.append(&Entry { mode: 0o644, size_bytes, ..Entry::new("folder/file", Kind::Regular) }).unwrap();
    writer.write_payload(content.as_bytes()).unwrap();
    writer.finish().unwrap()
}

/// A driver that only notes what it is to remove.
#[derive(Debug)]
struct Keeping {
    inner: Vfs,
    removals: Removals,
}

impl GraphDriver for Keeping {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn snapshot(&self, new: LayerRef<'_>, access: Access) -> DriverResult<()> {
        self.inner.snapshot(new, access)
    }
    fn apply(
        &self,
        layer: LayerRef<'_>,
        tar: &mut dyn Read,
        options: ApplyOptions<'_>,
    ) -> DriverResult<Applied> {
        self.inner.apply(layer, tar, options)
    }
    fn diff(&self, layer: LayerRef<'_>, tar: &mut dyn Write) -> DriverResult<Usage> {
        self.inner.diff(layer, tar)
    }
    fn changes(
        &self,
        layer: LayerRef<'_>,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> DriverResult<()> {
        self.inner.changes(layer, visit)
    }
    fn mount_specs(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<Vec<MountSpec>> {
        self.inner.mount_specs(layer, request)
    }
    fn mount(
        &self,
        layer: LayerRef<'_>,
        request: &MountRequest<'_>,
        target: &std::path::Path,
    ) -> DriverResult<Mounted> {
        self.inner.mount(layer, request, target)
    }
    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        self.inner.contents(layer)
    }
    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        self.inner.seal(layer, resettle)
    }
    fn remove(&self, id: &LayerId) -> DriverResult<()> {
        self.removals.lock().unwrap().push(id.clone());
        Ok(())
    }
    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        self.inner.usage(layer)
    }
    fn layers(&self) -> DriverResult<Vec<LayerId>> {
        self.inner.layers()
    }
    fn status(&self) -> DriverResult<DriverStatus> {
        self.inner.status()
    }
}
