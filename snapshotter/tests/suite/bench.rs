//! A service on a store of its own, and a client of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use plywood_fuse_union::{FuseUnion, Server};
use plywood_graph::{CheckOptions, Durability, Store, StoreOptions};
use plywood_graphdriver::{GraphDriver, Ownership};
use plywood_overlay2::Overlay2;
use plywood_snapshotter::proto::snapshots::snapshots_client::SnapshotsClient;
use plywood_snapshotter::proto::snapshots::{
    CleanupRequest, CommitSnapshotRequest, Info, ListSnapshotsRequest, MountsRequest, PrepareSnapshotRequest,
    RemoveSnapshotRequest, StatSnapshotRequest, UpdateSnapshotRequest, UsageRequest, UsageResponse,
    ViewSnapshotRequest,
};
use plywood_snapshotter::proto::types::Mount;
use plywood_snapshotter::{ServeError, ServeOptions, SocketOptions, serve_until};
use plywood_sys::identity::Privilege;
use plywood_vfs::Vfs;
use prost_types::FieldMask;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::mounting::mount_all;
use crate::programs;

pub const DRIVERS: [&str; 3] = ["overlay2", "fuse-union", "vfs"];

/// Runs a case on every driver.
pub fn on_every_driver(case: fn(&Bench)) {
    for driver in DRIVERS {
        println!("driver {driver}");
        let bench = Bench::new(driver);
        case(&bench);
        bench.check();
    }
}

/// How to stop the service, and how it ended.
type Serving = (oneshot::Sender<()>, JoinHandle<Result<(), ServeError>>);

pub struct Bench {
    pub driver: &'static str,
    pub folder: TempDir,
    pub runtime: Runtime,
    client: SnapshotsClient<Channel>,
    serving: Option<Serving>,
}

impl Bench {
    pub fn new(driver: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let runtime = Runtime::new().unwrap();
        let socket = folder.path().join("plywood.sock");
        let client = {
            let _entered = runtime.enter();
            let endpoint = Endpoint::try_from(format!("unix:{}", socket.display())).unwrap();
            SnapshotsClient::new(endpoint.connect_lazy())
        };
        let mut bench = Self { driver, folder, runtime, client, serving: None };
        bench.start();
        bench
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("plywood.sock")
    }

