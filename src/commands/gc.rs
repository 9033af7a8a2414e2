//! `plywood gc`.

use clap::Args;

use crate::exit::Exit;
use crate::program::Program;
use crate::show;

/// Frees what no image, container, mount or process needs, and what was left half done. Prints the layers.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Only show what would be freed
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let reclaimed = program.plywood.gc(self.dry_run)?;
        for layer in &reclaimed.layers {
            program.output.line(layer)?;
        }
        program.messages.note(format_args!(
            "{} {}: {} layers, {} recipes, {} temporary files",
            if self.dry_run { "would free" } else { "freed" },
            show::size(reclaimed.bytes),
            reclaimed.layers.len(),
            reclaimed.recipes,
            reclaimed.temporary,
        ));
        Ok(Exit::Done)
    }
}
