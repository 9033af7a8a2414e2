//! A driver of plain folders: enough of one to test the store.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use plywood_archive::digest::HashingReader;
use plywood_archive::recipe;
use plywood_archive::tar::{Entry, Kind, Limits, Segment, TarReader, TarWriter, Timestamp};
use plywood_graphdriver::{
    Access, Applied, ApplyOptions, Capabilities, Change, ChangeKind, Contents, DriverError, DriverResult,
    DriverStatus, ErrorKind, GraphDriver, LayerId, LayerRef, MountRequest, MountSpec, Mounted, Resettle,
    Teardown, Usage,
};
use plywood_sys::mount::{self, Restrictions};

/// What a test sees of a driver, and how it interferes.
#[derive(Default)]
pub struct Hooks {
    /// Layers are applied in order, on parents that are sealed.
    pub in_order: AtomicBool,
    /// Layers unpack a second time when they are sealed.
    pub resettles: AtomicBool,
    pub applied: AtomicUsize,
    pub sealed: Mutex<Vec<LayerId>>,
    pub removed: AtomicUsize,
    /// Called before a layer is applied.
    pub before_apply: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
    /// A file of this name cannot be written.
    pub fails_at: Mutex<Option<String>>,
    /// A diff has begun to write a file.
    pub diffing: AtomicBool,
    /// Layers cannot be removed.
    pub keeps: AtomicBool,
}

pub struct Fake {
    home: PathBuf,
    hooks: Arc<Hooks>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Fake")
    }
}

impl Fake {
    pub fn open(home: &Path, hooks: Arc<Hooks>) -> Self {
        fs::create_dir_all(home).unwrap();
        Self { home: home.to_owned(), hooks }
    }

    fn folder(&self, id: &LayerId) -> PathBuf {
        self.home.join(id.as_str())
    }

    fn seal_mark(&self, id: &LayerId) -> PathBuf {
        self.home.join(id.as_str()).join("sealed")
    }

    fn tree(&self, id: &LayerId) -> PathBuf {
        self.folder(id).join("tree")
    }

    fn create(&self, id: &LayerId) -> DriverResult<()> {
        fs::create_dir(self.folder(id)).map_err(system("create"))?;
        fs::create_dir(self.tree(id)).map_err(system("create"))
    }

    fn check_parents(&self, layer: LayerRef<'_>) -> DriverResult<()> {
        match layer.parents.iter().find(|parent| !self.seal_mark(parent).exists()) {
            Some(parent) => {
                Err(DriverError::new(ErrorKind::NotFound, "apply", format!("{parent} is not sealed")))
            }
            None => Ok(()),
        }
    }

    fn unpack(&self, id: &LayerId, tar: &mut dyn Read, options: ApplyOptions<'_>) -> DriverResult<Applied> {
        let recipe = recipe::Writer::new(options.recipe.unwrap()).map_err(system("write recipe"))?;
        let mut reader = TarReader::new(BufReader::new(HashingReader::new(tar)), Limits::default(), recipe);
        let invalid = |error| DriverError::new(ErrorKind::InvalidInput, "apply", error);
        let mut applied = Applied::default();
        while let Some(entry) = reader.next_entry().map_err(invalid)? {
            let path = self.tree(id).join(std::str::from_utf8(&entry.path).unwrap());
            applied.entries += 1;
            applied.usage += Usage { size_bytes: entry.size_bytes, inodes: 1 };
            if entry.kind == Kind::Directory {
                fs::create_dir_all(&path).map_err(system("make folder"))?;
                continue;
            }
            if self.hooks.fails_at.lock().unwrap().as_deref()
                == path.file_name().and_then(|name| name.to_str())
            {
                return Err(DriverError::new(ErrorKind::NoSpace, "apply", "the disk is full").at(path));
            }
            let segment = Segment { offset: 0, length: entry.size_bytes };
            reader.observer_mut().file(&entry.path, &[segment]).map_err(system("write recipe"))?;
            fs::create_dir_all(path.parent().unwrap()).map_err(system("make folder"))?;
            let mut file = fs::File::create(&path).map_err(system("make file"))?;
            loop {
                let bytes = reader.payload().map_err(invalid)?;
                let count = bytes.len();
                if count == 0 {
                    break;
                }
                file.write_all(bytes).map_err(system("write"))?;
                reader.consume(count);
            }
            let modified = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
            file.set_modified(modified).map_err(system("set the time"))?;
        }
        let (reader, recipe) = reader.finish().map_err(invalid)?;
        let measured = reader.into_inner().finish();
        recipe.finish(Some(measured)).map_err(system("write recipe"))?;
        Ok(applied)
    }

