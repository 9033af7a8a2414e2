//! `plywood completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::exit::Exit;
use crate::output::Output;

/// Prints a completion script: for bash put it into /usr/share/bash-completion/completions/plywood.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, output: &mut Output) -> anyhow::Result<Exit> {
        // The generator panics where it cannot write, so it writes into memory.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "plywood", &mut script);
        std::io::Write::write_all(output, &script)?;
        Ok(Exit::Done)
    }
}
