//! `plywood commit`.

use clap::Args;
use plywood::image::Change;
use plywood::{CommitOptions, Reference};

use crate::exit::Exit;
use crate::interrupt;
use crate::program::Program;
use crate::progress::Shown;

/// Makes an image of what a container has on top of its own image. Prints the image's id; the container goes on.
#[derive(Debug, Args)]
pub(crate) struct Commit {
    /// The container's name or id
    container: String,
    /// The image's name
    name: Option<Reference>,
    /// A remark in the image's history
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Who made the image
    #[arg(long, short, value_name = "NAME")]
    author: Option<String>,
    /// A change to what is run: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR and its
    /// arguments
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<Change>,
}

impl Commit {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        interrupt::catch();
        program.warn_of_owners();
        let progress = Shown::unpacking(program.messages);
        let options = CommitOptions { author: self.author, message: self.message, changes: self.change };
        let image = plywood::commit(&program.plywood, &self.container, self.name, &options, &progress)?;
        program.warn_of_skipped(&progress.end());
        program.output.line(image)?;
        Ok(Exit::Done)
    }
}
