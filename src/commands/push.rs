//! `plywood push`.

use clap::{Args, ValueEnum};
use plywood::image::ManifestFormat;
use plywood::{Compression, Location, PushOptions};

use crate::exit::Exit;
use crate::program::Program;
use crate::progress::Shown;

/// Writes an image into a layout or an archive. Prints the manifest's digest.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The image's name or id
    image: String,
    /// oci:DIR[:REF], oci-archive:FILE[:REF] or docker-archive:FILE[:REF]
    destination: Location,
    /// How layers are packed
    #[arg(long, value_name = "HOW", default_value = "gzip")]
    compression: CompressionName,
    /// How hard they are packed: 0 to 9 for gzip [default: 6], 1 to 22 for zstd [default: 3]
    #[arg(long, value_name = "LEVEL")]
    compression_level: Option<i32>,
    /// Whose media types the manifest has
    #[arg(long, value_name = "FORMAT", default_value = "oci")]
    format: FormatName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressionName {
    Gzip,
    Zstd,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    Oci,
    Docker,
}

impl Push {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let compression = match self.compression {
            CompressionName::Gzip => Compression::Gzip,
            CompressionName::Zstd => Compression::Zstd,
            CompressionName::None => Compression::None,
        };
        let format = match self.format {
            FormatName::Oci => ManifestFormat::Oci,
            FormatName::Docker => ManifestFormat::Docker,
        };
        let options = PushOptions { compression, level: self.compression_level, format };
        let progress = Shown::packing(program.messages);
        let digest = plywood::push(&program.plywood, &self.image, &self.destination, &options, &progress)?;
        program.output.line(digest)?;
        Ok(Exit::Done)
    }
}
