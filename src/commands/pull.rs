//! `plywood pull`.

use clap::Args;
use plywood::{Location, Platform, PullOptions, Reference};

use crate::exit::Exit;
use crate::interrupt;
use crate::program::Program;
use crate::progress::Shown;

/// Brings an image into the store. Prints its id.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// oci:DIR[:REF], oci-archive:FILE[:REF] or docker-archive:FILE[:REF]
    source: Location,
    /// The image's name in the store [default: the one that it has at the source]
    #[arg(long, short = 't', value_name = "REF")]
    name: Option<Reference>,
    /// The platform, as OS/ARCHITECTURE[/VARIANT] [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

impl Pull {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        interrupt::catch();
        program.warn_of_owners();
        let progress = Shown::unpacking(program.messages);
        let options = PullOptions { name: self.name, platform: self.platform.unwrap_or_else(Platform::host) };
        let imported = plywood::pull(&program.plywood, &self.source, &options, &progress)?;
        program.warn_of_skipped(&progress.end());
        program.output.line(imported.image)?;
        Ok(Exit::Done)
    }
}
