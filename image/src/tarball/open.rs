//! Opening an archive: plain in place, packed or piped through a temporary file of the store.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use plywood_archive::compression::{Compression, Decompressor, ExpansionLimit};
use plywood_graph::Store;
use rustix::fs::{Mode, OFlags};

use super::Archive;
use crate::ImageError;

impl Archive {
    /// Opens the archive at `path`. Errors call it `location`.
    pub(crate) fn open(store: &Store, path: &Path, location: &str) -> Result<Self, ImageError> {
        let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let file = File::from(opened.map_err(ImageError::io("open", path.display()))?);
        let metadata = file.metadata().map_err(ImageError::io("look at", path.display()))?;
        if metadata.is_dir() {
            return Err(ImageError::unusable(location, "it is a folder; type oci:DIR for a layout"));
        }
        if metadata.is_file() && is_plain(&file, location)? {
            return Self::index(file, location);
        }
        Self::copy(store, &mut &file, location)
    }

    /// Takes an archive out of a stream, to its end.
    pub(crate) fn copy(store: &Store, stream: &mut dyn Read, location: &str) -> Result<Self, ImageError> {
        let mut scratch = store.scratch()?;
        let mut unpacked = Decompressor::new(stream, ExpansionLimit::default());
        io::copy(&mut unpacked, &mut scratch).map_err(ImageError::io("unpack", location))?;
        // The copy left it at its end, and it is read from where it stands.
        io::Seek::rewind(&mut scratch).map_err(ImageError::io("unpack", location))?;
        Self::index(scratch, location)
    }
}

fn is_plain(file: &File, location: &str) -> Result<bool, ImageError> {
    let mut first = [0; Compression::DETECT_BYTES];
    let mut known = 0;
    while known < first.len() {
        match file.read_at(&mut first[known..], known as u64).map_err(ImageError::io("read", location))? {
            0 => break,
            count => known += count,
        }
    }
    let found = Compression::detect(&first[..known]);
    let found = found.map_err(|error| ImageError::unusable(location, error.to_string()))?;
    Ok(found == Compression::None)
}
