//! Images made on the spot.

use std::io::{self, Read, Write};
use std::sync::Mutex;

use plywood_archive::compression::{Compression, Compressor};
use plywood_archive::digest::Digest;
use plywood_archive::tar::{Kind, TarWriter};
use plywood_graph::{Blob, Event, ImagePlan, LayerSource, PlannedLayer, Progress, Reference};

use super::driver::entry;

/// An image with its layers' tars, plain and packed.
pub struct Image {
    pub plan: ImagePlan,
    pub tars: Vec<Vec<u8>>,
    pub packed: Vec<Vec<u8>>,
}

/// Makes a tar of files, each a path and its content.
pub fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    writer.append(&entry("folder/", Kind::Directory, 0)).unwrap();
    for (path, content) in files {
        writer.append(&entry(path, Kind::Regular, content.len() as u64)).unwrap();
        writer.write_payload(content.as_bytes()).unwrap();
    }
    let mut tar = writer.finish().unwrap();
    // What many tars end with; a rebuild that only knows the entries would lose it.
    tar.resize(tar.len().next_multiple_of(10_240), 0);
    tar
}

/// Makes an image with one layer for each content.
pub fn image(name: &str, contents: &[&str]) -> Image {
    let tars: Vec<Vec<u8>> = contents.iter().map(|content| tar(&[("folder/file", content)])).collect();
    image_of(name, tars)
}

pub fn image_of(name: &str, tars: Vec<Vec<u8>>) -> Image {
    let packed: Vec<Vec<u8>> = tars.iter().map(|tar| gzip(tar)).collect();
    let layers: Vec<PlannedLayer> = tars
        .iter()
        .zip(&packed)
        .map(|(tar, packed)| PlannedLayer {
            diff_id: Digest::of(tar),
            packed: Some(Blob { digest: Digest::of(packed), size_bytes: packed.len() as u64 }),
        })
        .collect();
    let config = config(layers.iter().map(|layer| layer.diff_id));
    let plan = ImagePlan {
        manifest: format!("{{\"config\":\"{}\"}}", Digest::of(&config)).into_bytes(),
        manifest_media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        config,
        layers,
        names: vec![reference(name)],
    };
    Image { plan, tars, packed }
}

pub fn config(diff_ids: impl Iterator<Item = Digest>) -> Vec<u8> {
    let diff_ids: Vec<String> = diff_ids.map(|id| id.to_string()).collect();
    let value = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": diff_ids}});
    serde_json::to_vec(&value).unwrap()
}

pub fn reference(name: &str) -> Reference {
    name.parse().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(Vec::new(), Compression::Gzip, Some(6)).unwrap();
    compressor.write_all(bytes).unwrap();
    compressor.finish().unwrap()
}

impl LayerSource for Image {
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.packed[index].clone())))
    }
}

/// Nothing may be read.
pub struct NoSource;

impl LayerSource for NoSource {
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send>> {
        Err(io::Error::other(format!("layer {index} must not be opened")))
    }
}

/// Keeps the events as text, without sums.
#[derive(Default)]
pub struct Log(pub Mutex<Vec<String>>);

impl Log {
    pub fn has(&self, event: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line == event)
    }
}

impl Progress for Log {
    fn report(&self, event: Event<'_>) {
        let line = match event {
            Event::LayerReused { index, .. } => format!("reused {index}"),
            Event::LayerWaiting { index, .. } => format!("waiting {index}"),
            Event::LayerStarted { index, .. } => format!("started {index}"),
            Event::LayerAdvanced { index, .. } => format!("advanced {index}"),
            Event::LayerDone { index, .. } => format!("done {index}"),
            Event::LayerSkipped { index, .. } => format!("skipped {index}"),
            Event::Committing { layers } => format!("committing {layers}"),
        };
        self.0.lock().unwrap().push(line);
    }
}
