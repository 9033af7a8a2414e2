//! `plywood changes`.

use std::io::Write;

use clap::Args;
use plywood::{Change, DriverError};
use serde_json::json;

use crate::exit::Exit;
use crate::program::Program;
use crate::show;

/// Lists what a container or layer changed, sorted: A added, C changed, D deleted. Names that are not printable are
/// escaped as \xNN.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// A container's name or id, or a layer's id
    container: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Changes {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let layer = program.own_layer(&self.container)?;
        let (plywood, output) = (&program.plywood, &mut *program.output);
        let mut first = true;
        if self.json {
            output.write_all(b"[")?;
        }
        plywood.changes(&layer, &mut |change| {
            let written = if self.json {
                let separator: &[u8] = if std::mem::take(&mut first) { b"\n  " } else { b",\n  " };
                output.write_all(separator).and_then(|()| write!(output, "{}", as_json(&change)))
            } else {
                let path = [b"/", change.path.as_slice()].concat();
                output.line(format_args!("{} {}", change.kind.letter(), show::path(&path)))
            };
            written.map_err(|error| DriverError::system("write changes", error))
        })?;
        if self.json {
            output.write_all(if first { b"]\n" } else { b"\n]\n" })?;
        }
        Ok(Exit::Done)
    }
}

fn as_json(change: &Change) -> serde_json::Value {
    let path = [b"/", change.path.as_slice()].concat();
    match std::str::from_utf8(&path) {
        Ok(text) => json!({"Kind": change.kind.letter(), "Path": text}),
        // JSON holds no other bytes; the escaped form is marked, as a path may look like one.
        Err(_) => json!({"Kind": change.kind.letter(), "Path": show::path(&path), "Escaped": true}),
    }
}
