//! Layouts made on the spot, good ones and bad ones.

use std::path::PathBuf;

use plywood_archive::compression::Compression;
use plywood_archive::digest::Digest;
use serde_json::{Value, json};

use super::pack;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A layout's folder, to be filled.
pub struct Layout {
    pub folder: PathBuf,
    pub images: Vec<Value>,
}

/// An image as documents, each of which can be spoilt before it is written.
pub struct Image {
    pub config: Value,
    pub manifest: Value,
}

impl Layout {
    pub fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        Self { folder, images: Vec::new() }
    }

    /// Writes a blob, and describes it.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        std::fs::write(self.blob_path(&digest.to_string()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    }

    pub fn document(&self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, &serde_json::to_vec(document).unwrap())
    }

    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }

    /// Writes the layers of an image, and makes its documents.
    pub fn image(&self, tars: &[Vec<u8>], compression: Compression, architecture: &str) -> Image {
        let media_type = format!("application/vnd.oci.image.layer.v1.tar{}", compression.media_type_suffix());
        let layers: Vec<Value> =
            tars.iter().map(|tar| self.blob(&media_type, &pack(tar, compression))).collect();
        let diff_ids: Vec<String> = tars.iter().map(|tar| Digest::of(tar).to_string()).collect();
        let history: Vec<Value> = (0..tars.len())
            .map(|index| json!({ "created": "2024-01-01T00:00:00Z", "created_by": format!("step {index}") }))
            .collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "created": "2024-01-01T00:00:00Z",
            "config": { "Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "Healthcheck": { "Test": ["NONE"] } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        });
        Image { config, manifest: json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers }) }
    }

    /// Writes an image's config and manifest, and describes the manifest.
    pub fn write(&self, image: &Image) -> Value {
        let mut manifest = image.manifest.clone();
        if manifest.get("config").is_none() {
            manifest["config"] = self.document(CONFIG, &image.config);
        }
        self.document(MANIFEST, &manifest)
    }

    /// Lists a manifest or index under a name.
    pub fn list(&mut self, mut descriptor: Value, reference: Option<&str>) {
        if let Some(reference) = reference {
            descriptor["annotations"]["org.opencontainers.image.ref.name"] = json!(reference);
        }
        self.images.push(descriptor);
    }

    /// Writes marker and index.
    pub fn finish(&self) {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.images });
        std::fs::write(self.folder.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
        std::fs::write(self.folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    /// A whole layout with one image.
    pub fn with_image(
        folder: PathBuf,
        reference: Option<&str>,
        tars: &[Vec<u8>],
        packed: Compression,
    ) -> Self {
        let mut layout = Self::new(folder);
        let image = layout.image(tars, packed, "amd64");
        layout.list(layout.write(&image), reference);
        layout.finish();
        layout
    }
}
