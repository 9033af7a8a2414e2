//! `plywood export`.

use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::Args;
use plywood::Access;
use plywood_tree::export::export;

use crate::commands::sink;
use crate::exit::Exit;
use crate::program::Program;

/// Writes the whole tree of a container, an image or a layer as an uncompressed tar.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A name or id
    container: String,
    /// The file [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        if self.output.is_none() {
            sink::refuse_terminal(program)?;
        }
        let named = program.named(&self.container)?;
        let view = program.plywood.view(named.target(&self.container), Access::ReadOnly)?;
        sink::write_to(program, self.output.as_deref(), |_, out| {
            export(view.as_fd(), out)?;
            Ok(())
        })?;
        view.close()?;
        Ok(Exit::Done)
    }
}
