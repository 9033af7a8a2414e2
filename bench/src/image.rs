//! Images made on the spot: the same bytes in every run.

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use plywood_archive::compression::{Compression, Compressor};
use plywood_archive::digest::Digest;
use plywood_archive::tar::{Entry, Kind, TarWriter, Timestamp};
use plywood_graph::{Blob, ImagePlan, LayerSource, PlannedLayer, Reference};

use crate::size::Size;

/// Small files in one folder.
pub(crate) const FILES_A_FOLDER: usize = 50;
/// The path of the large file.
pub(crate) const LARGE: &str = "data/large";
/// When everything in the images is from.
const TIME: Timestamp = Timestamp { seconds: 1_600_000_000, nanoseconds: 0 };
/// The media type of all manifests.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Fast, as registries' layers are packed once and this is packed for every run.
const GZIP_LEVEL: i32 = 1;

/// An image in memory.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) plan: ImagePlan,
    packed: Vec<Arc<[u8]>>,
}

impl LayerSource for Image {
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(Arc::clone(&self.packed[index]))))
    }
}

/// The path of a small file of the working image.
pub(crate) fn small_path(number: usize) -> String {
    format!("files/{:03}/{number:05}", number / FILES_A_FOLDER)
}

/// Bytes that look random, pack by about a half, and are the same in every run.
pub(crate) fn content(seed: u64, length: usize) -> Vec<u8> {
    // A linear congruential generator (Knuth's MMIX constants); the upper bits are the good ones.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = (state >> 32).to_le_bytes();
        // Letters for half of it.
        bytes.extend_from_slice(&word[..4]);
        bytes.extend_from_slice(b"wood");
    }
    bytes.truncate(length);
    bytes
}

/// The image that containers are made of: the large file in the lowest layer, small ones in the two above.
pub(crate) fn working(size: &Size, name: &Reference) -> io::Result<Image> {
    let half = size.files / 2;
    let layer = |numbers: std::ops::Range<usize>| {
        let mut tar = TarWriter::new(Vec::new());
        folder(&mut tar, "files/")?;
        for number in numbers {
            if number % FILES_A_FOLDER == 0 {
                folder(&mut tar, &format!("files/{:03}/", number / FILES_A_FOLDER))?;
            }
            file(&mut tar, &small_path(number), &content(number as u64, size.small_bytes))?;
        }
        tar.finish()
    };
    let mut large = TarWriter::new(Vec::new());
    folder(&mut large, "data/")?;
    file(&mut large, LARGE, &content(u64::MAX, size.large_bytes))?;
    image(name, &[large.finish()?, layer(0..half)?, layer(half..size.files)?])
}

/// An image of so many layers, with a small file in each.
pub(crate) fn deep(layers: usize, name: &Reference) -> io::Result<Image> {
    let tars = (0..layers).map(|number| {
        let mut tar = TarWriter::new(Vec::new());
        folder(&mut tar, "layers/")?;
        file(&mut tar, &format!("layers/{number:05}"), &content(number as u64, 100))?;
        tar.finish()
    });
    image(name, &tars.collect::<io::Result<Vec<_>>>()?)
}

fn folder(tar: &mut TarWriter<Vec<u8>>, path: &str) -> io::Result<()> {
    tar.append(&Entry { mode: 0o755, modified: TIME, ..Entry::new(path, Kind::Directory) })
}

fn file(tar: &mut TarWriter<Vec<u8>>, path: &str, content: &[u8]) -> io::Result<()> {
    let size_bytes = content.len() as u64;
    tar.append(&Entry { mode: 0o644, modified: TIME, size_bytes, ..Entry::new(path, Kind::Regular) })?;
    tar.write_payload(content)
}

fn image(name: &Reference, tars: &[Vec<u8>]) -> io::Result<Image> {
    let mut packed: Vec<Arc<[u8]>> = Vec::new();
    let mut layers = Vec::new();
    for tar in tars {
        let mut packer = Compressor::new(Vec::new(), Compression::Gzip, Some(GZIP_LEVEL))?;
        packer.write_all(tar)?;
        let bytes = packer.finish()?;
        let blob = Blob { digest: Digest::of(&bytes), size_bytes: bytes.len() as u64 };
        layers.push(PlannedLayer { diff_id: Digest::of(tar), packed: Some(blob) });
        packed.push(bytes.into());
    }
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
    let Records { config, manifest } = records(&diff_ids)?;
    let (manifest_media_type, names) = (MANIFEST_TYPE.to_owned(), vec![name.clone()]);
    Ok(Image { plan: ImagePlan { manifest, manifest_media_type, config, layers, names }, packed })
}

/// What an image is described by, as JSON.
pub(crate) struct Records {
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

/// Describes an image of such layers, the lowest first.
pub(crate) fn records(diff_ids: &[Digest]) -> io::Result<Records> {
    let diff_ids: Vec<String> = diff_ids.iter().map(Digest::to_string).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = serde_json::to_vec(&config)?;
    let manifest = serde_json::to_vec(&serde_json::json!({"config": Digest::of(&config).to_string()}))?;
    Ok(Records { config, manifest })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn images_are_the_same_in_every_run() {
        let name = "bench:1".parse().unwrap();
        let plan = |size| working(size, &name).unwrap().plan;
        assert_eq!(plan(&Size::SMALL), plan(&Size::SMALL));
        assert_eq!(deep(3, &name).unwrap().plan.layers.len(), 3);
        assert_eq!(content(1, 10).len(), 10);
        assert_ne!(content(1, 10), content(2, 10));
    }
}
