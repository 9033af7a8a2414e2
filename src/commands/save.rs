//! `plywood save`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use plywood::image::SaveFormat;

use crate::commands::sink;
use crate::exit::Exit;
use crate::program::Program;
use crate::progress::Shown;

/// Writes images into one archive, each layer once.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// The images' names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// The archive [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the archive is
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    format: FormatName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    DockerArchive,
    OciArchive,
}

impl Save {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let format = match self.format {
            FormatName::DockerArchive => SaveFormat::DockerArchive,
            FormatName::OciArchive => SaveFormat::OciArchive,
        };
        let images: Vec<&str> = self.images.iter().map(String::as_str).collect();
        let progress = Shown::packing(program.messages);
        if let Some(file) = &self.output {
            plywood::image::save_to_file(&program.plywood, &images, format, file, &progress)?;
        } else {
            sink::refuse_terminal(program)?;
            plywood::save(&program.plywood, &images, format, program.output, &progress)?;
        }
        Ok(Exit::Done)
    }
}
