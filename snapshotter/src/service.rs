//! The service: every method of containerd's Snapshots, over the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use plywood_graph::{GraphError, NewSnapshot, SnapshotRecord, Store};
use plywood_graphdriver::MountRequest;
use tonic::{Code, Request, Response, Status};

use crate::convert;
use crate::filter::{Filter, Selected};
use crate::metrics::Metrics;
use crate::proto::snapshots::snapshots_server::Snapshots;
use crate::proto::snapshots::{
    CleanupRequest, CommitSnapshotRequest, ListSnapshotsRequest, ListSnapshotsResponse, MountsRequest,
    MountsResponse, PrepareSnapshotRequest, PrepareSnapshotResponse, RemoveSnapshotRequest,
    StatSnapshotRequest, StatSnapshotResponse, UpdateSnapshotRequest, UpdateSnapshotResponse, UsageRequest,
    UsageResponse, ViewSnapshotRequest, ViewSnapshotResponse,
};
use crate::proto::types::Mount;
use crate::removal::Remover;
use crate::status::status;
use crate::write_back::WriteBack;
use crate::{id_mapping, update};

/// Snapshots in one message of a list, as in containerd's own service.
const LISTED_AT_ONCE: usize = 100;
/// How the names of snapshots begin that containerd unpacks an image's layer into (`UnpackKeyPrefix`, core/snapshots/snapshotter.go).
const UNPACKED: &str = "extract-";

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    shared: Arc<Shared>,
    metrics: Metrics,
}

/// What the calls work with.
#[derive(Debug)]
struct Shared {
    store: Store,
    remover: Remover,
    write_back: WriteBack,
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    pub(crate) fn new(store: Store, remover: Remover, write_back: WriteBack, metrics: Metrics) -> Self {
        Self { shared: Arc::new(Shared { store, remover, write_back }), metrics }
    }

    /// Runs what may block on a thread of its own, and counts and logs it. It goes on when the caller goes away.
    async fn call<T: Send + 'static>(
        &self,
        method: &'static str,
        key: &str,
        work: impl FnOnce(&Shared) -> Result<T, Status> + Send + 'static,
    ) -> Answer<T> {
        let started = Instant::now();
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        let done = done.unwrap_or_else(|error| Err(Status::internal(format!("{method}: {error}"))));
        let took = started.elapsed();
        let code = done.as_ref().err().map_or(Code::Ok, Status::code);
        self.metrics.called(method, code, took);
        match &done {
            Ok(_) => tracing::debug!(method, key, ?took, "done"),
            // containerd asks for what may or may not be there.
            Err(error) if matches!(code, Code::NotFound | Code::AlreadyExists) => {
                tracing::debug!(method, key, ?took, ?code, error = error.message(), "answered no");
            }
            Err(error) => tracing::warn!(method, key, ?took, ?code, error = error.message(), "failed"),
        }
        done.map(Response::new)
    }
}

#[allow(clippy::result_large_err, reason = "tonic's own type")]
impl Shared {
    fn make(
        &self,
        operation: &str,
        (key, parent, labels): (&str, &str, HashMap<String, String>),
        make: fn(&Store, &NewSnapshot<'_>) -> Result<SnapshotRecord, GraphError>,
    ) -> Result<Vec<Mount>, Status> {
        let new = new_snapshot(key, parent, labels)?;
        let record = make(&self.store, &new).map_err(|error| status(operation, &error))?;
        self.mounts(&record)
    }

    fn mounts(&self, record: &SnapshotRecord) -> Result<Vec<Mount>, Status> {
        let mapped = id_mapping::options(&record.labels);
        // containerd 2.2 unpacks several layers of an image at once, each on nothing, and tells their parents with the commit.
        let stacked = record.parent.is_none() && plain_name(&record.key).starts_with(UNPACKED);
        let request = MountRequest { id_mapped: !mapped.is_empty(), stacked, ..MountRequest::default() };
        let specs = self.store.snapshot_mounts(record, &request);
        let specs = specs.map_err(|error| status("mounts of snapshot", &error))?;
        let with_ids = |spec| {
            let mut mount = convert::mount(spec);
            mount.options.splice(0..0, mapped.iter().cloned());
            mount
        };
        Ok(specs.into_iter().map(with_ids).collect())
    }
}

#[tonic::async_trait]
impl Snapshots for Service {
    async fn prepare(&self, request: Request<PrepareSnapshotRequest>) -> Answer<PrepareSnapshotResponse> {
        let PrepareSnapshotRequest { key, parent, labels, .. } = request.into_inner();
        self.call("Prepare", &key.clone(), move |shared| {
            let mounts = shared.make("prepare snapshot", (&key, &parent, labels), Store::prepare_snapshot)?;
            if plain_name(&key).starts_with(UNPACKED) {
                shared.write_back.begin(&key);
            }
            Ok(PrepareSnapshotResponse { mounts })
        })
        .await
    }

    async fn view(&self, request: Request<ViewSnapshotRequest>) -> Answer<ViewSnapshotResponse> {
        let ViewSnapshotRequest { key, parent, labels, .. } = request.into_inner();
        self.call("View", &key.clone(), move |shared| {
            let mounts = shared.make("view snapshot", (&key, &parent, labels), Store::view_snapshot)?;
            Ok(ViewSnapshotResponse { mounts })
        })
        .await
    }

