//! `plywood history`.

use clap::Args;
use plywood::image::HistoryEntry;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::list::Table;
use crate::program::Program;
use crate::show;

/// Characters of a command that the table shows.
const COMMAND_WIDTH: usize = 45;

/// Shows how an image came about, newest step first.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The image's name or id
    image: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Show commands and digests in full
    #[arg(long)]
    no_trunc: bool,
}

impl History {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let image = program.plywood.image(&self.image)?;
        let entries = plywood::image::history(&image)?;
        if self.json {
            program.output.json(&entries.iter().map(as_json).collect())?;
            return Ok(Exit::Done);
        }
        let now = program.plywood.now();
        let mut table = Table::new(&["DIFF ID", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
        for entry in &entries {
            table.row(&[
                entry.diff_id.map_or_else(|| "<none>".to_owned(), |id| self.digest(&id)),
                entry.created.map_or_else(|| "<unknown>".to_owned(), |created| show::age(now, created)),
                self.command(&entry.created_by),
                show::size(entry.size_bytes),
                entry.comment.clone(),
            ]);
        }
        table.write(program.output)?;
        Ok(Exit::Done)
    }

    fn digest(&self, id: &plywood::Digest) -> String {
        if self.no_trunc { id.to_string() } else { show::short(id) }
    }

    fn command(&self, text: &str) -> String {
        if self.no_trunc || text.chars().count() <= COMMAND_WIDTH {
            return text.to_owned();
        }
        let kept: String = text.chars().take(COMMAND_WIDTH - 3).collect();
        format!("{kept}...")
    }
}

fn as_json(entry: &HistoryEntry) -> Value {
    json!({
        "Created": entry.created.map_or(Value::Null, show::time),
        "CreatedBy": entry.created_by,
        "Author": entry.author,
        "Comment": entry.comment,
        "EmptyLayer": entry.empty_layer,
        "Size": entry.size_bytes,
        "DiffId": entry.diff_id.map(|id| id.to_string()),
    })
}
