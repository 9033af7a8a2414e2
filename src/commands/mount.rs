//! `plywood mount`.

use std::path::PathBuf;

use clap::Args;
use plywood::MountRequest;

use crate::exit::Exit;
use crate::program::{Named, Program};

/// Mounts an image or a layer (ro,nosuid,nodev) or a container (to be written to), and prints where. The mount stays
/// until it is unmounted with `plywood umount`.
#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// A name or id: of a container, else an image, else a layer
    name: String,
    /// A folder that is there; what is in it is covered [default: a folder in the store]
    target: Option<PathBuf>,
    /// Mount a container ro,nosuid,nodev too
    #[arg(long)]
    read_only: bool,
    /// The SELinux label that every file shows
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
}

impl Mount {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let named = program.named(&self.name)?;
        let writable = matches!(named, Named::Container) && !self.read_only;
        let request = if writable { MountRequest::read_write() } else { MountRequest::inspection() };
        let request = MountRequest { label: self.label.as_deref(), ..request };
        let record = program.plywood.mount(named.target(&self.name), &request, self.target.as_deref())?;
        program.output.line(record.target.display())?;
        Ok(Exit::Done)
    }
}
