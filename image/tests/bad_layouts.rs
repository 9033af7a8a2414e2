//! Layouts that must not get through: each is refused with the reason, and nothing of it is kept.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::layout::{INDEX, Image, Layout, MANIFEST};
use common::{Bench, chain, layer, summary};
use plywood_archive::compression::Compression;
use plywood_graphdriver::ErrorKind;
use serde_json::{Value, json};

/// A layout with one image that `spoil` had its hands on.
fn refused(spoil: impl FnOnce(&mut Layout, &mut Image), expected: ErrorKind, reason: &str) {
    let bench = Bench::new();
    let mut layout = Layout::new(bench.path("img"));
    let tars = [layer(&[("folder/a", "one")]), layer(&[("folder/b", "two")])];
    let mut image = layout.image(&tars, Compression::Gzip, "amd64");
    spoil(&mut layout, &mut image);
    if layout.images.is_empty() {
        layout.list(layout.write(&image), Some("bb"));
    }
    layout.finish();
    assert_refused(&bench, "img:bb", expected, reason);
}

/// A whole layout that `spoil` then had its hands on.
fn refused_after(spoil: impl FnOnce(&Path), expected: ErrorKind, reason: &str) {
    let bench = Bench::new();
    let tars = [layer(&[("folder/a", "one")])];
    let layout = Layout::with_image(bench.path("img"), Some("bb"), &tars, Compression::None);
    spoil(&layout.folder);
    assert_refused(&bench, "img:bb", expected, reason);
}

fn assert_refused(bench: &Bench, rest: &str, expected: ErrorKind, reason: &str) {
    let store = bench.store("store");
    let error = bench.pull(&store, "oci", rest).unwrap_err();
    let text = chain(&error);
    assert!(text.contains(reason), "expected '{reason}' in '{text}'");
    assert_eq!(error.kind(), expected, "{text}");
    assert!(summary(&store).is_empty());
    assert!(store.layers().unwrap().is_empty());
}

/// Moves a file or folder away and leaves a symlink to it.
fn link(folder: &Path, name: &str) {
    fs::rename(folder.join(name), folder.with_extension("moved")).unwrap();
    symlink(folder.with_extension("moved"), folder.join(name)).unwrap();
}

fn digest_of(folder: &Path, pointer: &str) -> String {
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let manifest = index["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
    if pointer.is_empty() {
        return manifest;
    }
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join(manifest)).unwrap()).unwrap();
    manifest.pointer(pointer).unwrap().as_str().unwrap().replace("sha256:", "blobs/sha256/")
}

#[test]
fn symlinks_are_refused_wherever_they_are() {
    for name in ["oci-layout", "index.json", "blobs", "blobs/sha256"] {
        refused_after(|folder| link(folder, name), ErrorKind::InvalidInput, "symlink");
    }
    for pointer in ["", "/config/digest", "/layers/0/digest"] {
        refused_after(|folder| link(folder, &digest_of(folder, pointer)), ErrorKind::InvalidInput, "symlink");
    }
}

#[test]
fn an_index_of_a_gigabyte_is_refused_unread() {
    let grow = |name: &'static str| {
        move |folder: &Path| {
            let path = if name.is_empty() { folder.join(digest_of(folder, "")) } else { folder.join(name) };
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 30).unwrap();
        }
    };
    refused_after(grow("index.json"), ErrorKind::LimitExceeded, "index.json is longer than 4194304 bytes");
    refused_after(grow("oci-layout"), ErrorKind::LimitExceeded, "longer than 4194304 bytes");
    refused_after(grow(""), ErrorKind::InvalidInput, "has 1073741824 bytes, and should have");
    refused(
        |layout, image| {
            let mut manifest = layout.write(image);
            let path = layout.blob_path(manifest["digest"].as_str().unwrap());
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 30).unwrap();
            manifest["size"] = json!(1 << 30);
            layout.list(manifest, Some("bb"));
        },
        ErrorKind::LimitExceeded,
        "longer than 4194304 bytes",
    );
}

#[test]
fn what_is_no_layout_is_refused() {
    refused_after(
        |folder| fs::remove_file(folder.join("oci-layout")).unwrap(),
        ErrorKind::InvalidInput,
        "no OCI layout",
    );
    refused_after(
        |folder| fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap(),
        ErrorKind::InvalidInput,
        "version '2.0.0'",
    );
    refused_after(
        |folder| fs::remove_file(folder.join("index.json")).unwrap(),
        ErrorKind::NotFound,
        "index.json is missing",
    );
    refused_after(|folder| fs::remove_dir_all(folder).unwrap(), ErrorKind::NotFound, "open");
}

