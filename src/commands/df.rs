//! `plywood df`.

use clap::Args;
use plywood::graph::{ContainerUsage, DiskUsage, ImageUsage, LayerUsage};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::list::Table;
use crate::program::Program;
use crate::show;

/// Shows what the store takes, and what could be freed.
#[derive(Debug, Args)]
pub(crate) struct Df {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Show every image, container and layer
    #[arg(long, short)]
    verbose: bool,
}

impl Df {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let usage = program.plywood.disk_usage()?;
        if self.json {
            program.output.json(&as_json(&usage))?;
        } else if self.verbose {
            verbose(program, &usage)?;
        } else {
            summary(program, &usage)?;
        }
        Ok(Exit::Done)
    }
}

/// What images without containers alone have.
fn unused_bytes(usage: &DiskUsage) -> u64 {
    usage.images.iter().filter(|image| image.containers == 0).map(|image| image.unique_bytes).sum()
}

/// What the layers that images have take, each once.
fn image_bytes(usage: &DiskUsage) -> u64 {
    usage.layers.iter().filter(|layer| layer.images > 0).map(|layer| layer.size_bytes).sum()
}

fn summary(program: &mut Program<'_>, usage: &DiskUsage) -> anyhow::Result<()> {
    let used = usage.images.iter().filter(|image| image.containers > 0).count();
    let containers: u64 = usage.containers.iter().map(|container| container.size_bytes).sum();
    let layers: u64 = usage.layers.iter().map(|layer| layer.size_bytes).sum();
    let kept = usage.layers.iter().filter(|layer| !layer.reclaimable).count();
    let rows = [
        ("Images", usage.images.len(), used, image_bytes(usage), unused_bytes(usage)),
        ("Containers", usage.containers.len(), usage.containers.len(), containers, 0),
        ("Layers", usage.layers.len(), kept, layers, usage.reclaimable_bytes),
    ];
    let mut table = Table::new(&["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    for (kind, total, active, size, reclaimable) in rows {
        let percent = reclaimable.saturating_mul(100).checked_div(size).unwrap_or(0);
        table.row(&[
            kind.to_owned(),
            total.to_string(),
            active.to_string(),
            show::size(size),
            format!("{} ({percent}%)", show::size(reclaimable)),
        ]);
    }
    Ok(table.write(program.output)?)
}

fn verbose(program: &mut Program<'_>, usage: &DiskUsage) -> anyhow::Result<()> {
    let mut images = Table::new(&["IMAGE ID", "NAME", "SIZE", "SHARED", "UNIQUE", "CONTAINERS"]);
    for image in &usage.images {
        let mut cells = vec![show::short(&image.id), show::image_name(&image.names, &image.id)];
        cells.extend([image.size_bytes, image.shared_bytes, image.unique_bytes].map(show::size));
        cells.push(image.containers.to_string());
        images.row(&cells);
    }
    images.write(program.output)?;
    program.output.line("")?;
    let mut containers = Table::new(&["CONTAINER ID", "NAME", "IMAGE ID", "SIZE", "INODES"]);
    for container in &usage.containers {
        containers.row(&[
            show::short_id(&container.id).to_owned(),
            container.name.clone(),
            container.image.as_ref().map(show::short).unwrap_or_default(),
            show::size(container.size_bytes),
            container.inodes.to_string(),
        ]);
    }
    containers.write(program.output)?;
    program.output.line("")?;
    let mut layers = Table::new(&["LAYER ID", "SIZE", "IMAGES", "RECLAIMABLE"]);
    for layer in &usage.layers {
        let reclaimable = if layer.reclaimable { "yes" } else { "no" };
        layers.row(&[
            layer.id.to_string(),
            show::size(layer.size_bytes),
            layer.images.to_string(),
            reclaimable.to_owned(),
        ]);
    }
    Ok(layers.write(program.output)?)
}

fn as_json(usage: &DiskUsage) -> Value {
    json!({
        "Images": usage.images.iter().map(image_json).collect::<Vec<_>>(),
        "Containers": usage.containers.iter().map(container_json).collect::<Vec<_>>(),
        "Layers": usage.layers.iter().map(layer_json).collect::<Vec<_>>(),
        "ReclaimableBytes": usage.reclaimable_bytes,
    })
}

fn image_json(image: &ImageUsage) -> Value {
    json!({
        "Id": image.id.hex(),
        "Names": image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "Size": image.size_bytes,
        "SharedSize": image.shared_bytes,
        "UniqueSize": image.unique_bytes,
        "Containers": image.containers,
    })
}

fn container_json(container: &ContainerUsage) -> Value {
    json!({
        "Id": container.id,
        "Name": container.name,
        "ImageID": container.image.map(|image| image.hex()),
        "Size": container.size_bytes,
        "Inodes": container.inodes,
    })
}

fn layer_json(layer: &LayerUsage) -> Value {
    json!({
        "Id": layer.id.as_str(),
        "Size": layer.size_bytes,
        "Images": layer.images,
        "Reclaimable": layer.reclaimable,
    })
}