    /// The folder of the driver's layers.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("root").join(self.driver)
    }

    pub fn store(&self) -> Store {
        let root = self.folder.path().join("root");
        std::fs::create_dir_all(&root).unwrap();
        let driver: Box<dyn GraphDriver> = match self.driver {
            "overlay2" => Box::new(Overlay2::open(&self.home(), Privilege::Root).unwrap()),
            "fuse-union" => {
                let server = Server::Program(programs::fuse_union());
                Box::new(FuseUnion::open(&self.home(), Privilege::Root, server).unwrap())
            }
            _ => Box::new(Vfs::open(&self.home(), Privilege::Root).unwrap()),
        };
        let options =
            StoreOptions { durability: Durability::None, ..StoreOptions::new(Ownership::FromLayer) };
        Store::open(&root, driver, options).unwrap()
    }

    pub fn start(&mut self) {
        let socket = SocketOptions { path: self.socket(), mode: 0o600, owner: None };
        let options = ServeOptions { socket, metrics: None };
        let (store, (stop, stopped)) = (self.store(), oneshot::channel::<()>());
        let serving = self
            .runtime
            .spawn(async move { serve_until(store, &options, async { drop(stopped.await) }).await });
        while !self.socket().exists() {
            assert!(!serving.is_finished(), "the service did not start");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        self.serving = Some((stop, serving));
    }

    /// Stops the service as SIGTERM does, and waits for it.
    pub fn stop(&mut self) {
        let (stop, serving) = self.serving.take().unwrap();
        stop.send(()).unwrap();
        self.runtime.block_on(serving).unwrap().unwrap();
        assert!(!self.socket().exists());
    }

    /// Everything that is there is as the records have it, and nothing else is there.
    pub fn check(&self) {
        self.cleanup();
        let store = self.store();
        let report =
            store.check(CheckOptions::default(), &mut |problem| panic!("{}: {problem}", self.driver));
        assert_eq!(report.unwrap().problems, 0);
        let mut unreachable = store.gc(true).unwrap();
        // The connection that the client holds is of a service with leases of its own.
        unreachable.temporary = 0;
        assert_eq!(unreachable, plywood_graph::Reclaimed::default(), "{}", self.driver);
        if self.driver == "overlay2" {
            for link in std::fs::read_dir(self.home().join("l")).unwrap() {
                let link = link.unwrap().path();
                assert!(link.is_dir(), "{} leads nowhere", link.display());
            }
        }
    }

    /// How many layers the driver has.
    pub fn layers_on_disk(&self) -> usize {
        let names = std::fs::read_dir(self.home()).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name().len() == 32).count()
    }

    fn block<T>(
        &self,
        call: impl AsyncFnOnce(SnapshotsClient<Channel>) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, Status> {
        self.runtime.block_on(call(self.client.clone())).map(tonic::Response::into_inner)
    }

    pub fn prepare(&self, key: &str, parent: &str) -> Result<Vec<Mount>, Status> {
        self.prepare_with(key, parent, &[])
    }

    pub fn prepare_with(&self, key: &str, parent: &str, with: &[(&str, &str)]) -> Result<Vec<Mount>, Status> {
        let (key, parent) = (key.to_owned(), parent.to_owned());
        let request =
            PrepareSnapshotRequest { snapshotter: "plywood".into(), key, parent, labels: labels(with) };
        self.block(async |mut client| client.prepare(request).await).map(|answer| answer.mounts)
    }

    pub fn view(&self, key: &str, parent: &str) -> Result<Vec<Mount>, Status> {
        self.view_with(key, parent, &[])
    }

    pub fn view_with(&self, key: &str, parent: &str, with: &[(&str, &str)]) -> Result<Vec<Mount>, Status> {
        let (key, parent) = (key.to_owned(), parent.to_owned());
        let request =
            ViewSnapshotRequest { snapshotter: "plywood".into(), key, parent, labels: labels(with) };
        self.block(async |mut client| client.view(request).await).map(|answer| answer.mounts)
    }

    pub fn mounts(&self, key: &str) -> Result<Vec<Mount>, Status> {
        let request = MountsRequest { snapshotter: "plywood".into(), key: key.into() };
        self.block(async |mut client| client.mounts(request).await).map(|answer| answer.mounts)
    }

    pub fn commit(&self, name: &str, key: &str) -> Result<(), Status> {
        self.commit_with(name, key, "", &[])
    }

    pub fn commit_with(
        &self,
        name: &str,
        key: &str,
        parent: &str,
        with: &[(&str, &str)],
    ) -> Result<(), Status> {
        let request = CommitSnapshotRequest {
            snapshotter: "plywood".into(),
            name: name.into(),
            key: key.into(),
            labels: labels(with),
            parent: parent.into(),
        };
        self.block(async |mut client| client.commit(request).await)
    }

    pub fn remove(&self, key: &str) -> Result<(), Status> {
        let request = RemoveSnapshotRequest { snapshotter: "plywood".into(), key: key.into() };
        self.block(async |mut client| client.remove(request).await)
    }

    pub fn stat(&self, key: &str) -> Result<Info, Status> {
        let request = StatSnapshotRequest { snapshotter: "plywood".into(), key: key.into() };
        self.block(async |mut client| client.stat(request).await).map(|answer| answer.info.unwrap())
    }

    pub fn update(&self, info: Info, paths: &[&str]) -> Result<Info, Status> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateSnapshotRequest {
            snapshotter: "plywood".into(),
            info: Some(info),
            update_mask: Some(FieldMask { paths }),
        };
        self.block(async |mut client| client.update(request).await).map(|answer| answer.info.unwrap())
    }

    pub fn list(&self, filters: &[&str]) -> Result<Vec<Info>, Status> {
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let request = ListSnapshotsRequest { snapshotter: "plywood".into(), filters };
        let mut client = self.client.clone();
        self.runtime.block_on(async move {
            let mut stream = client.list(request).await?.into_inner();
            let mut all = Vec::new();
            while let Some(message) = stream.message().await? {
                all.extend(message.info);
            }
            Ok(all)
        })
    }

    pub fn usage(&self, key: &str) -> Result<UsageResponse, Status> {
        let request = UsageRequest { snapshotter: "plywood".into(), key: key.into() };
        self.block(async |mut client| client.usage(request).await)
    }

    pub fn cleanup(&self) {
        let request = CleanupRequest { snapshotter: "plywood".into() };
        self.block(async |mut client| client.cleanup(request).await).unwrap();
    }

    /// A folder of the case's own; its path is the key, as in containerd's suite.
    pub fn work(&self, name: &str) -> String {
        let folder = self.folder.path().join("work").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder.to_str().unwrap().to_owned()
    }

    /// Prepares a snapshot, changes its tree and commits it.
    pub fn layer(&self, name: &str, parent: &str, change: impl FnOnce(&Path)) {
        let key = self.work(&format!("{}-active", name.replace('/', "-")));
        let mounts = self.prepare(&key, parent).unwrap();
        let mounted = mount_all(&mounts, &key);
        change(Path::new(&key));
        drop(mounted);
        self.commit(name, &key).unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some((stop, serving)) = self.serving.take() {
            stop.send(()).unwrap_or_default();
            drop(self.runtime.block_on(serving));
        }
    }
}

fn labels(with: &[(&str, &str)]) -> HashMap<String, String> {
    with.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