#[test]
fn a_fifo_is_not_waited_for() {
    refused_after(
        |folder| {
            let path = folder.join(digest_of(folder, "/layers/0/digest"));
            fs::remove_file(&path).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR,
                0,
            )
            .unwrap();
        },
        ErrorKind::InvalidInput,
        "not a regular file",
    );
}

#[test]
fn changed_bytes_are_noticed() {
    for pointer in ["", "/config/digest"] {
        refused_after(
            |folder| {
                let path = folder.join(digest_of(folder, pointer));
                let mut bytes = fs::read(&path).unwrap();
                *bytes.last_mut().unwrap() = b' ';
                fs::write(&path, bytes).unwrap();
            },
            ErrorKind::InvalidInput,
            "has the digest",
        );
    }
    refused_after(
        |folder| {
            let path = folder.join(digest_of(folder, "/layers/0/digest"));
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() = 1;
            fs::write(&path, bytes).unwrap();
        },
        ErrorKind::InvalidInput,
        "has the digest",
    );
    refused_after(
        |folder| {
            let path = folder.join(digest_of(folder, "/layers/0/digest"));
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 512]).unwrap();
        },
        ErrorKind::InvalidInput,
        "and should have",
    );
}

#[test]
fn missing_blobs_are_named() {
    for pointer in ["", "/config/digest", "/layers/0/digest"] {
        refused_after(
            |folder| fs::remove_file(folder.join(digest_of(folder, pointer))).unwrap(),
            ErrorKind::NotFound,
            "is missing",
        );
    }
}

#[test]
fn config_and_manifest_must_fit() {
    refused(
        |_, image| {
            image.config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
        },
        ErrorKind::InvalidInput,
        "lists 2 layers, and its config 1 diff ids",
    );
    refused(
        |_, image| image.config["rootfs"]["diff_ids"].as_array_mut().unwrap().swap(0, 1),
        ErrorKind::InvalidInput,
        "has the digest",
    );
    refused(
        |_, image| image.config["rootfs"]["type"] = json!("tree"),
        ErrorKind::InvalidInput,
        "not 'layers'",
    );
    refused(|_, image| image.config = json!([]), ErrorKind::InvalidInput, "cannot be parsed");
}

#[test]
fn digests_are_strict() {
    let good = "ab".repeat(32);
    for wrong in [
        "sha256:../../x".to_owned(),
        format!("sha256:{}", good.to_uppercase()),
        "sha256:abcd".to_owned(),
        good,
    ] {
        let text = wrong.clone();
        refused(
            move |_, image| image.manifest["layers"][0]["digest"] = json!(text),
            ErrorKind::InvalidInput,
            "cannot be parsed",
        );
        refused(
            move |_, image| image.config["rootfs"]["diff_ids"][0] = json!(wrong),
            ErrorKind::InvalidInput,
            "cannot be parsed",
        );
    }
    refused(
        |_, image| image.manifest["layers"][0]["size"] = json!(-1),
        ErrorKind::InvalidInput,
        "cannot be parsed",
    );
}

#[test]
fn media_types_are_refused_by_name() {
    let layer_type = |name: &'static str| {
        move |_: &mut Layout, image: &mut Image| {
            image.manifest["layers"][1]["mediaType"] = json!(name);
        }
    };
    refused(
        layer_type("application/vnd.oci.image.layer.v1.tar+xz"),
        ErrorKind::Unsupported,
        "'application/vnd.oci.image.layer.v1.tar+xz'",
    );
    refused(
        |layout, image| {
            let mut foreign = image.manifest["layers"][1].clone();
            foreign["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
            fs::remove_file(layout.blob_path(foreign["digest"].as_str().unwrap())).unwrap();
            image.manifest["layers"][1] = foreign;
        },
        ErrorKind::Unsupported,
        "its content is not there",
    );
    refused(
        |layout, image| {
            let mut old = layout.write(image);
            old["mediaType"] = json!("application/vnd.docker.distribution.manifest.v1+prettyjws");
            layout.list(old, Some("bb"));
        },
        ErrorKind::Unsupported,
        "schema 1 is too old",
    );
    refused(
        |_, image| image.manifest["schemaVersion"] = json!(1),
        ErrorKind::InvalidInput,
        "schema version 1",
    );
    refused(
        |layout, image| {
            image.manifest["config"] = layout.blob("application/vnd.oci.empty.v1+json", b"{}");
        },
        ErrorKind::Unsupported,
        "not the config of a container image",
    );
}

