//! Files of a container's tree, used as a program in the container would: by paths, below a folder of the bench's own.
#![allow(
    clippy::disallowed_methods,
    reason = "the trees are made by the bench, and what programs do with paths is what is measured"
)]

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use crate::BenchError;

/// Visits everything below a folder, looking at each.
pub(super) fn visit(folder: &Path, visit_one: &mut dyn FnMut(&Path, &Metadata)) -> Result<(), BenchError> {
    for entry in std::fs::read_dir(folder).map_err(BenchError::file("list", folder))? {
        let entry = entry.map_err(BenchError::file("list", folder))?;
        let path = entry.path();
        let metadata = entry.metadata().map_err(BenchError::file("look at", &path))?;
        visit_one(&path, &metadata);
        if metadata.is_dir() {
            visit(&path, visit_one)?;
        }
    }
    Ok(())
}

pub(super) fn look(path: &Path) -> Result<Metadata, BenchError> {
    std::fs::symlink_metadata(path).map_err(BenchError::file("look at", path))
}

pub(super) fn open(path: &Path) -> Result<File, BenchError> {
    File::open(path).map_err(BenchError::file("open", path))
}

/// Opens a file that is there for writing at its end.
pub(super) fn open_to_append(path: &Path) -> Result<File, BenchError> {
    OpenOptions::new().append(true).open(path).map_err(BenchError::file("open", path))
}

/// Opens a file that is there for writing anywhere in it.
pub(super) fn open_to_change(path: &Path) -> Result<File, BenchError> {
    OpenOptions::new().write(true).open(path).map_err(BenchError::file("open", path))
}

/// Reads a file to its end into a buffer, and answers how many bytes there were.
pub(super) fn drain(path: &Path, buffer: &mut [u8]) -> Result<u64, BenchError> {
    let mut file = open(path)?;
    let mut total = 0;
    loop {
        match file.read(buffer).map_err(BenchError::file("read", path))? {
            0 => return Ok(total),
            count => total += count as u64,
        }
    }
}

pub(super) fn create(path: &Path, content: &[u8]) -> Result<(), BenchError> {
    let mut file = File::create(path).map_err(BenchError::file("create", path))?;
    file.write_all(content).map_err(BenchError::file("write", path))
}

pub(super) fn make_folder(path: &Path) -> Result<(), BenchError> {
    std::fs::create_dir(path).map_err(BenchError::file("make folder", path))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), BenchError> {
    std::fs::rename(from, to).map_err(BenchError::file("rename", from))
}

pub(super) fn unlink(path: &Path) -> Result<(), BenchError> {
    std::fs::remove_file(path).map_err(BenchError::file("unlink", path))
}
