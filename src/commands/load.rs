//! `plywood load`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use plywood::Platform;
use plywood::image::ArchiveInput;

use crate::exit::{Exit, UsageError};
use crate::interrupt;
use crate::program::Program;
use crate::progress::Shown;

/// Brings all images of an archive into the store: a docker-archive or an oci-archive, packed or plain.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The archive [default: standard input]
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The platform, as OS/ARCHITECTURE[/VARIANT] [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

impl Load {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let mut stdin = io::stdin();
        let input = match &self.input {
            Some(file) => ArchiveInput::File(file),
            None if stdin.is_terminal() => {
                let reason = "an archive cannot be typed: name it with -i, or redirect the input";
                return Err(UsageError(reason.to_owned()).into());
            }
            None => ArchiveInput::Stream(&mut stdin),
        };
        interrupt::catch();
        program.warn_of_owners();
        let progress = Shown::unpacking(program.messages);
        let platform = self.platform.unwrap_or_else(Platform::host);
        let loaded = plywood::load(&program.plywood, input, &platform, &progress)?;
        program.warn_of_skipped(&progress.end());
        for image in loaded {
            if program.messages.is_quiet() || image.names.is_empty() {
                program.output.line(image.imported.image)?;
            }
            for name in image.names.iter().filter(|_| !program.messages.is_quiet()) {
                program.output.line(format_args!("Loaded image: {name}"))?;
            }
        }
        Ok(Exit::Done)
    }
}
