//! What the fuzz targets check of the documents; nobody else sees it.
//!
//! Each function answers whether a document is taken, or what is broken.

use plywood_archive::digest::Digest;
use plywood_graph::ImageRecord;
use serde_json::{Map, Value};

use crate::CommitOptions;
use crate::commit::config_bytes;
use crate::document::{Config, Index, Manifest, parse};
use crate::layout::new_index;

/// A manifest that is taken, written and parsed again, is the same.
///
/// # Errors
/// What is broken.
pub fn manifest(bytes: &[u8]) -> Result<bool, String> {
    let Ok(manifest) = Manifest::parse(bytes, None, "input", "manifest") else { return Ok(false) };
    let written =
        manifest.to_bytes("input").map_err(|error| format!("{manifest:?} is not written: {error}"))?;
    let again = Manifest::parse(&written, None, "written", "manifest").map_err(refused)?;
    same(&manifest, &again)
}

/// The images of an index that is taken are the same in an index made of them, and in the index as it is written when an image
/// is added.
///
/// # Errors
/// What is broken.
pub fn index(bytes: &[u8]) -> Result<bool, String> {
    let Ok(index) = Index::parse(bytes, None, "input", "index") else { return Ok(false) };
    let made = new_index(&index.manifests).map_err(|error| format!("{index:?} is not written: {error}"))?;
    same(&index.manifests, &Index::parse(&made, None, "made", "index").map_err(refused)?.manifests)?;
    // Where what is not looked at cannot be kept, a number of a thousand digits say, adding an image is refused.
    let Ok(kept) = parse::<Value>(bytes, "input", "index") else { return Ok(true) };
    let kept = serde_json::to_vec(&kept).map_err(|error| error.to_string())?;
    same(&index, &Index::parse(&kept, None, "kept", "index").map_err(refused)?)
}

/// A config that is taken says the same when it is written again; what a commit makes of it has one diff id and one record more,
/// and is otherwise the same.
///
/// # Errors
/// What is broken.
pub fn config(bytes: &[u8]) -> Result<bool, String> {
    let Ok(config) = Config::parse(bytes, "input", "config") else { return Ok(false) };
    // Where what is not looked at cannot be kept, a number of a thousand digits say, a commit is refused.
    let Ok(kept) = parse::<Map<String, Value>>(bytes, "input", "config") else { return Ok(true) };
    let kept = serde_json::to_vec(&kept).map_err(|error| error.to_string())?;
    same(&config, &Config::parse(&kept, "kept", "config").map_err(refused)?)?;
    let diff_id = Digest::of(b"added");
    let committed =
        config_bytes(Some(&record(bytes)), diff_id, "2026-01-01T00:00:00Z", &CommitOptions::default());
    let committed = committed.map_err(|error| format!("{config:?} is not committed: {error}"))?;
    let committed = Config::parse(&committed, "committed", "config").map_err(refused)?;
    same(&[config.diff_ids(), &[diff_id]].concat(), &committed.diff_ids().to_vec())?;
    let (last, before) = committed.history.split_last().ok_or("the commit is not in the history")?;
    same(&config.history, &before.to_vec())?;
    same(&last.created.as_deref(), &Some("2026-01-01T00:00:00Z"))?;
    same(&config.execution, &committed.execution)?;
    same(&(config.platform(), config.author), &(committed.platform(), committed.author))
}

fn record(config: &[u8]) -> ImageRecord {
    ImageRecord {
        id: Digest::of(config),
        names: Vec::new(),
        manifest: Vec::new(),
        manifest_media_type: String::new(),
        manifest_digest: Digest::of(b""),
        config: config.to_vec(),
        layers: Vec::new(),
        created: std::time::UNIX_EPOCH,
        size_bytes: 0,
    }
}

fn refused(error: crate::ImageError) -> String {
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("what was written is refused: {error}: {cause}")
}

fn same<T: std::fmt::Debug>(first: &T, again: &T) -> Result<bool, String> {
    let (first, again) = (format!("{first:?}"), format!("{again:?}"));
    if first == again { Ok(true) } else { Err(format!("{first} became {again}")) }
}
