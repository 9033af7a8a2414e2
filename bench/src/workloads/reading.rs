//! Reading from a mounted tree, the caches warm but where it is said.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::Advice;

use super::tree;
use crate::BenchError;
use crate::image::{LARGE, small_path};
use crate::stage::{Stage, timed};

/// What most programs read at once, and more.
const BUFFER_BYTES: usize = 128 << 10;
/// What a random read reads.
const PAGE_BYTES: usize = 4096;

pub(super) fn walk(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let root = stage.reader(0)?;
    let mut seen = 0;
    let took = timed(|| tree::visit(&root, &mut |_, _| seen += 1))?;
    debug_assert!(seen > stage.size.files, "the whole tree was walked");
    Ok(took)
}

pub(super) fn stat_storm(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let paths = small_files(stage)?;
    let count = stage.size.stats;
    timed(|| paths.iter().cycle().take(count).try_for_each(|path| tree::look(path).map(drop)))
}

pub(super) fn small(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let paths = small_files(stage)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    timed(|| paths.iter().try_for_each(|path| tree::drain(path, &mut buffer).map(drop)))
}

pub(super) fn large(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let path = stage.reader(0)?.join(LARGE);
    let mut buffer = vec![0; BUFFER_BYTES];
    timed(|| tree::drain(&path, &mut buffer))
}

pub(super) fn random(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let path = stage.reader(0)?.join(LARGE);
    let (count, pages) = (stage.size.random_reads, stage.size.large_bytes / PAGE_BYTES);
    let mut page = [0; PAGE_BYTES];
    timed(|| {
        let file = tree::open(&path)?;
        // Strides through the pages in an order that no read-ahead guesses; the stride is odd and prime.
        for number in 0..count {
            let offset = (number * 7919 % pages.max(1) * PAGE_BYTES) as u64;
            file.read_exact_at(&mut page, offset).map_err(BenchError::file("read", &path))?;
        }
        Ok(())
    })
}

/// The caches of both containers emptied of the file, one reads it, and the other is measured: where the pages are shared, they are
/// in memory by then.
pub(super) fn shared_cache(stage: &mut Stage<'_>) -> Result<f64, BenchError> {
    let paths = [stage.reader(0)?.join(LARGE), stage.reader(1)?.join(LARGE)];
    for path in &paths {
        let file = tree::open(path)?;
        let failed = BenchError::file("drop from the cache", path);
        // Dirty pages are not dropped.
        let dropped =
            rustix::fs::fsync(&file).and_then(|()| rustix::fs::fadvise(&file, 0, None, Advice::DontNeed));
        dropped.map_err(|error| failed(error.into()))?;
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    tree::drain(&paths[0], &mut buffer)?;
    timed(|| tree::drain(&paths[1], &mut buffer))
}

fn small_files(stage: &mut Stage<'_>) -> Result<Vec<PathBuf>, BenchError> {
    let root = stage.reader(0)?;
    Ok((0..stage.size.files).map(|number| root.join(small_path(number))).collect())
}
