//! `plywood images`.

use clap::Args;
use plywood::{ImageRecord, Reference};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::list::Table;
use crate::program::Program;
use crate::show;

/// Lists images, newest first. With -q only ids.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Only the image of this name or id
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Show the manifests' digests
    #[arg(long)]
    digests: bool,
}

impl Images {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let images = match &self.name {
            Some(name) => vec![program.plywood.image(name)?],
            None => program.plywood.images()?,
        };
        if self.json {
            program.output.json(&images.iter().map(as_json).collect())?;
        } else if program.messages.is_quiet() {
            for image in images {
                program.output.line(show::short(&image.id))?;
            }
        } else {
            self.table(program, &images)?;
        }
        Ok(Exit::Done)
    }

    fn table(&self, program: &mut Program<'_>, images: &[ImageRecord]) -> anyhow::Result<()> {
        let mut headings = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        if self.digests {
            headings.insert(2, "DIGEST");
        }
        let mut table = Table::new(&headings);
        let now = program.plywood.now();
        for image in images {
            let names: Vec<Option<&Reference>> = match image.names.as_slice() {
                [] => vec![None],
                names => names.iter().map(Some).collect(),
            };
            for name in names {
                let none = || "<none>".to_owned();
                let tag = name.and_then(Reference::tag).map_or_else(none, str::to_owned);
                let mut cells = vec![name.map_or_else(none, Reference::name), tag];
                cells.extend(self.digests.then(|| image.manifest_digest.to_string()));
                cells.extend([
                    show::short(&image.id),
                    show::age(now, image.created),
                    show::size(image.size_bytes),
                ]);
                table.row(&cells);
            }
        }
        Ok(table.write(program.output)?)
    }
}

fn as_json(image: &ImageRecord) -> Value {
    json!({
        "Id": image.id.hex(),
        "Digest": image.manifest_digest.to_string(),
        "Names": image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "Created": show::time(image.created),
        "Size": image.size_bytes,
        "Layers": image.layers.len(),
    })
}
