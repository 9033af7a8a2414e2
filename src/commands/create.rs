//! `plywood create`.

use clap::Args;

use crate::exit::Exit;
use crate::program::Program;

/// The image that is none.
const SCRATCH: &str = "scratch";

/// Makes a container: a writable layer on an image, or on nothing. Prints its id.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The image's name or id, or scratch for an empty tree
    image: String,
    /// The container's name [default: one is made up]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Create {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let image = Some(self.image.as_str()).filter(|image| *image != SCRATCH);
        let container = program.plywood.create_container(image, self.name.as_deref())?;
        program.output.line(container.id)?;
        Ok(Exit::Done)
    }
}
