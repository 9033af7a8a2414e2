//! `plywood rm`.

use clap::Args;

use crate::exit::Exit;
use crate::program::Program;

/// Removes containers and what was written in them. Prints what was removed.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
    /// Unmount them first
    #[arg(long, short)]
    force: bool,
}

impl Rm {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        program.each(&self.containers, |program, container| {
            program.plywood.remove_container(container, self.force)?;
            program.output.line(container)?;
            Ok(())
        })
    }
}
