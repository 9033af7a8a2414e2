//! Small images, as OCI layouts on disk: made here byte by byte, so that no part of the store makes what it is judged by.

use std::fs;
use std::path::{Path, PathBuf};

use plywood::Digest;
use plywood::archive::tar::{Entry, Kind, TarWriter, Timestamp};
use serde_json::{Value, json};

/// A file of a layer: what [`layer`] makes entries of.
#[derive(Debug, Clone)]
pub enum Piece {
    Folder(&'static str, u32),
    File(&'static str, Vec<u8>),
    /// With an attribute and an owner.
    Marked(&'static str, Vec<u8>),
    Link(&'static str, &'static str),
    Symlink(&'static str, &'static str),
    /// Takes a name of a lower layer away.
    Whiteout(&'static str),
}

/// Makes a layer's tar.
pub fn layer(pieces: &[Piece]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for piece in pieces {
        let (mut entry, content) = entry_of(piece);
        entry.size_bytes = content.len() as u64;
        entry.modified = Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 };
        writer.append(&entry).unwrap();
        if !content.is_empty() {
            writer.write_payload(content).unwrap();
        }
    }
    let mut tar = writer.finish().unwrap();
    tar.resize(tar.len().next_multiple_of(10_240), 0);
    tar
}

fn entry_of(piece: &Piece) -> (Entry, &[u8]) {
    let make = |name: &str, kind, mode| {
        let mut entry = Entry::new(name.as_bytes(), kind);
        entry.mode = mode;
        entry
    };
    match piece {
        Piece::Folder(name, mode) => (make(name, Kind::Directory, *mode), &[]),
        Piece::File(name, content) => (make(name, Kind::Regular, 0o644), content),
        Piece::Marked(name, content) => {
            let mut entry = make(name, Kind::Regular, 0o4750);
            (entry.uid, entry.gid) = (1000, 1001);
            entry.xattrs = vec![(b"user.mark".to_vec(), b"value".to_vec())];
            (entry, content)
        }
        Piece::Link(name, target) => {
            (make(name, Kind::HardLink { target: target.as_bytes().to_vec() }, 0o644), &[])
        }
        Piece::Symlink(name, target) => {
            (make(name, Kind::Symlink { target: target.as_bytes().to_vec() }, 0o777), &[])
        }
        Piece::Whiteout(name) => (make(name, Kind::Regular, 0o600), &[]),
    }
}

/// The base that the images share.
pub fn base() -> Vec<u8> {
    layer(&[
        Piece::Folder("etc/", 0o755),
        Piece::File("etc/motd", b"hello\n".to_vec()),
        Piece::Folder("bin/", 0o750),
        Piece::Marked("bin/tool", noise(1, 3000)),
        Piece::Symlink("bin/alias", "tool"),
        Piece::Link("bin/again", "bin/tool"),
        Piece::File("old", b"goes\n".to_vec()),
    ])
}

/// What stands on the base: a file of several writes, a deletion, a link to a file of the base, a folder that is only implied.
pub fn middle() -> Vec<u8> {
    layer(&[
        Piece::Folder("data/", 0o700),
        Piece::File("data/large", noise(2, 300_000)),
        Piece::Whiteout(".wh.old"),
        Piece::Link("etc/linked", "etc/motd"),
        Piece::Marked("bin/implied", noise(3, 10)),
    ])
}

/// The top, which `seed` makes another one.
pub fn top(seed: u64) -> Vec<u8> {
    layer(&[
        Piece::Folder("top/", 0o755),
        Piece::File("top/one", noise(seed, 500)),
        Piece::File("top/two", noise(seed + 1, 20)),
    ])
}

/// Bytes that no two seeds have alike.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Writes a layout that has each image, a name and its layers; they may share layers.
pub fn layout(folder: &Path, images: &[(&str, &[Vec<u8>])]) {
    fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    fs::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    let manifests: Vec<Value> = images.iter().map(|(name, layers)| manifest(folder, name, layers)).collect();
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

fn manifest(folder: &Path, name: &str, layers: &[Vec<u8>]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|tar| Digest::of(tar).to_string()).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z", "author": name,
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let layers: Vec<Value> =
        layers.iter().map(|tar| blob(folder, tar, "application/vnd.oci.image.layer.v1.tar")).collect();
    let config = blob(folder, config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
    let mut described = blob(folder, manifest.to_string().as_bytes(), kind);
    described["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    described
}

fn blob(folder: &Path, bytes: &[u8], media_type: &str) -> Value {
    let digest = Digest::of(bytes);
    let path: PathBuf = folder.join("blobs/sha256").join(digest.hex());
    fs::write(path, bytes).unwrap();
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
}
