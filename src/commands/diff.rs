//! `plywood diff`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::sink;
use crate::exit::Exit;
use crate::program::Program;

/// Writes what a container or layer changed as an uncompressed tar of the OCI layer format.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// A container's name or id, or a layer's id
    container: String,
    /// The file [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Diff {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let layer = program.own_layer(&self.container)?;
        sink::write_to(program, self.output.as_deref(), |plywood, out| {
            plywood.diff(&layer, out)?;
            Ok(())
        })?;
        Ok(Exit::Done)
    }
}
