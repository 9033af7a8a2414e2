//! `plywood rmi`.

use clap::Args;

use crate::exit::Exit;
use crate::program::Program;

/// Removes names from images; an image goes with its last name, or by its id.
#[derive(Debug, Args)]
pub(crate) struct Rmi {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Remove the image's containers and mounts too
    #[arg(long, short)]
    force: bool,
}

impl Rmi {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        program.each(&self.images, |program, image| {
            let removed = program.plywood.remove_image(image, self.force)?;
            for name in &removed.untagged {
                program.output.line(format_args!("Untagged: {name}"))?;
            }
            if let Some(image) = removed.image {
                program.output.line(format_args!("Deleted: {image}"))?;
            }
            Ok(())
        })
    }
}
