//! `plywood tag`.

use clap::Args;
use plywood::Reference;

use crate::exit::Exit;
use crate::program::Program;

/// Gives an image further names. A name that another image had moves here.
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// The image's name or id
    image: String,
    /// The new names
    #[arg(required = true, value_name = "REF")]
    names: Vec<Reference>,
}

impl Tag {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        // By its id, as the name may be the one that moves.
        let image = program.plywood.image(&self.image)?.id.to_string();
        for name in &self.names {
            program.plywood.tag(&image, name)?;
        }
        Ok(Exit::Done)
    }
}
