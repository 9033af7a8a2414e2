//! Descriptors: what a document says of another document or of a layer.

use std::collections::BTreeMap;

use plywood_archive::digest::Digest;
use serde::{Deserialize, Serialize};

use super::null_is_default;
use crate::Platform;

/// The annotation that names an image in a layout.
pub(crate) const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation in which containerd and docker keep an image's full name.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A document or layer by digest, size and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    #[serde(rename = "mediaType")]
    pub media_type: String,
    #[serde(with = "digest_text")]
    pub digest: Digest,
    #[serde(rename = "size")]
    pub size_bytes: u64,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformRecord>,
}

/// A platform as descriptors have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlatformRecord {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

impl Descriptor {
    /// Describes a document or layer, without annotations and platform.
    pub(crate) fn new(media_type: impl Into<String>, digest: Digest, size_bytes: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size_bytes,
            annotations: BTreeMap::new(),
            platform: None,
        }
    }

    /// The platform, where the descriptor has one that says anything.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let record = self.platform.as_ref()?;
        let said = !record.os.is_empty() && !record.architecture.is_empty();
        said.then(|| Platform::new(&record.os, &record.architecture, record.variant.as_deref()))
    }

    /// The same with a platform.
    pub(crate) fn for_platform(mut self, platform: &Platform) -> Self {
        let Platform { os, architecture, variant } = platform.clone();
        self.platform = Some(PlatformRecord { architecture, os, variant });
        self
    }

    /// The name that an index gives the image.
    pub(crate) fn reference_name(&self) -> Option<&str> {
        self.annotations.get(REFERENCE_NAME).map(String::as_str)
    }

    /// The full name that containerd and docker give the image.
    pub(crate) fn containerd_name(&self) -> Option<&str> {
        self.annotations.get(CONTAINERD_NAME).map(String::as_str)
    }
}

/// Digests as text in JSON, strictly parsed.
pub(crate) mod digest_text {
    use plywood_archive::digest::Digest;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `sha256:...`.
    pub(crate) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    /// Reads what [`Digest`] parses, and nothing else.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }

    /// A list of digests.
    pub(crate) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Digest>, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
        texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
    }
}
