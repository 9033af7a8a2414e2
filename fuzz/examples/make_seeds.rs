//! make-seeds FOLDER: writes the seeds that are made, each to FOLDER/TARGET/NAME. Those that were found stay.

#![allow(clippy::disallowed_methods, reason = "a tool for developers, on a folder that they name")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: make-seeds FOLDER")?);
    for (target, name, input) in plywood_fuzz::seeds::all() {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), input)?;
    }
    Ok(())
}
