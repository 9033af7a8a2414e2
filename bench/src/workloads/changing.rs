//! Writing into a mounted container: new files, and those of the image.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::tree;
use crate::BenchError;
use crate::image::{LARGE, content, small_path};
use crate::stage::{Stage, timed};

pub(super) fn create(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let container = stage.mounted()?;
    let (seed, count, bytes) = (stage.next(), stage.size.changed_files, stage.size.small_bytes);
    let text = content(seed as u64, bytes);
    timed(|| create_files(&container.tree, count, &text))
}

/// Makes files in a new folder of a tree.
pub(super) fn create_files(root: &Path, count: usize, text: &[u8]) -> Result<(), BenchError> {
    let folder = root.join("new");
    tree::make_folder(&folder)?;
    (0..count).try_for_each(|number| tree::create(&folder.join(format!("{number:05}")), text))
}

pub(super) fn append(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let paths = files_of_new_container(stage)?;
    timed(|| append_to(&paths))
}

/// Adds a line to files.
pub(super) fn append_to(paths: &[PathBuf]) -> Result<(), BenchError> {
    paths.iter().try_for_each(|path| {
        tree::open_to_append(path)?.write_all(b"one more line\n").map_err(BenchError::file("append to", path))
    })
}

pub(super) fn copy_up(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let path = stage.mounted()?.tree.join(LARGE);
    timed(|| {
        let file = tree::open_to_change(&path)?;
        file.write_all_at(b"!", 0).map_err(BenchError::file("write", &path))
    })
}

pub(super) fn rename(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let paths = files_of_new_container(stage)?;
    let pairs: Vec<(PathBuf, PathBuf)> =
        paths.into_iter().map(|path| (path.clone(), path.with_extension("renamed"))).collect();
    timed(|| pairs.iter().try_for_each(|(from, to)| tree::rename(from, to)))
}

pub(super) fn unlink(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let paths = files_of_new_container(stage)?;
    timed(|| paths.iter().try_for_each(|path| tree::unlink(path)))
}

/// Files that a new container has of its image.
fn files_of_new_container(stage: &mut Stage<'_>) -> Result<Vec<PathBuf>, BenchError> {
    let root = stage.mounted()?.tree;
    let count = stage.size.changed_files.min(stage.size.files);
    Ok((0..count).map(|number| root.join(small_path(number))).collect())
}
