//! An image of a container.

use plywood_archive::digest::{Digest, Measured};
use plywood_graph::{ImageRecord, LayerRecord, Progress, Reference, StagedLayer, Store};
use serde_json::{Map, Value, json};

use crate::change::{Change, apply, edit_object};
use crate::document::{Config, Descriptor, Manifest, parse};
use crate::media_type::{LayerKind, OCI_CONFIG, OCI_MANIFEST, oci_layer};
use crate::packing::diff_id;
use crate::{ImageError, Platform, timestamp};

/// What a commit adds to the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// Who made the image; without one, it is who made its parent.
    pub author: Option<String>,
    /// A remark in the history.
    pub message: Option<String>,
    /// Changes to what is run, in their order.
    pub changes: Vec<Change>,
}

/// Makes an image of what a container has on top of its image, and answers the image's id. The container goes on.
///
/// The config is the parent's with the new diff id, an entry in the history, the time of the store's clock and the
/// changes asked for; fields that nobody here knows stay. The manifest is an OCI one that has the new layer plain.
///
/// # Errors
/// [`ImageError`]: there is no such container, its layer cannot be read, or the parent's config is damaged.
pub fn commit(
    store: &Store,
    container: &str,
    name: Option<Reference>,
    options: &CommitOptions,
    progress: &dyn Progress,
) -> Result<Digest, ImageError> {
    let created = timestamp::show(store.now());
    let layer = store.stage_container(container, progress)?;
    let config = config_bytes(layer.image(), layer.diff_id(), &created, options)?;
    let manifest = manifest_bytes(store, &layer, &config)?;
    let names: Vec<Reference> = name.into_iter().collect();
    Ok(layer.register_image(&manifest, OCI_MANIFEST, &config, &names)?)
}

/// The config of the new image.
pub(crate) fn config_bytes(
    parent: Option<&ImageRecord>,
    diff_id: Digest,
    created: &str,
    options: &CommitOptions,
) -> Result<Vec<u8>, ImageError> {
    let member = parent.map_or_else(|| "new config".to_owned(), |parent| format!("config {}", parent.id));
    let mut config = match parent {
        Some(parent) => {
            // What is edited below is what this has checked.
            Config::of(parent)?;
            parse::<Map<String, Value>>(&parent.config, "store", &member)?
        }
        None => scratch_config(),
    };
    // These tell of the container that docker made the parent from.
    for stale in ["container", "container_config", "docker_version", "id", "parent", "parent_id"] {
        config.remove(stale);
    }
    config.insert("created".to_owned(), json!(created));
    if let Some(author) = &options.author {
        config.insert("author".to_owned(), json!(author));
    }
    edit_object(&mut config, "rootfs", |rootfs| push(rootfs, "diff_ids", json!(diff_id.to_string())));
    push(&mut config, "history", history_entry(created, options));
    edit_object(&mut config, "config", |execution| apply(&options.changes, execution));
    serde_json::to_vec(&config).map_err(|source| ImageError::Document {
        location: "store".to_owned(),
        member,
        source,
    })
}

fn scratch_config() -> Map<String, Value> {
    let Platform { os, architecture, .. } = Platform::host();
    let mut config = Map::new();
    config.insert("architecture".to_owned(), json!(architecture));
    config.insert("os".to_owned(), json!(os));
    config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": [] }));
    config
}

fn history_entry(created: &str, options: &CommitOptions) -> Value {
    let mut entry = json!({ "created": created, "created_by": "plywood commit" });
    for (key, text) in [("author", &options.author), ("comment", &options.message)] {
        if let Some(text) = text {
            entry[key] = json!(text);
        }
    }
    entry
}

fn push(parent: &mut Map<String, Value>, key: &str, value: Value) {
    match parent.get_mut(key) {
        Some(Value::Array(list)) => list.push(value),
        _ => {
            parent.insert(key.to_owned(), json!([value]));
        }
    }
}

/// The parent's layers as its manifest has them, if in OCI's words, and the new one plain.
fn manifest_bytes(store: &Store, new: &StagedLayer, config: &[u8]) -> Result<Vec<u8>, ImageError> {
    let mut layers = Vec::new();
    if let Some(parent) = new.image() {
        let own =
            Manifest::parse(&parent.manifest, Some(&parent.manifest_media_type), "store", "manifest").ok();
        let own = own.filter(|own| own.layers.len() == parent.layers.len());
        for (index, layer) in parent.layers.iter().enumerate() {
            let known = own.as_ref().and_then(|own| own.layers.get(index));
            layers.push(match known.and_then(|known| Some((known, LayerKind::of(&known.media_type)?))) {
                Some((known, kind)) => {
                    Descriptor::new(oci_layer(kind.compression), known.digest, known.size_bytes)
                }
                None => recorded(store, layer)?,
            });
        }
    }
    layers.push(plain(new.diff_id(), new.tar_size_bytes()));
    let config = Measured::of(config);
    let config = Descriptor::new(OCI_CONFIG, config.digest, config.size_bytes);
    Manifest::new(OCI_MANIFEST, config, layers).to_bytes("store")
}

/// The layer as its plain tar, whose length is on record if it came so; else the tar is made to see.
fn recorded(store: &Store, layer: &LayerRecord) -> Result<Descriptor, ImageError> {
    let diff_id = diff_id(layer)?;
    let size_bytes = match layer.packed.filter(|packed| packed.digest == diff_id) {
        Some(packed) => packed.size_bytes,
        None => store.layer_tar(&layer.id, &mut std::io::sink())?.size_bytes,
    };
    Ok(plain(diff_id, size_bytes))
}

fn plain(diff_id: Digest, size_bytes: u64) -> Descriptor {
    Descriptor::new(oci_layer(plywood_archive::compression::Compression::None), diff_id, size_bytes)
}
