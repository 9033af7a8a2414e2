//! What `docker save` writes and `docker load` reads.

mod read;
mod write;

use serde::{Deserialize, Serialize};

use crate::document::null_is_default;

pub(crate) use read::DockerArchive;
pub(crate) use write::write_docker_archive;

/// The file that lists the images.
pub(crate) const MANIFEST: &str = "manifest.json";

/// One image as `manifest.json` lists it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Item {
    /// The member that is its config.
    config: String,
    /// Its names.
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    /// The members that are its layers, bottom-up.
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<String>,
}
