//! `plywood ps`.

use std::collections::HashMap;

use clap::Args;
use plywood::{ContainerRecord, Digest, MountRecord};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::list::Table;
use crate::program::Program;
use crate::show;

/// Lists all containers, newest first. With -q only ids.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// All containers, which is what is shown anyway
    #[arg(long, short)]
    all: bool,
}

impl Ps {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let containers = program.plywood.containers()?;
        if program.messages.is_quiet() && !self.json {
            for container in containers {
                program.output.line(show::short_id(&container.id))?;
            }
            return Ok(Exit::Done);
        }
        let mounts = program.plywood.mounts()?;
        let images = program.plywood.images()?;
        let names: HashMap<Digest, String> =
            images.iter().map(|image| (image.id, show::image_name(&image.names, &image.id))).collect();
        let image_name = |container: &ContainerRecord| container.image.map(|image| named(&names, &image));
        if self.json {
            let rows = containers
                .iter()
                .map(|container| as_json(container, image_name(container).as_deref(), &mounts));
            program.output.json(&rows.collect())?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&["CONTAINER ID", "IMAGE", "CREATED", "MOUNTED AT", "NAME"]);
        let now = program.plywood.now();
        for container in &containers {
            table.row(&[
                show::short_id(&container.id).to_owned(),
                image_name(container).unwrap_or_else(|| "scratch".to_owned()),
                show::age(now, container.created),
                targets(container, &mounts).join(", "),
                container.name.clone(),
            ]);
        }
        table.write(program.output)?;
        Ok(Exit::Done)
    }
}

fn named(names: &HashMap<Digest, String>, image: &Digest) -> String {
    names.get(image).cloned().unwrap_or_else(|| show::short(image))
}

fn targets(container: &ContainerRecord, mounts: &[MountRecord]) -> Vec<String> {
    let own = mounts.iter().filter(|mount| mount.layer == container.layer);
    own.map(|mount| mount.target.display().to_string()).collect()
}

fn as_json(container: &ContainerRecord, image_name: Option<&str>, mounts: &[MountRecord]) -> Value {
    json!({
        "Id": container.id,
        "Name": container.name,
        "Image": image_name,
        "ImageID": container.image.map(|image| image.hex()),
        "Layer": container.layer.as_str(),
        "Created": show::time(container.created),
        "MountedAt": targets(container, mounts),
    })
}