    fn files(&self, id: &LayerId) -> Vec<(String, Vec<u8>)> {
        let tree = self.tree(id);
        let (mut waiting, mut files) = (vec![tree.clone()], Vec::new());
        while let Some(folder) = waiting.pop() {
            // A layer that was only begun has no tree.
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    let name = path.strip_prefix(&tree).unwrap().to_str().unwrap().to_owned();
                    files.push((name, fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

fn system(operation: &'static str) -> impl Fn(io::Error) -> DriverError {
    move |error| DriverError::system(operation, error)
}

pub fn entry(path: &str, kind: Kind, size_bytes: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        kind,
        uid: 0,
        gid: 0,
        modified: Timestamp { seconds: 1_700_000_000, nanoseconds: 0 },
        size_bytes,
        xattrs: Vec::new(),
        sparse: None,
        position: 0,
        ordinal: 0,
    }
}

impl GraphDriver for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_depth: None,
            independent_apply: !self.hooks.in_order.load(Ordering::Relaxed),
            native_diff: true,
            rootless: true,
            mounts: true,
            quota: false,
            device_backed: false,
            shares_page_cache: false,
        }
    }

    fn snapshot(&self, new: LayerRef<'_>, _access: Access) -> DriverResult<()> {
        self.check_parents(new)?;
        self.create(new.id)
    }

    fn apply(
        &self,
        layer: LayerRef<'_>,
        tar: &mut dyn Read,
        options: ApplyOptions<'_>,
    ) -> DriverResult<Applied> {
        let before = self.hooks.before_apply.lock().unwrap().clone();
        if let Some(before) = before {
            before();
        }
        self.hooks.applied.fetch_add(1, Ordering::Relaxed);
        if self.hooks.in_order.load(Ordering::Relaxed) {
            self.check_parents(layer)?;
        }
        self.create(layer.id)?;
        self.unpack(layer.id, tar, options)
    }

    fn diff(&self, layer: LayerRef<'_>, tar: &mut dyn Write) -> DriverResult<Usage> {
        let mut writer = TarWriter::new(tar);
        let mut usage = Usage::default();
        for (name, content) in self.files(layer.id) {
            if self.hooks.fails_at.lock().unwrap().as_deref() == Some(name.as_str()) {
                return Err(DriverError::new(ErrorKind::Corrupt, "diff", "unreadable").at(name));
            }
            self.hooks.diffing.store(true, Ordering::SeqCst);
            writer.append(&entry(&name, Kind::Regular, content.len() as u64)).map_err(system("write"))?;
            writer.write_payload(&content).map_err(system("write"))?;
            usage += Usage { size_bytes: content.len() as u64, inodes: 1 };
        }
        writer.finish().map_err(system("write"))?;
        Ok(usage)
    }

    fn changes(
        &self,
        layer: LayerRef<'_>,
        visit: &mut dyn FnMut(Change) -> DriverResult<()>,
    ) -> DriverResult<()> {
        let mut files = self.files(layer.id).into_iter();
        files.try_for_each(|(name, _)| visit(Change { path: name.into_bytes(), kind: ChangeKind::Added }))
    }

    fn mount_specs(&self, layer: LayerRef<'_>, request: &MountRequest<'_>) -> DriverResult<Vec<MountSpec>> {
        if !request.read_only && self.seal_mark(layer.id).exists() {
            return Err(DriverError::new(ErrorKind::InvalidInput, "mount", "the layer is sealed"));
        }
        Ok(Vec::new())
    }

    fn mount(&self, layer: LayerRef<'_>, request: &MountRequest<'_>, target: &Path) -> DriverResult<Mounted> {
        let restrictions = Restrictions { read_only: request.read_only, ..Restrictions::default() };
        let bound = mount::bind(&self.tree(layer.id), restrictions).map_err(system("bind"))?;
        mount::attach(bound, target).map_err(system("attach"))?;
        Ok(Mounted::new(target.to_owned(), Box::new(Detach)))
    }

    fn contents(&self, layer: LayerRef<'_>) -> DriverResult<Contents> {
        let root = fs::File::open(self.tree(layer.id)).map_err(system("open"))?;
        Ok(Contents::new(OwnedFd::from(root), None))
    }

    fn seal(&self, layer: LayerRef<'_>, resettle: Option<&mut dyn Resettle>) -> DriverResult<()> {
        self.check_parents(layer)?;
        if self.hooks.resettles.load(Ordering::Relaxed) {
            let contents = self.contents(layer)?;
            resettle.unwrap().again(&contents, &mut |tar, options| {
                fs::rename(self.tree(layer.id), self.folder(layer.id).join("first"))
                    .map_err(system("rename"))?;
                fs::create_dir(self.tree(layer.id)).map_err(system("create"))?;
                self.unpack(layer.id, tar, options).map(drop)
            })?;
        }
        fs::write(self.seal_mark(layer.id), "").map_err(system("seal"))?;
        self.hooks.sealed.lock().unwrap().push(layer.id.clone());
        Ok(())
    }

    fn remove(&self, id: &LayerId) -> DriverResult<()> {
        if self.hooks.keeps.load(Ordering::Relaxed) {
            return Err(DriverError::new(ErrorKind::InUse, "remove", "somebody is in it").on(id));
        }
        self.hooks.removed.fetch_add(1, Ordering::Relaxed);
        match fs::remove_dir_all(self.folder(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("remove")(error)),
            _ => Ok(()),
        }
    }

    fn usage(&self, layer: LayerRef<'_>) -> DriverResult<Usage> {
        let files = self.files(layer.id);
        let size_bytes = files.iter().map(|(_, content)| content.len() as u64).sum();
        Ok(Usage { size_bytes, inodes: files.len() as u64 })
    }

    fn layers(&self) -> DriverResult<Vec<LayerId>> {
        Ok(super::names(&self.home).iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn status(&self) -> DriverResult<DriverStatus> {
        Ok(DriverStatus::default())
    }
}

struct Detach;

impl Teardown for Detach {
    fn unmount(&mut self, target: &Path) -> DriverResult<()> {
        mount::detach(target).map_err(system("unmount"))
    }
}
