//! The process: the socket is served until somebody says stop.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use plywood_graph::Store;
use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::metrics::Metrics;
use crate::proto::snapshots::snapshots_server::SnapshotsServer;
use crate::removal::Remover;
use crate::service::Service;
use crate::socket::Socket;
use crate::write_back::WriteBack;
use crate::{ServeError, SocketOptions};

/// Calls that work at once; more wait. SQLite and the disk are shared by all of them.
const MOST_CALLS: usize = 64;
/// How long calls may go on after the order to stop. systemd waits 90 s before it kills (`TimeoutStopSec`, systemd.service(5)).
const STOP_PATIENCE: Duration = Duration::from_mins(1);

/// How to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// Where.
    pub socket: SocketOptions,
    /// Where to offer metrics over HTTP, if anywhere.
    pub metrics: Option<SocketAddr>,
}

/// Serves snapshots of the store until SIGTERM or SIGINT; calls that are under way are finished first. Tells systemd when it is ready,
/// where systemd wants to know (`sd_notify(3)`).
///
/// # Errors
/// Where the socket or the metrics cannot be offered, and where the transport fails.
pub fn serve(store: Store, options: &ServeOptions) -> Result<(), ServeError> {
    let started = |source| ServeError::Start { what: "the runtime", source };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MOST_CALLS)
        .build()
        .map_err(started)?;
    runtime.block_on(async {
        let failed = |source| ServeError::Start { what: "listening to signals", source };
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        serve_until(store, options, stop).await
    })
}

/// As [`serve`], until `stop` is done, on a runtime of the caller's.
///
/// # Errors
/// As [`serve`].
pub async fn serve_until(
    store: Store,
    options: &ServeOptions,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let socket_failed =
        |operation| move |source| ServeError::Socket { operation, path: options.socket.path.clone(), source };
    let mut socket = Socket::open(&options.socket)?;
    let Some(listener) = socket.listener.take() else { return Ok(()) };
    listener.set_nonblocking(true).map_err(socket_failed("set up"))?;
    let listener = UnixListener::from_std(listener).map_err(socket_failed("listen at"))?;
    let metrics = Metrics::new();
    if let Some(address) = options.metrics {
        let address = metrics.offer(address).await?;
        tracing::info!(%address, "metrics are offered");
    }
    let remover = Remover::start(metrics.clone())?;
    let write_back = WriteBack::start(store.clone())?;
    let service = Service::new(store, remover, write_back, metrics);
    tracing::info!(socket = %options.socket.path.display(), "serving snapshots");
    tell_systemd(NotifyState::Ready);

    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let stop = async move {
        stop.await;
        tracing::info!("stopping: calls that are under way are finished");
        tell_systemd(NotifyState::Stopping);
        stopping.send_replace(true);
    };
    let served = Server::builder()
        .add_service(SnapshotsServer::new(service))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop);
    let too_long = async {
        // An error says that the server ended, and nobody waits here any more.
        drop(stopped.wait_for(|stopping| *stopping).await);
        tokio::time::sleep(STOP_PATIENCE).await;
    };
    tokio::select! {
        served = served => served.map_err(|source| ServeError::Transport { source }),
        () = too_long => {
            tracing::error!("calls do not end: stopping without them");
            Ok(())
        }
    }
}

fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
