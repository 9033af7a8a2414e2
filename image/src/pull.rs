//! One image into the store.

use std::sync::Arc;

use plywood_graph::{Imported, Progress, Reference, Store};

use crate::docker_archive::DockerArchive;
use crate::layout::{Candidate, Folder, Layout, choose};
use crate::tarball::Archive;
use crate::{ImageError, Location, Platform};

/// What to take and how to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullOptions {
    /// The name that the image gets; without one, those that it has in the layout or archive, if any.
    pub name: Option<Reference>,
    /// The platform that the image is for, where there is a choice; an image that says it is for another is
    /// refused.
    pub platform: Platform,
}

impl Default for PullOptions {
    /// The names that are there, and this machine's platform.
    fn default() -> Self {
        Self { name: None, platform: Platform::host() }
    }
}

/// Brings one image into the store.
///
/// Manifest, config and layers are verified against their digests and sizes; nothing of an image that fails is
/// kept. A folder is opened once, and no symlink in it is followed.
///
/// # Errors
/// [`ImageError`]: what is there is no image, is damaged, is not there for the platform, or is one of several.
pub fn pull(
    store: &Store,
    from: &Location,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Imported, ImageError> {
    let location = from.to_string();
    let layout = match from {
        Location::Oci { folder, .. } => Layout::open(Arc::new(Folder::open(folder, location)?))?,
        Location::OciArchive { file, .. } => Layout::open(Arc::new(Archive::open(store, file, &location)?))?,
        Location::DockerArchive { file, reference } => {
            let archive = DockerArchive::open(Arc::new(Archive::open(store, file, &location)?))?;
            return pull_docker(store, &archive, reference.as_deref(), options, progress);
        }
    };
    let candidate = choose(&layout, from.reference())?;
    let manifest = layout.manifest_for(&candidate.entries, &options.platform, false)?;
    let names = options.name.clone().or_else(|| candidate.name()).into_iter().collect();
    let image = layout.plan(&manifest, names)?;
    Ok(store.import_image(&image.plan, &image, progress)?)
}

fn pull_docker(
    store: &Store,
    archive: &DockerArchive,
    reference: Option<&str>,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Imported, ImageError> {
    let item = archive.choose(reference)?;
    archive.check_platform(item, &options.platform)?;
    let names = options.name.clone().map_or_else(|| item.names(), |name| vec![name]);
    let image = archive.plan(item, names)?;
    Ok(store.import_image(&image.plan, &image, progress)?)
}

impl Candidate {
    /// The name that the image has in the layout, where it is one.
    pub(crate) fn name(&self) -> Option<Reference> {
        let name = self.containerd_name.as_ref().or(self.reference.as_ref())?;
        match name.parse() {
            Ok(reference) => Some(reference),
            Err(error) => {
                tracing::warn!(%error, "a name in the layout is not kept");
                None
            }
        }
    }
}
