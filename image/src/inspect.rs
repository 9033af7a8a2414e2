//! An image described as `podman image inspect` does.

use plywood_graph::{ImageRecord, LayerRecord};
use serde_json::{Map, Value, json};

use crate::ImageError;
use crate::document::{Config, parse};

/// Describes an image with the fields that people know from `podman image inspect`; `Config` and `History` are as the
/// image's config has them, and `Layers` tells how each layer is kept, bottom-up. Sizes are bytes, unpacked.
///
/// # Errors
/// As [`Config::of`].
pub fn inspect_json(image: &ImageRecord) -> Result<Value, ImageError> {
    let config = Config::of(image)?;
    let raw: Map<String, Value> = parse(&image.config, "store", &format!("config {}", image.id))?;
    // Whoever registered the image may have given a manifest that is no JSON.
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap_or_default();
    let field = |key: &str| raw.get(key).cloned().unwrap_or_default();
    let tags: Vec<String> = image.names.iter().map(ToString::to_string).collect();
    let mut repositories: Vec<String> =
        image.names.iter().map(|name| format!("{}@{}", name.name(), image.manifest_digest)).collect();
    repositories.dedup();
    let diff_ids: Vec<String> = config.diff_ids().iter().map(ToString::to_string).collect();
    let comment = config.history.last().map_or("", |last| last.comment.as_str());
    Ok(json!({
        "Id": image.id.hex(),
        "Digest": image.manifest_digest.to_string(),
        "RepoTags": tags,
        "RepoDigests": repositories,
        "Comment": comment,
        "Created": config.created,
        "Author": config.author,
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size_bytes,
        "Config": field("config"),
        "Labels": config.execution.labels,
        "User": config.execution.user,
        "Annotations": manifest.get("annotations").cloned().unwrap_or_else(|| json!({})),
        "ManifestType": image.manifest_media_type,
        "RootFS": { "Type": "layers", "Layers": diff_ids },
        "Layers": image.layers.iter().map(layer_json).collect::<Vec<Value>>(),
        "History": field("history"),
    }))
}

fn layer_json(layer: &LayerRecord) -> Value {
    json!({
        "Id": layer.id.as_str(),
        "DiffId": layer.diff_id.map(|digest| digest.to_string()),
        "ChainId": layer.chain_id.map(|digest| digest.to_string()),
        "Size": layer.size_bytes,
        "Inodes": layer.inodes,
        "PackedDigest": layer.packed.map(|packed| packed.digest.to_string()),
        "PackedSize": layer.packed.map(|packed| packed.size_bytes),
    })
}
