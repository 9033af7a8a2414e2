//! What an image's plan has to fulfil, and the short way for an image that is there.

use plywood_archive::digest::Digest;
use serde::Deserialize;

use crate::database::images;
use crate::{Event, GraphError, ImagePlan, Imported, LayerState, Progress, Store};

/// The part of a config that says which layers belong to it.
#[derive(Deserialize)]
struct Config {
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// Compares the config's diff ids with those of the layers. A config of another kind of artifact has none.
pub(super) fn validate(plan: &ImagePlan) -> Result<(), GraphError> {
    let diff_ids = plan.layers.iter().map(|layer| layer.diff_id);
    config_matches(&plan.config, diff_ids, "import image")
}

/// See [`validate`].
pub(crate) fn config_matches(
    config: &[u8],
    diff_ids: impl Iterator<Item = Digest>,
    operation: &'static str,
) -> Result<(), GraphError> {
    let invalid = |reason: String| GraphError::Invalid { operation, reason };
    let parsed: Config = serde_json::from_slice(config)
        .map_err(|error| invalid(format!("the config is not valid: {error}")))?;
    let Some(rootfs) = parsed.rootfs else { return Ok(()) };
    let given: Vec<String> = diff_ids.map(|diff_id| diff_id.to_string()).collect();
    if given.len() != rootfs.diff_ids.len() {
        let (in_config, there) = (rootfs.diff_ids.len(), given.len());
        return Err(invalid(format!("the config names {in_config} layers, and {there} are there")));
    }
    match rootfs.diff_ids.iter().zip(&given).position(|(in_config, given)| in_config != given) {
        Some(index) => Err(invalid(format!(
            "layer {index} has the diff id {}, and the config names {}",
            given[index],
            rootfs.diff_ids[index].escape_debug()
        ))),
        None => Ok(()),
    }
}

/// The diff ids that an image's config names, bottom-up.
pub(crate) fn diff_ids_of(config: &[u8]) -> Result<Vec<Digest>, String> {
    let parsed: Config =
        serde_json::from_slice(config).map_err(|error| format!("its config is not valid: {error}"))?;
    let texts = parsed.rootfs.map(|rootfs| rootfs.diff_ids).unwrap_or_default();
    let parse =
        |text: &String| text.parse::<Digest>().map_err(|error| format!("its config is not valid: {error}"));
    texts.iter().map(parse).collect()
}

impl Store {
    /// The short way: the image is there, complete and with the same manifest, and only gets the names.
    pub(super) fn import_present(
        &self,
        plan: &ImagePlan,
        progress: &dyn Progress,
    ) -> Result<Option<Imported>, GraphError> {
        let image = Digest::of(&plan.config);
        let complete = |record: &crate::ImageRecord| {
            record.manifest == plan.manifest
                && record.layers.len() == plan.layers.len()
                && record.layers.iter().all(|layer| layer.state == LayerState::Committed)
        };
        let database = &self.inner.database;
        if !database.read(|tx| images::by_id(tx, &image))?.as_ref().is_some_and(complete) {
            return Ok(None);
        }
        let present = database.write(|tx| {
            let present = images::by_id(tx, &image)?.as_ref().is_some_and(complete);
            if present {
                plan.names.iter().try_for_each(|name| images::tag(tx, &image, name))?;
            }
            Ok(present)
        })?;
        if !present {
            return Ok(None);
        }
        for (index, layer) in plan.layers.iter().enumerate() {
            progress.report(Event::LayerReused { index, diff_id: Some(&layer.diff_id) });
        }
        let layers_reused = plan.layers.len();
        Ok(Some(Imported {
            image,
            layers_unpacked: 0,
            layers_reused,
            skipped: plywood_graphdriver::Skipped::default(),
        }))
    }
}