    async fn mounts(&self, request: Request<MountsRequest>) -> Answer<MountsResponse> {
        let key = request.into_inner().key;
        self.call("Mounts", &key.clone(), move |shared| {
            let record = shared.store.snapshot(&key);
            let record = record.map_err(|error| status("mounts of snapshot", &error))?;
            Ok(MountsResponse { mounts: shared.mounts(&record)? })
        })
        .await
    }

    async fn commit(&self, request: Request<CommitSnapshotRequest>) -> Answer<()> {
        let CommitSnapshotRequest { name, key, labels, parent, .. } = request.into_inner();
        self.call("Commit", &key.clone(), move |shared| {
            let new = NewSnapshot {
                key: &name,
                parent: Some(parent.as_str()).filter(|parent| !parent.is_empty()),
                labels: labels.into_iter().collect(),
                root_owner: None,
            };
            let _paused = shared.write_back.pause();
            if shared.write_back.has_failed(&key) {
                let reason =
                    "a write to the disk failed while it was unpacked: remove it and unpack it again";
                return Err(Status::data_loss(format!("commit snapshot '{key}': {reason}")));
            }
            let removal = shared.store.commit_snapshot(&new, &key);
            if removal.is_ok() {
                shared.write_back.end(&key);
            }
            if let Some(removal) = removal.map_err(|error| status("commit snapshot", &error))? {
                tracing::info!(name, "shares the layer of another namespace");
                shared.remover.remove(removal);
            }
            Ok(())
        })
        .await
    }

    async fn remove(&self, request: Request<RemoveSnapshotRequest>) -> Answer<()> {
        let key = request.into_inner().key;
        self.call("Remove", &key.clone(), move |shared| {
            let removal = shared.store.remove_snapshot(&key);
            if removal.is_ok() {
                shared.write_back.end(&key);
            }
            if let Some(removal) = removal.map_err(|error| status("remove snapshot", &error))? {
                shared.remover.remove(removal);
            }
            Ok(())
        })
        .await
    }

    async fn stat(&self, request: Request<StatSnapshotRequest>) -> Answer<StatSnapshotResponse> {
        let key = request.into_inner().key;
        self.call("Stat", &key.clone(), move |shared| {
            let record = shared.store.snapshot(&key).map_err(|error| status("stat snapshot", &error))?;
            Ok(StatSnapshotResponse { info: Some(convert::info(record)) })
        })
        .await
    }

    async fn update(&self, request: Request<UpdateSnapshotRequest>) -> Answer<UpdateSnapshotResponse> {
        let UpdateSnapshotRequest { info, update_mask, .. } = request.into_inner();
        let info = info.unwrap_or_default();
        self.call("Update", &info.name.clone(), move |shared| {
            let paths = update_mask.unwrap_or_default().paths;
            let change = update::change(&paths, info.labels, &info.name)?;
            let record = shared.store.label_snapshot(&info.name, &change);
            let record = record.map_err(|error| status("update snapshot", &error))?;
            Ok(UpdateSnapshotResponse { info: Some(convert::info(record)) })
        })
        .await
    }

    type ListStream = tokio_stream::Iter<std::vec::IntoIter<Result<ListSnapshotsResponse, Status>>>;

    async fn list(&self, request: Request<ListSnapshotsRequest>) -> Answer<Self::ListStream> {
        let filters = request.into_inner().filters;
        self.call("List", &filters.join(" "), move |shared| {
            let filter = Filter::parse(filters.iter().map(String::as_str))
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
            let all = shared.store.snapshots().map_err(|error| status("list snapshots", &error))?;
            let mut infos = all.into_iter().filter(|record| filter.fits(record)).map(convert::info);
            let mut messages = Vec::new();
            loop {
                let info: Vec<_> = infos.by_ref().take(LISTED_AT_ONCE).collect();
                if info.is_empty() {
                    return Ok(tokio_stream::iter(messages));
                }
                messages.push(Ok(ListSnapshotsResponse { info }));
            }
        })
        .await
    }

    async fn usage(&self, request: Request<UsageRequest>) -> Answer<UsageResponse> {
        let key = request.into_inner().key;
        self.call("Usage", &key.clone(), move |shared| {
            let usage = shared.store.snapshot_usage(&key);
            usage.map(convert::usage).map_err(|error| status("usage of snapshot", &error))
        })
        .await
    }

    async fn cleanup(&self, _: Request<CleanupRequest>) -> Answer<()> {
        self.shared.remover.wait().await;
        self.call("Cleanup", "", |_| Ok(())).await
    }
}

impl Selected for SnapshotRecord {
    fn field(&self, path: &[String]) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "name" => Some(&self.key),
            "parent" => Some(self.parent.as_deref().unwrap_or_default()),
            "kind" => Some(self.kind.as_str()),
            "labels" => self.labels.get(&rest.join(".")).map(String::as_str),
            _ => None,
        }
    }
}

#[allow(clippy::result_large_err, reason = "tonic's own type")]
fn new_snapshot<'a>(
    key: &'a str,
    parent: &'a str,
    labels: HashMap<String, String>,
) -> Result<NewSnapshot<'a>, Status> {
    let labels: BTreeMap<String, String> = labels.into_iter().collect();
    let root_owner = id_mapping::root(&labels)?;
    Ok(NewSnapshot { key, parent: Some(parent).filter(|parent| !parent.is_empty()), labels, root_owner })
}

/// A key as containerd's client named it: without the `NAMESPACE/NUMBER/` that its metadata store puts before.
fn plain_name(key: &str) -> &str {
    key.splitn(3, '/').nth(2).unwrap_or(key)
}
