//! The program `fuse-union`: layers as one tree, with the command line of fuse-overlayfs.

mod program;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = program::Arguments::parse();
    match program::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Engines show what is said here.
            let said = writeln!(std::io::stderr(), "fuse-union: {error}");
            drop(said);
            ExitCode::FAILURE
        }
    }
}
