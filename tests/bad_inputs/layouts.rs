//! Rows 29 and 30: OCI layouts that lead out of themselves, or whose documents are no documents.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use plywood_archive::digest::Digest;
use plywood_graph::{Durability, Store, StoreOptions};
use plywood_image::{Location, PullOptions, pull};
use tempfile::TempDir;

use crate::crafted::Crafted;
use crate::stage::{Stage, on_each_driver};

/// Writes a blob and answers its digest.
fn blob(folder: &Path, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    fs::write(folder.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    digest
}

/// A layout with one image of one layer, which is right in all respects.
fn layout() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    let tar = Crafted::new().file("f", b"content").end();
    let layer = blob(root, &tar);
    let platform = plywood_image::Platform::host().to_string();
    let mut platform = platform.split('/');
    let (os, architecture) = (platform.next().unwrap(), platform.next().unwrap());
    let config = format!(
        r#"{{"os":"{os}","architecture":"{architecture}","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#
    );
    let (config_digest, config_size) = (blob(root, config.as_bytes()), config.len());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{config_size}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{}}}]}}"#,
        tar.len()
    );
    let digest = blob(root, manifest.as_bytes());
    fs::write(root.join("index.json"), index(&digest.to_string(), manifest.len())).unwrap();
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    folder
}

fn index(digest: &str, size: usize) -> String {
    format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size}}}]}}"#
    )
}

fn pulled(stage: &Stage, layout: &Path) -> Result<(), String> {
    let root = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(stage.ownership);
    options.durability = Durability::None;
    let store = Store::open(&root.path().join("store"), stage.open_driver(), options).unwrap();
    let from: Location = format!("oci:{}", layout.display()).parse().unwrap();
    let answer = pull(&store, &from, &PullOptions::default(), &());
    if answer.is_err() {
        assert!(store.layers().unwrap().is_empty() && store.driver().layers().unwrap().is_empty());
        assert!(store.images().unwrap().is_empty());
    }
    stage.canary.assert_unchanged();
    answer.map(drop).map_err(|error| {
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    })
}

#[test]
fn a_right_layout_is_pulled() {
    on_each_driver(|stage| pulled(stage, layout().path()).unwrap());
}

#[test]
fn row_29_a_digest_that_is_no_digest_is_refused_when_parsed() {
    on_each_driver(|stage| {
        for digest in
            ["sha256:../../x".to_owned(), format!("sha256:{}", "AB".repeat(32)), "sha256:abcdef".to_owned()]
        {
            let layout = layout();
            fs::write(layout.path().join("index.json"), index(&digest, 10)).unwrap();
            let text = pulled(stage, layout.path()).unwrap_err();
            assert!(text.contains("digest"), "{text}");
        }
    });
}

#[test]
fn row_30_no_symlink_of_a_layout_is_followed() {
    on_each_driver(|stage| {
        for name in ["blobs", "blobs/sha256", "index.json", "oci-layout"] {
            let layout = layout();
            let elsewhere = tempfile::tempdir().unwrap();
            let (path, moved) = (layout.path().join(name), elsewhere.path().join("moved"));
            fs::rename(&path, &moved).unwrap();
            symlink(&moved, &path).unwrap();
            let text = pulled(stage, layout.path()).unwrap_err();
            assert!(
                text.contains("symlink") && text.contains(name.split('/').next().unwrap()),
                "{name}: {text}"
            );
        }
    });
}

#[test]
fn row_30_a_blob_that_is_a_symlink_is_refused() {
    on_each_driver(|stage| {
        let names: Vec<_> = fs::read_dir(layout().path().join("blobs/sha256"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 3);
        for name in names {
            let layout = layout();
            let path = layout.path().join("blobs/sha256").join(&name);
            fs::rename(&path, layout.path().join("moved")).unwrap();
            symlink("../../moved", &path).unwrap();
            let text = pulled(stage, layout.path()).unwrap_err();
            assert!(text.contains("symlink"), "{text}");
        }
    });
}

#[test]
fn row_30_an_index_of_a_gibibyte_is_refused_unread() {
    on_each_driver(|stage| {
        let layout = layout();
        let index = fs::OpenOptions::new().write(true).open(layout.path().join("index.json")).unwrap();
        index.set_len(1 << 30).unwrap();
        let started = std::time::Instant::now();
        let text = pulled(stage, layout.path()).unwrap_err();
        assert!(text.contains("index.json"), "{text}");
        assert!(text.contains("limit") || text.contains("more than") || text.contains("4194304"), "{text}");
        assert!(started.elapsed() < std::time::Duration::from_mins(1), "{:?}", started.elapsed());
    });
}
