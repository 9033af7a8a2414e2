//! What the suites share: a store to try, layouts and archives made on the spot.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    missing_docs
)]

pub mod layout;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use plywood_archive::compression::{Compression, Compressor};
use plywood_archive::tar::{Entry, Kind, Limits, TarReader, TarWriter};
use plywood_graph::{Durability, ImageRecord, Imported, Store, StoreOptions};
use plywood_graphdriver::Ownership;
use plywood_image::{ImageError, Location, PullOptions, pull};
use plywood_sys::identity::Privilege;
use plywood_vfs::Vfs;
use tempfile::TempDir;

/// 2025-01-02T03:04:05Z
pub const NOW: Duration = Duration::from_secs(1_735_787_045);

/// A store in a temporary folder, and room for layouts beside it.
pub struct Bench {
    pub folder: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Opens the store `name`: a further time, it is another one on the same folder.
    pub fn store(&self, name: &str) -> Store {
        let privilege = Privilege::probe().unwrap();
        let ownership = if privilege.may_change_owners() { Ownership::FromLayer } else { Ownership::Caller };
        let driver = Vfs::open(&self.path(&format!("{name}-layers")), privilege).unwrap();
        let mut options = StoreOptions::new(ownership);
        options.durability = Durability::None;
        options.clock = || SystemTime::UNIX_EPOCH + NOW;
        Store::open(&self.path(name), Box::new(driver), options).unwrap()
    }

    /// Pulls from `TRANSPORT:NAME[:REF]`, NAME in this folder.
    pub fn pull(&self, store: &Store, transport: &str, rest: &str) -> Result<Imported, ImageError> {
        pull(store, &self.location(transport, rest), &options(), &())
    }

    pub fn location(&self, transport: &str, rest: &str) -> Location {
        format!("{transport}:{}/{rest}", self.folder.path().display()).parse().unwrap()
    }
}

/// For `linux/amd64` on any machine.
pub fn options() -> PullOptions {
    PullOptions { name: None, platform: "linux/amd64".parse().unwrap() }
}

/// The whole chain of an error.
pub fn chain(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The tar of a layer with these files; as tar makes it, padded to 10 KiB.
pub fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    let mut folder = Entry::new("folder/", Kind::Directory);
    folder.mode = 0o755;
    writer.append(&folder).unwrap();
    for (path, content) in files {
        let mut entry = Entry::new(*path, Kind::Regular);
        entry.mode = 0o644;
        entry.size_bytes = content.len() as u64;
        entry.modified.seconds = 1_700_000_000;
        writer.append(&entry).unwrap();
        writer.write_payload(content.as_bytes()).unwrap();
    }
    let mut tar = writer.finish().unwrap();
    tar.resize(tar.len().next_multiple_of(10_240), 0);
    tar
}

/// A tar of these members; one whose content begins with `-> ` is a symlink.
pub fn archive(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (name, content) in members {
        if let Some(target) = content.strip_prefix(b"-> ") {
            writer.append(&Entry::new(name.as_str(), Kind::Symlink { target: target.to_vec() })).unwrap();
            continue;
        }
        let mut entry = Entry::new(name.as_str(), Kind::Regular);
        entry.size_bytes = content.len() as u64;
        writer.append(&entry).unwrap();
        writer.write_payload(content).unwrap();
    }
    writer.finish().unwrap()
}

/// The members of a tar, in their order.
pub fn members(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = TarReader::new(tar, Limits::default(), ());
    let mut members = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = Vec::new();
        loop {
            let count = match reader.payload().unwrap() {
                [] => break,
                bytes => {
                    content.extend_from_slice(bytes);
                    bytes.len()
                }
            };
            reader.consume(count);
        }
        members.push((String::from_utf8(entry.path).unwrap(), content));
    }
    members
}

pub fn pack(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut compressor = Compressor::new(Vec::new(), compression, None).unwrap();
    compressor.write_all(bytes).unwrap();
    compressor.finish().unwrap()
}

/// The files below a folder, each path with its content.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in std::fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mut content = Vec::new();
                std::fs::File::open(&path).unwrap().read_to_end(&mut content).unwrap();
                found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), content);
            }
        }
    }
    found
}

/// The names and diff ids of the images of a store, by id.
pub fn summary(store: &Store) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let describe = |image: ImageRecord| {
        let names = image.names.iter().map(ToString::to_string).collect();
        let diff_ids = image.layers.iter().map(|layer| layer.diff_id.unwrap().to_string()).collect();
        (image.id.to_string(), (names, diff_ids))
    };
    store.images().unwrap().into_iter().map(describe).collect()
}
