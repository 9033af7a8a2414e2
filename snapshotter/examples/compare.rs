//! Compares snapshotters of a running containerd: how long `prepare`, `mounts` and `remove` of a snapshot take together, over containerd's socket
//! or a snapshotter's own, one after the other in turn.
//!
//! `compare SOCKET PARENT ROUNDS SNAPSHOTTER[@SOCKET]...`; PARENT is the name of a committed snapshot that all of them have (`ctr snapshots ls`), or
//! `-` for none.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a tool for developers")]

use std::time::{Duration, Instant};

use plywood_snapshotter::proto::snapshots::snapshots_client::SnapshotsClient;
use plywood_snapshotter::proto::snapshots::{
    ListSnapshotsRequest, MountsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest,
};
use tonic::Request;
use tonic::transport::Channel;

/// In containerd's default namespace.
fn in_namespace<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", "default".parse().expect("ASCII"));
    request
}

async fn once(
    client: &mut SnapshotsClient<Channel>,
    snapshotter: &str,
    parent: &str,
) -> Result<[Duration; 3], tonic::Status> {
    let (snapshotter, key, parent) = (snapshotter.to_owned(), "compared".to_owned(), parent.to_owned());
    let mut taken = [Duration::ZERO; 3];
    let started = Instant::now();
    let labels = [("containerd.io/gc.root".to_owned(), "compare".to_owned())].into();
    let prepare =
        PrepareSnapshotRequest { snapshotter: snapshotter.clone(), key: key.clone(), parent, labels };
    client.prepare(in_namespace(prepare)).await?;
    taken[0] = started.elapsed();
    let started = Instant::now();
    client.mounts(in_namespace(MountsRequest { snapshotter: snapshotter.clone(), key: key.clone() })).await?;
    taken[1] = started.elapsed();
    let started = Instant::now();
    client.remove(in_namespace(RemoveSnapshotRequest { snapshotter, key })).await?;
    taken[2] = started.elapsed();
    Ok(taken)
}

/// A snapshotter behind a socket.
struct Contender {
    name: String,
    client: SnapshotsClient<Channel>,
    /// The parent, as it is called there.
    parent: String,
}

impl Contender {
    /// `NAME`, behind containerd's socket, or `NAME@SOCKET`: a snapshotter's own one, where containerd's names have its namespace and a number
    /// before them.
    async fn new(given: &str, containerd: &str, parent: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let own = given.split_once('@');
        let socket = own.map_or(containerd, |(_, socket)| socket);
        let mut client = SnapshotsClient::connect(format!("unix:{socket}")).await?;
        let mut parent = parent.to_owned();
        if own.is_some() && !parent.is_empty() {
            let mut listed = client.list(in_namespace(ListSnapshotsRequest::default())).await?.into_inner();
            let end = format!("/{parent}");
            while let Some(message) = listed.message().await? {
                parent = message
                    .info
                    .into_iter()
                    .map(|info| info.name)
                    .find(|name| name.ends_with(&end))
                    .unwrap_or(parent);
            }
        }
        Ok(Self { name: given.to_owned(), client, parent })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, parent, rounds, snapshotters @ ..] = &arguments[..] else {
        return Err("compare SOCKET PARENT ROUNDS SNAPSHOTTER[@SOCKET]...".into());
    };
    let parent = if parent == "-" { "" } else { parent };
    let mut contenders = Vec::new();
    for given in snapshotters {
        contenders.push(Contender::new(given, socket, parent).await?);
    }
    let mut taken = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds.parse::<usize>()? {
        for (Contender { name, client, parent }, taken) in contenders.iter_mut().zip(&mut taken) {
            taken.push(once(client, name, parent).await?);
        }
    }
    for (snapshotter, taken) in snapshotters.iter().zip(taken) {
        let median = |of: &dyn Fn(&[Duration; 3]) -> Duration| {
            let mut times: Vec<Duration> = taken.iter().map(of).collect();
            times.sort();
            times[times.len() / 2]
        };
        let whole = median(&|times| times.iter().sum());
        let [prepare, mounts, remove] = [0, 1, 2].map(|part| median(&|times| times[part]));
        println!(
            "{snapshotter}: {whole:.2?} (prepare {prepare:.2?}, mounts {mounts:.2?}, remove {remove:.2?})"
        );
    }
    Ok(())
}
