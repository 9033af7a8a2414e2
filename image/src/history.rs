//! How an image came about, step by step.

use std::time::SystemTime;

use plywood_archive::digest::Digest;
use plywood_graph::ImageRecord;

use crate::document::{Config, HistoryRecord};
use crate::{ImageError, timestamp};

/// One step of an image's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When, where that is on record.
    pub created: Option<SystemTime>,
    /// By what command; empty for a layer of which the config tells nothing.
    pub created_by: String,
    /// By whom.
    pub author: String,
    /// A remark.
    pub comment: String,
    /// The step made no layer.
    pub empty_layer: bool,
    /// Bytes that its layer takes, unpacked.
    pub size_bytes: u64,
    /// Its layer's diff id.
    pub diff_id: Option<Digest>,
}

/// The steps by which an image came about, newest first, each with its layer.
///
/// Where the config tells of fewer steps than there are layers, the lowest layers have steps that say nothing; where
/// it tells of more, the oldest steps have no layer.
///
/// # Errors
/// As [`Config::of`].
pub fn history(image: &ImageRecord) -> Result<Vec<HistoryEntry>, ImageError> {
    let config = Config::of(image)?;
    let mut layers = image.layers.iter().rev();
    let mut entries = Vec::with_capacity(config.history.len());
    for record in config.history.iter().rev() {
        let layer = if record.empty_layer { None } else { layers.next() };
        let size_bytes = layer.map_or(0, |layer| layer.size_bytes);
        entries.push(entry(record, size_bytes, layer.and_then(|layer| layer.diff_id)));
    }
    let untold = HistoryRecord::default();
    entries.extend(layers.map(|layer| entry(&untold, layer.size_bytes, layer.diff_id)));
    Ok(entries)
}

fn entry(record: &HistoryRecord, size_bytes: u64, diff_id: Option<Digest>) -> HistoryEntry {
    HistoryEntry {
        created: record.created.as_deref().and_then(timestamp::parse),
        created_by: record.created_by.clone(),
        author: record.author.clone(),
        comment: record.comment.clone(),
        empty_layer: record.empty_layer,
        size_bytes,
        diff_id,
    }
}
