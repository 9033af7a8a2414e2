//! What the store says, as it goes over the wire.

use std::time::{Duration, SystemTime};

use plywood_graph::{SnapshotKind, SnapshotRecord};
use plywood_graphdriver::{MountSpec, Usage};
use prost_types::Timestamp;

use crate::proto::snapshots::{Info, Kind, UsageResponse};
use crate::proto::types::Mount;

/// A snapshot's record.
pub(crate) fn info(record: SnapshotRecord) -> Info {
    let kind = match record.kind {
        SnapshotKind::Active => Kind::Active,
        SnapshotKind::View => Kind::View,
        SnapshotKind::Committed => Kind::Committed,
    };
    Info {
        name: record.key,
        parent: record.parent.unwrap_or_default(),
        kind: kind.into(),
        created_at: Some(timestamp(record.created)),
        updated_at: Some(timestamp(record.updated)),
        labels: record.labels.into_iter().collect(),
    }
}

/// A time; those before 1970 are 1970.
fn timestamp(time: SystemTime) -> Timestamp {
    let since: Duration = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}

/// A mount. containerd makes it where it likes, so it has no target.
pub(crate) fn mount(spec: MountSpec) -> Mount {
    Mount {
        r#type: spec.kind,
        source: spec.source.to_string_lossy().into_owned(),
        target: String::new(),
        options: spec.options,
    }
}

/// What a snapshot takes.
pub(crate) fn usage(usage: Usage) -> UsageResponse {
    let count = |value| i64::try_from(value).unwrap_or(i64::MAX);
    UsageResponse { size: count(usage.size_bytes), inodes: count(usage.inodes) }
}
