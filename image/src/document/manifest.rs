//! Indexes and manifests, those of OCI and of docker's schema 2 alike.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Descriptor, null_is_default, parse};
use crate::ImageError;
use crate::media_type::DocumentKind;

/// The only schema version that is taken.
const SCHEMA_VERSION: u64 = 2;

/// A list of manifests and further indexes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    schema_version: u64,
    media_type: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

/// The layers and the config of one image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    schema_version: u64,
    pub media_type: Option<String>,
    pub config: Descriptor,
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing)]
    manifests: Option<IgnoredAny>,
}

/// The part by which a document's kind is known before the rest is parsed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    schema_version: u64,
}

impl Index {
    /// Parses an index that a descriptor of the type `announced` stands for; `index.json` itself has none.
    pub(crate) fn parse(
        bytes: &[u8],
        announced: Option<&str>,
        location: &str,
        member: &str,
    ) -> Result<Self, ImageError> {
        check_version(bytes, location, member)?;
        let index: Self = parse(bytes, location, member)?;
        debug_assert_eq!(index.schema_version, SCHEMA_VERSION);
        // A document that reads as one thing here and as another elsewhere is CVE-2021-41190.
        if index.config.is_some() || index.layers.is_some() {
            return Err(ImageError::malformed(
                location,
                member,
                "it is an index and has what only manifests have",
            ));
        }
        check_type(index.media_type.as_deref(), announced, DocumentKind::Index, location, member)?;
        Ok(index)
    }
}

impl Manifest {
    /// Parses a manifest that a descriptor of the type `announced` stands for.
    pub(crate) fn parse(
        bytes: &[u8],
        announced: Option<&str>,
        location: &str,
        member: &str,
    ) -> Result<Self, ImageError> {
        check_version(bytes, location, member)?;
        let manifest: Self = parse(bytes, location, member)?;
        if manifest.manifests.is_some() {
            return Err(ImageError::malformed(
                location,
                member,
                "it is a manifest and has what only indexes have",
            ));
        }
        check_type(manifest.media_type.as_deref(), announced, DocumentKind::Manifest, location, member)?;
        Ok(manifest)
    }

    /// Makes a manifest.
    pub(crate) fn new(media_type: &str, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            media_type: Some(media_type.to_owned()),
            config,
            layers,
            annotations: BTreeMap::new(),
            manifests: None,
        }
    }

    /// The manifest as JSON: always the same bytes for the same manifest.
    pub(crate) fn to_bytes(&self, location: &str) -> Result<Vec<u8>, ImageError> {
        serde_json::to_vec(self).map_err(|source| ImageError::Document {
            location: location.to_owned(),
            member: "manifest".to_owned(),
            source,
        })
    }
}

fn check_version(bytes: &[u8], location: &str, member: &str) -> Result<(), ImageError> {
    let Version { schema_version } = parse(bytes, location, member)?;
    if schema_version == SCHEMA_VERSION {
        return Ok(());
    }
    let reason = format!("it has the schema version {schema_version}; only {SCHEMA_VERSION} is taken");
    Err(ImageError::malformed(location, member, reason))
}

/// A type that the document gives itself must be one of its kind, and the one that was announced.
fn check_type(
    own: Option<&str>,
    announced: Option<&str>,
    kind: DocumentKind,
    location: &str,
    member: &str,
) -> Result<(), ImageError> {
    let Some(own) = own.filter(|own| !own.is_empty()) else { return Ok(()) };
    let own_kind = DocumentKind::of(own).map_err(|reason| ImageError::MediaType {
        location: location.to_owned(),
        member: member.to_owned(),
        media_type: own.to_owned(),
        reason,
    })?;
    if own_kind != kind {
        return Err(ImageError::malformed(location, member, format!("it says that it is a '{own}'")));
    }
    match announced.filter(|announced| *announced != own) {
        Some(announced) => {
            let reason = format!("it says that it is a '{own}', and was announced as '{announced}'");
            Err(ImageError::malformed(location, member, reason))
        }
        None => Ok(()),
    }
}
