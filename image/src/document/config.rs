//! Image configs: platform, what to run, diff ids, history.

use std::collections::BTreeMap;
use std::time::SystemTime;

use plywood_archive::digest::Digest;
use plywood_graph::ImageRecord;
use serde::Deserialize;
use serde_json::Value;

use super::{digest_text, null_is_default, parse};
use crate::{ImageError, Platform, timestamp};

/// What an image's config says. Fields that it has not are empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Config {
    /// When the image was made, as the config has it: RFC 3339.
    #[serde(default)]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub author: String,
    /// The processor it is for.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The operating system it is for.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// The processor's variant.
    #[serde(default)]
    pub variant: Option<String>,
    /// What is run, and how.
    #[serde(default, rename = "config", deserialize_with = "null_is_default")]
    pub execution: Execution,
    /// How the image came about, oldest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub history: Vec<HistoryRecord>,
    rootfs: RootFs,
}

/// What is run in a container of the image, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Execution {
    /// User and group: `name`, `1000:1000`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: String,
    /// Ports, such as `80/tcp`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// Variables, each `NAME=VALUE`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(default, deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// Folders that are volumes.
    #[serde(default, deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, Value>,
    /// The folder in which it is run.
    #[serde(default, deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal that ends it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub stop_signal: String,
}

/// One step of an image's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct HistoryRecord {
    /// When, as the config has it: RFC 3339.
    #[serde(default)]
    pub created: Option<String>,
    /// By what command.
    #[serde(default, deserialize_with = "null_is_default")]
    pub created_by: String,
    /// By whom.
    #[serde(default, deserialize_with = "null_is_default")]
    pub author: String,
    /// A remark.
    #[serde(default, deserialize_with = "null_is_default")]
    pub comment: String,
    /// The step made no layer.
    #[serde(default, deserialize_with = "null_is_default")]
    pub empty_layer: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "digest_text::list")]
    diff_ids: Vec<Digest>,
}

impl Config {
    /// Parses the config of an image in the store.
    ///
    /// # Errors
    /// [`ImageError::Document`], [`ImageError::Malformed`]: the config is none of an image.
    pub fn of(image: &ImageRecord) -> Result<Self, ImageError> {
        Self::parse(&image.config, "store", &format!("config {}", image.id))
    }

    /// Parses the config `member` of `location`.
    pub(crate) fn parse(bytes: &[u8], location: &str, member: &str) -> Result<Self, ImageError> {
        let config: Self = parse(bytes, location, member)?;
        if config.rootfs.kind != "layers" {
            let reason =
                format!("its root file system is of the type '{}', not 'layers'", config.rootfs.kind);
            return Err(ImageError::malformed(location, member, reason));
        }
        Ok(config)
    }

    /// The digests of the layers' plain tars, bottom-up.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }

    /// The platform, where the config says it.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let said = !self.os.is_empty() && !self.architecture.is_empty();
        said.then(|| Platform::new(&self.os, &self.architecture, self.variant.as_deref()))
    }

    /// When the image was made, where the config says it in a way that can be understood.
    #[must_use]
    pub fn created_time(&self) -> Option<SystemTime> {
        timestamp::parse(self.created.as_deref()?)
    }
}