#[test]
fn a_document_is_one_thing_only() {
    refused(
        |_, image| image.manifest["manifests"] = json!([]),
        ErrorKind::InvalidInput,
        "what only indexes have",
    );
    refused(
        |_, image| image.manifest["mediaType"] = json!(INDEX),
        ErrorKind::InvalidInput,
        "it says that it is",
    );
    refused(
        |layout, _| {
            let both = json!({ "schemaVersion": 2, "manifests": [], "layers": [] });
            layout.list(layout.document(INDEX, &both), Some("bb"));
        },
        ErrorKind::InvalidInput,
        "what only manifests have",
    );
}

#[test]
fn nesting_has_an_end() {
    refused(
        |layout, image| {
            let mut below = layout.write(image);
            for _ in 0..10 {
                below = layout.document(INDEX, &json!({ "schemaVersion": 2, "manifests": [below] }));
            }
            layout.list(below, Some("bb"));
        },
        ErrorKind::InvalidInput,
        "nested more than 8 deep",
    );
}

#[test]
fn a_wide_and_deep_index_is_quick() {
    // Each level lists the one below a hundred times: 100^8 visits, were none remembered.
    refused(
        |layout, image| {
            let mut below = layout.write(image);
            below["platform"] = json!({ "os": "linux", "architecture": "s390x" });
            for _ in 0..8 {
                let list = vec![below; 100];
                below = layout.document(INDEX, &json!({ "schemaVersion": 2, "manifests": list }));
            }
            layout.list(below, Some("bb"));
        },
        ErrorKind::NotFound,
        "there is linux/s390x",
    );
}

#[test]
fn the_wrong_name_or_platform_says_what_is_there() {
    let bench = Bench::new();
    let mut layout = Layout::new(bench.path("img"));
    let tars = [layer(&[("folder/a", "one")])];
    let image = layout.image(&tars, Compression::Gzip, "arm64");
    for name in ["two", "one"] {
        layout.list(layout.write(&image), Some(name));
    }
    layout.finish();
    assert_refused(&bench, "img:three", ErrorKind::NotFound, "no image 'three' in it; there is one, two");
    assert_refused(&bench, "img", ErrorKind::InvalidInput, "add the name of one: one, two");
    assert_refused(
        &bench,
        "img:one",
        ErrorKind::NotFound,
        "no image for linux/amd64 in it; there is linux/arm64",
    );
    layout.images.clear();
    layout.finish();
    assert_refused(&bench, "img", ErrorKind::InvalidInput, "there is no image in it");
}

#[test]
fn the_platform_is_chosen_through_nested_indexes() {
    let bench = Bench::new();
    let mut layout = Layout::new(bench.path("img"));
    let mut listed = Vec::new();
    for architecture in ["arm64", "amd64", "s390x"] {
        let image = layout.image(&[layer(&[("folder/a", architecture)])], Compression::Gzip, architecture);
        let mut descriptor = layout.write(&image);
        if architecture != "s390x" {
            descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
        }
        listed.push(descriptor);
    }
    let mut attestation = layout.document(MANIFEST, &json!({}));
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    listed.push(attestation);
    let inner = layout.document(INDEX, &json!({ "schemaVersion": 2, "manifests": listed }));
    let outer = layout.document(INDEX, &json!({ "schemaVersion": 2, "manifests": [inner] }));
    layout.list(outer, Some("bb"));
    layout.finish();
    let store = bench.store("store");
    for architecture in ["amd64", "s390x"] {
        let mut options = common::options();
        options.platform = format!("linux/{architecture}").parse().unwrap();
        let imported = plywood_image::pull(&store, &bench.location("oci", "img:bb"), &options, &()).unwrap();
        let image = store.image(&imported.image.to_string()).unwrap();
        assert_eq!(plywood_image::Config::of(&image).unwrap().architecture, architecture);
    }
}

#[test]
fn foreign_layers_with_their_content_are_taken() {
    let bench = Bench::new();
    let mut layout = Layout::new(bench.path("img"));
    let mut image = layout.image(&[layer(&[("folder/a", "one")])], Compression::Gzip, "amd64");
    image.manifest["layers"][0]["mediaType"] =
        json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    layout.list(layout.write(&image), None);
    layout.finish();
    let store = bench.store("store");
    bench.pull(&store, "oci", "img").unwrap();
    assert_eq!(summary(&store).len(), 1);
}
