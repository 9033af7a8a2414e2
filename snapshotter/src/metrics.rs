//! What the service counts, offered to Prometheus on request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tonic::Code;

use crate::ServeError;

/// What Prometheus' text format is called (the `OpenMetrics` specification, version 1.0).
const TEXT_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A method, and how calls of it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Call {
    method: &'static str,
    code: &'static str,
}

/// A method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Method {
    method: &'static str,
}

impl EncodeLabelSet for Call {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        [("method", self.method), ("code", self.code)].encode(encoder)
    }
}

impl EncodeLabelSet for Method {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        [("method", self.method)].encode(encoder)
    }
}

/// The counts. A clone counts into the same.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    calls: Family<Call, Counter>,
    seconds: Family<Method, Histogram>,
    removed: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("plywood_snapshotter");
        let (calls, removed) = (Family::default(), Counter::default());
        // From a tenth of a millisecond to 26 seconds.
        let seconds = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(0.0001, 4.0, 10))) as fn() -> Histogram,
        );
        registry.register("calls", "Calls by method and gRPC status", calls.clone());
        registry.register("call_seconds", "How long calls took, in seconds", seconds.clone());
        registry.register("layers_removed", "Layers removed from the disk", removed.clone());
        Self { registry: Arc::new(registry), calls, seconds, removed }
    }

    /// Counts a call that ended.
    pub(crate) fn called(&self, method: &'static str, code: Code, took: Duration) {
        self.calls.get_or_create(&Call { method, code: name(code) }).inc();
        self.seconds.get_or_create(&Method { method }).observe(took.as_secs_f64());
    }

    /// Counts layers that were removed.
    pub(crate) fn removed(&self, count: usize) {
        self.removed.inc_by(count as u64);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }

    /// Offers the metrics at `http://ADDRESS/metrics`, as long as the runtime lives.
    pub(crate) async fn offer(&self, address: SocketAddr) -> Result<SocketAddr, ServeError> {
        let failed = |source| ServeError::Metrics { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let metrics = self.clone();
        let page = get(move || async move { ([(CONTENT_TYPE, TEXT_FORMAT)], metrics.text()) });
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, Router::new().route("/metrics", page)).await {
                tracing::error!(%error, "metrics are not offered any more");
            }
        });
        Ok(bound)
    }
}

/// The name of a status as the gRPC specification has it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let metrics = Metrics::new();
        metrics.called("Prepare", Code::Ok, Duration::from_millis(2));
        metrics.called("Prepare", Code::Ok, Duration::from_millis(2));
        metrics.called("Stat", Code::NotFound, Duration::ZERO);
        metrics.removed(3);
        let text = metrics.text();
        for line in [
            "plywood_snapshotter_calls_total{method=\"Prepare\",code=\"OK\"} 2",
            "plywood_snapshotter_calls_total{method=\"Stat\",code=\"NOT_FOUND\"} 1",
            "plywood_snapshotter_call_seconds_count{method=\"Prepare\"} 2",
            "plywood_snapshotter_layers_removed_total 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
