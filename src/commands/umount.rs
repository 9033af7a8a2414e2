//! `plywood umount`.

use std::path::Path;

use anyhow::Context;
use clap::Args;

use crate::exit::Exit;
use crate::program::Program;

/// Unmounts by path, or all mounts of a container, an image or a layer.
#[derive(Debug, Args)]
pub(crate) struct Umount {
    /// Names, ids or paths
    #[arg(required_unless_present = "all", value_name = "NAME|PATH")]
    names: Vec<String>,
    /// Everything that the store has mounted
    #[arg(long, short, conflicts_with = "names")]
    all: bool,
}

impl Umount {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let names = if self.all {
            let mounts = program.plywood.mounts()?;
            mounts.iter().map(|mount| mount.target.to_string_lossy().into_owned()).collect()
        } else {
            self.names
        };
        program.each(&names, |program, name| {
            program.plywood.unmount(&query(program, name)?)?;
            Ok(program.output.line(name)?)
        })
    }
}

/// A path of a mount, made absolute; names are left as they are.
fn query(program: &Program<'_>, name: &str) -> anyhow::Result<String> {
    let path = std::path::absolute(Path::new(name)).with_context(|| format!("resolve {name}"))?;
    let is_typed_as_path = name == "." || name.starts_with("./") || name.starts_with("..");
    let is_mount = is_typed_as_path || program.plywood.mounts()?.iter().any(|mount| mount.target == path);
    Ok(if is_mount { path.to_string_lossy().into_owned() } else { name.to_owned() })
}
