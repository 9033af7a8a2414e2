//! The program `plywood`: names and habits of podman, docker and skopeo over the library.

mod arguments;
mod commands;
mod config;
mod exit;
mod hint;
mod interrupt;
mod list;
mod logging;
mod output;
mod program;
mod progress;
mod show;
mod transfer;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::exit::Exit;
use crate::output::{Messages, Output};

fn main() -> ExitCode {
    raise_open_files();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let messages = Messages::new(arguments.global.quiet);
    let mut output = Output::stdout();
    let done = commands::run(arguments, &mut output, messages).and_then(|exit| {
        output.flush()?;
        Ok(exit)
    });
    match done {
        Ok(exit) => exit.into(),
        // Whoever reads the output has seen enough: no failure, and nobody to tell.
        Err(_) if output.is_closed() => Exit::Done.into(),
        Err(error) => {
            messages.failure(&error);
            interrupt::caught().map_or_else(|| Exit::of(&error).into(), ExitCode::from)
        }
    }
}

/// Shows clap's answer: help and versions on stdout, mistakes on stderr.
fn refuse(error: &clap::Error) -> ExitCode {
    let shown = error.print();
    match (error.use_stderr(), shown) {
        (false, Ok(())) => Exit::Done.into(),
        (false, Err(failed)) if failed.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done.into(),
        (true, _) => Exit::Usage.into(),
        (false, Err(_)) => Exit::Other.into(),
    }
}

/// A chain of layers takes a descriptor for each; the soft limit of 1,024 is kept low for `select(2)` only.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::debug!(%error, "limit of open files stays");
    }
}
