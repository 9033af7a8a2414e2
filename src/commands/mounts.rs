//! `plywood mounts`.

use clap::Args;
use plywood::MountRecord;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::list::Table;
use crate::program::Program;
use crate::show;

/// Lists what the store has mounted, oldest first. With -q only the paths.
#[derive(Debug, Args)]
pub(crate) struct Mounts {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Mounts {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let mounts = program.plywood.mounts()?;
        if self.json {
            program.output.json(&mounts.iter().map(as_json).collect())?;
            return Ok(Exit::Done);
        }
        if program.messages.is_quiet() {
            for mount in mounts {
                program.output.line(mount.target.display())?;
            }
            return Ok(Exit::Done);
        }
        let now = program.plywood.now();
        let mut table = Table::new(&["LAYER", "ACCESS", "MOUNTED", "PATH"]);
        for mount in &mounts {
            table.row(&[
                mount.layer.short().to_owned(),
                access(mount).to_owned(),
                show::age(now, mount.created),
                mount.target.display().to_string(),
            ]);
        }
        table.write(program.output)?;
        Ok(Exit::Done)
    }
}

fn access(mount: &MountRecord) -> &'static str {
    if mount.read_only { "ro" } else { "rw" }
}

/// A mount, as `plywood inspect` has it too.
pub(crate) fn as_json(mount: &MountRecord) -> Value {
    json!({
        "Target": mount.target,
        "Layer": mount.layer.as_str(),
        "ReadOnly": mount.read_only,
        "Created": show::time(mount.created),
    })
}
