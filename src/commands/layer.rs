//! `plywood layer`: single layers, for scripts and tests.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use plywood::{LayerId, LayerState, MountRequest, MountTarget};
use rustix::fs::{Mode, OFlags};

use crate::commands::changes::Changes;
use crate::commands::diff::Diff;
use crate::commands::{inspect, sink};
use crate::exit::Exit;
use crate::interrupt;
use crate::list::Table;
use crate::program::Program;
use crate::progress::Shown;
use crate::show;

/// The commands of `plywood layer`. Layers made here are kept until they are removed here.
#[derive(Debug, Subcommand)]
pub(crate) enum Layer {
    /// List layers, oldest first; with -q only ids
    List(List),
    /// Make a layer, writable or a read-only view, on a parent or on nothing, and print its id
    Create(Create),
    /// Unpack a tar, plain or packed, as a layer, and print its id
    Apply(Apply),
    /// Write what the layer changed as a tar of the OCI layer format
    Diff(Diff),
    /// List what the layer changed: A added, C changed, D deleted
    Changes(Changes),
    /// Mount the layer's tree, and print where
    Mount(Mount),
    /// Write the tar that the layer was made of, byte for byte
    Tar(Tar),
    /// Remove layers that were made here
    Remove(Remove),
}

/// Options of `plywood layer list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Options of `plywood layer create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The layer to stand on
    #[arg(long, value_name = "LAYER")]
    parent: Option<String>,
    /// Make a view that cannot be written to
    #[arg(long)]
    read_only: bool,
}

/// Options of `plywood layer apply`.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The layer to stand on
    #[arg(long, value_name = "LAYER")]
    parent: Option<String>,
    /// The tar, or - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// Options of `plywood layer mount`.
#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// The layer
    layer: String,
    /// A folder that is there; what is in it is covered [default: a folder in the store]
    target: Option<PathBuf>,
    /// Mount a writable layer ro,nosuid,nodev; others are anyway
    #[arg(long)]
    read_only: bool,
}

/// Options of `plywood layer tar`.
#[derive(Debug, Args)]
pub(crate) struct Tar {
    /// The layer
    layer: String,
    /// The file [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Options of `plywood layer remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The layers
    #[arg(required = true, value_name = "LAYER")]
    layers: Vec<String>,
}

impl Layer {
    /// Whether it makes a layer, and a store for it.
    pub(crate) fn makes_layers(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Apply(_))
    }

    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::List(list) => list.run(program),
            Self::Create(create) => create.run(program),
            Self::Apply(apply) => apply.run(program),
            Self::Diff(diff) => diff.run(program),
            Self::Changes(changes) => changes.run(program),
            Self::Mount(mount) => mount.run(program),
            Self::Tar(tar) => tar.run(program),
            Self::Remove(remove) => remove.run(program),
        }
    }
}

impl List {
    fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let layers = program.plywood.layers()?;
        if self.json {
            program.output.json(&layers.iter().map(inspect::record_json).collect())?;
            return Ok(Exit::Done);
        }
        if program.messages.is_quiet() {
            for layer in layers {
                program.output.line(layer.id)?;
            }
            return Ok(Exit::Done);
        }
        let now = program.plywood.now();
        let mut table = Table::new(&["LAYER ID", "PARENT", "DIFF ID", "STATE", "CREATED", "SIZE"]);
        for layer in &layers {
            let state = format!("{:?}", layer.state).to_lowercase();
            table.row(&[
                layer.id.to_string(),
                layer.parent.as_ref().map(LayerId::short).unwrap_or_default().to_owned(),
                layer.diff_id.as_ref().map(show::short).unwrap_or_default(),
                if layer.pinned { format!("{state}, kept") } else { state },
                show::age(now, layer.created),
                show::size(layer.size_bytes),
            ]);
        }
        table.write(program.output)?;
        Ok(Exit::Done)
    }
}

impl Create {
    fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let parent = program.parent(self.parent.as_deref())?.map(|parent| parent.id);
        let layer = program.plywood.create_layer(parent.as_ref(), Program::access(self.read_only))?;
        program.output.line(layer)?;
        Ok(Exit::Done)
    }
}

impl Apply {
    fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let parent = program.parent(self.parent.as_deref())?.map(|parent| parent.id);
        interrupt::catch();
        program.warn_of_owners();
        let progress = Shown::unpacking(program.messages);
        let layer = program.plywood.apply_layer(parent.as_ref(), open(&self.file)?, &progress)?;
        program.warn_of_skipped(&progress.end());
        program.output.line(layer.id)?;
        Ok(Exit::Done)
    }
}

fn open(file: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let opened = rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(io::Error::from)
        .with_context(|| format!("open {}", file.display()))?;
    Ok(Box::new(std::fs::File::from(opened)))
}

impl Mount {
    fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let state = program.plywood.layer(&self.layer)?.state;
        let writable = state == LayerState::Writable && !self.read_only;
        let request = if writable { MountRequest::read_write() } else { MountRequest::inspection() };
        let target = MountTarget::Layer(&self.layer);
        let record = program.plywood.mount(target, &request, self.target.as_deref())?;
        program.output.line(record.target.display())?;
        Ok(Exit::Done)
    }
}

impl Tar {
    fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let layer = program.plywood.layer(&self.layer)?.id;
        sink::write_to(program, self.output.as_deref(), |plywood, out| {
            plywood.layer_tar(&layer, out)?;
            Ok(())
        })?;
        Ok(Exit::Done)
    }
}

impl Remove {
    fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        program.each(&self.layers, |program, query| {
            let layer = program.plywood.layer(query)?;
            program.plywood.remove_layer(&layer.id)?;
            program.output.line(layer.id)?;
            Ok(())
        })
    }
}
