//! `plywood inspect`.

use clap::Args;
use plywood::{ContainerRecord, LayerId, LayerRecord, MountRecord};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::program::{Named, Program};
use crate::show;

/// Shows everything about images, containers or layers, as one JSON array.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names or ids: of a container, else an image, else a layer
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Inspect {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let mut found = Vec::new();
        let done = program.each(&self.names, |program, name| {
            found.push(one(program, name)?);
            Ok(())
        });
        // What was found is shown, though something else was not.
        program.output.json(&Value::Array(found))?;
        done
    }
}

fn one(program: &Program<'_>, name: &str) -> anyhow::Result<Value> {
    Ok(match program.named(name)? {
        Named::Container => container(program, &program.plywood.container(name)?)?,
        Named::Image => plywood::image::inspect_json(&program.plywood.image(name)?)?,
        Named::Layer => layer(program, &program.plywood.layer(name)?)?,
    })
}

fn container(program: &Program<'_>, container: &ContainerRecord) -> anyhow::Result<Value> {
    Ok(json!({
        "Id": container.id,
        "Name": container.name,
        "Created": show::time(container.created),
        "Image": container.image.map(|image| image.to_string()),
        "Driver": program.plywood.driver().name(),
        "Layer": container.layer.as_str(),
        "Parents": parents(program, &container.layer)?,
        "Mounts": mounts(program, &container.layer)?,
    }))
}

fn layer(program: &Program<'_>, layer: &LayerRecord) -> anyhow::Result<Value> {
    let mut value = record_json(layer);
    value["Driver"] = json!(program.plywood.driver().name());
    value["Parents"] = json!(parents(program, &layer.id)?);
    value["Mounts"] = mounts(program, &layer.id)?;
    Ok(value)
}

/// A layer's record, as `plywood layer list --json` has it too.
pub(crate) fn record_json(layer: &LayerRecord) -> Value {
    json!({
        "Id": layer.id.as_str(),
        "Parent": layer.parent.as_ref().map(LayerId::as_str),
        "DiffId": layer.diff_id.map(|digest| digest.to_string()),
        "ChainId": layer.chain_id.map(|digest| digest.to_string()),
        "Size": layer.size_bytes,
        "Inodes": layer.inodes,
        "Packed": layer.packed.map(|blob| json!({"Digest": blob.digest.to_string(), "Size": blob.size_bytes})),
        "State": format!("{:?}", layer.state).to_lowercase(),
        "Pinned": layer.pinned,
        "Created": show::time(layer.created),
    })
}

fn parents(program: &Program<'_>, layer: &LayerId) -> anyhow::Result<Vec<String>> {
    Ok(program.plywood.chain(layer)?.iter().map(ToString::to_string).collect())
}

fn mounts(program: &Program<'_>, layer: &LayerId) -> anyhow::Result<Value> {
    let own = |mount: &MountRecord| mount.layer == *layer;
    Ok(program.plywood.mounts()?.iter().filter(|mount| own(mount)).map(super::mounts::as_json).collect())
}
