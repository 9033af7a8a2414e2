//! Docker's archives, the newer and the older ones, and those that must not get through.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;

use common::layout::Layout;
use common::{Bench, archive, chain, files, layer, pack, summary};
use plywood_archive::compression::Compression;
use plywood_archive::digest::Digest;
use plywood_graph::Store;
use plywood_image::{ArchiveInput, ImageError, Loaded, Platform, load};
use serde_json::{Value, json};

type Members = Vec<(String, Vec<u8>)>;

/// The members of an archive with one image, the last of them its list.
fn image(tars: &[Vec<u8>], tags: &Value) -> Members {
    let diff_ids: Vec<String> = tars.iter().map(|tar| Digest::of(tar).to_string()).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = serde_json::to_vec(&config).unwrap();
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let mut members: Members = Vec::new();
    let mut layers = Vec::new();
    for (index, tar) in tars.iter().enumerate() {
        layers.push(format!("layer{index}/layer.tar"));
        members.push((layers[index].clone(), tar.clone()));
    }
    let list = json!([{ "Config": config_name, "RepoTags": tags, "Layers": layers }]);
    members.push((config_name, config));
    members.push(("manifest.json".to_owned(), serde_json::to_vec(&list).unwrap()));
    members
}

fn tars() -> Vec<Vec<u8>> {
    vec![layer(&[("folder/a", "one")]), layer(&[("folder/b", "two")])]
}

fn load_bytes(store: &Store, bytes: &[u8]) -> Result<Vec<Loaded>, ImageError> {
    load(store, ArchiveInput::Stream(&mut &*bytes), &Platform::host(), &())
}

fn refused(members: &[(String, Vec<u8>)], reason: &str) {
    let bench = Bench::new();
    let store = bench.store("store");
    let text = chain(&load_bytes(&store, &archive(members)).unwrap_err());
    assert!(text.contains(reason), "expected '{reason}' in '{text}'");
    assert!(summary(&store).is_empty());
    assert!(store.layers().unwrap().is_empty());
}

/// Changes the list of an archive.
fn edit_list(members: &mut Members, edit: impl FnOnce(&mut Value)) {
    let last = members.last_mut().unwrap();
    let mut list: Value = serde_json::from_slice(&last.1).unwrap();
    edit(&mut list);
    last.1 = serde_json::to_vec(&list).unwrap();
}

#[test]
fn an_archive_is_loaded_packed_or_not_from_a_file_or_a_stream() {
    let plain = archive(&image(&tars(), &json!(["quay.io/a/b:1", "alpine:3", "localhost/x:latest"])));
    let mut found = Vec::new();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let bench = Bench::new();
        let packed = pack(&plain, compression);
        fs::write(bench.path("a.tar"), &packed).unwrap();
        let from_file = bench.store("file");
        let loaded =
            load(&from_file, ArchiveInput::File(&bench.path("a.tar")), &Platform::host(), &()).unwrap();
        assert_eq!(loaded[0].imported.layers_unpacked, 2);
        let from_stream = bench.store("stream");
        load_bytes(&from_stream, &packed).unwrap();
        found.extend([summary(&from_file), summary(&from_stream)]);
        assert!(files(&bench.path("file/tmp")).is_empty());
    }
    assert!(found.iter().all(|summary| *summary == found[0]));
    let names = &found[0].values().next().unwrap().0;
    assert_eq!(*names, ["docker.io/library/alpine:3", "localhost/x:latest", "quay.io/a/b:1"]);
}

#[test]
fn an_image_without_tags_has_no_name() {
    for tags in [json!(null), json!([]), json!(["<none>:<none>"])] {
        let bench = Bench::new();
        let store = bench.store("store");
        let loaded = load_bytes(&store, &archive(&image(&tars(), &tags))).unwrap();
        assert!(loaded[0].names.is_empty());
        assert_eq!(summary(&store).len(), 1);
    }
}

#[test]
fn layers_that_are_links_are_found_in_the_archive() {
    let bench = Bench::new();
    let mut members = image(&tars(), &json!(["x:1"]));
    let tar = std::mem::replace(&mut members[1].1, b"-> ../elsewhere/layer.tar".to_vec());
    members.insert(0, ("elsewhere/layer.tar".to_owned(), tar));
    load_bytes(&bench.store("store"), &archive(&members)).unwrap();

    for (target, reason) in [
        ("-> ../../elsewhere/layer.tar", "not a regular file"),
        ("-> /etc/passwd", "is missing"),
        ("-> ../layer1/layer.tar", "leads in a circle"),
    ] {
        members[2].1 = target.as_bytes().to_vec();
        refused(&members, reason);
    }
}

#[test]
fn layers_may_be_packed() {
    let bench = Bench::new();
    let mut members = image(&tars(), &json!(["x:1"]));
    members[0].1 = pack(&members[0].1, Compression::Gzip);
    let store = bench.store("store");
    load_bytes(&store, &archive(&members)).unwrap();
    let image = store.image("x:1").unwrap();
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    assert_eq!(manifest["layers"][0]["size"], tars()[0].len());
    assert_eq!(manifest["layers"][0]["digest"], Digest::of(&tars()[0]).to_string());
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = || image(&tars(), &json!(["x:1"]));
    let mut members = good();
    *members[0].1.last_mut().unwrap() = 1;
    refused(&members, "has the digest");
    let mut members = good();
    members[2].1.push(b' ');
    refused(&members, "has the digest");
    let mut members = good();
    members.remove(2);
    refused(&members, "is missing");
    let mut members = good();
    members.remove(0);
    refused(&members, "is missing");
    let mut members = good();
    edit_list(&mut members, |list| {
        list[0]["Layers"].as_array_mut().unwrap().pop();
    });
    refused(&members, "has 1 layers, and its config 2 diff ids");
    let mut members = good();
    edit_list(&mut members, |list| *list = json!([]));
    refused(&members, "there is no image in it");
    let mut members = good();
    members.last_mut().unwrap().1 = b"{".to_vec();
    refused(&members, "manifest.json cannot be parsed");
    let mut members = good();
    members.last_mut().unwrap().1 = vec![b' '; (4 << 20) + 1];
    refused(&members, "longer than 4194304 bytes");
    let mut members = good();
    members.pop();
    refused(&members, "neither an OCI layout nor a docker archive");
}

#[test]
fn what_is_no_archive_is_refused() {
    let bench = Bench::new();
    let store = bench.store("store");
    let plain = archive(&image(&tars(), &json!(["x:1"])));
    for (bytes, reason) in [
        (b"not a tar, but rather long: ".repeat(100), "cannot be read as a tar archive"),
        (plain[..plain.len() / 2].to_vec(), "cannot be read as a tar archive"),
        (b"\xfd7zXZ\0 and more".to_vec(), "xz"),
        (Vec::new(), "neither an OCI layout nor a docker archive"),
    ] {
        let text = chain(&load_bytes(&store, &bytes).unwrap_err());
        assert!(text.contains(reason), "expected '{reason}' in '{text}'");
        fs::write(bench.path("a.tar"), &bytes).unwrap();
        let error = load(&store, ArchiveInput::File(&bench.path("a.tar")), &Platform::host(), &());
        let text = chain(&error.unwrap_err());
        assert!(text.contains(reason), "expected '{reason}' in '{text}'");
    }
    let text =
        chain(&load(&store, ArchiveInput::File(bench.folder.path()), &Platform::host(), &()).unwrap_err());
    assert!(text.contains("it is a folder"), "{text}");
}

#[test]
fn one_image_of_several_is_pulled_by_its_tag() {
    let bench = Bench::new();
    let mut members = image(&tars()[..1], &json!(["one:1"]));
    let first: Value = serde_json::from_slice(&members.pop().unwrap().1).unwrap();
    members.extend(image(&tars(), &json!(["quay.io/two:2"])));
    edit_list(&mut members, |list| list.as_array_mut().unwrap().push(first[0].clone()));
    fs::write(bench.path("a.tar"), archive(&members)).unwrap();
    let store = bench.store("store");
    let text = chain(&bench.pull(&store, "docker-archive", "a.tar").unwrap_err());
    assert!(text.contains("add the name of one: one:1, quay.io/two:2"), "{text}");
    let text = chain(&bench.pull(&store, "docker-archive", "a.tar:three").unwrap_err());
    assert!(text.contains("no image 'three' in it; there is one:1, quay.io/two:2"), "{text}");
    for (tag, layers) in [("one:1", 1), ("docker.io/library/one:1", 1), ("quay.io/two:2", 2)] {
        let imported = bench.pull(&store, "docker-archive", &format!("a.tar:{tag}")).unwrap();
        assert_eq!(store.image(&imported.image.to_string()).unwrap().layers.len(), layers);
    }
    let mut options = common::options();
    options.platform = "linux/s390x".parse().unwrap();
    let error = plywood_image::pull(&store, &bench.location("docker-archive", "a.tar:one:1"), &options, &())
        .unwrap_err();
    assert!(chain(&error).contains("no image for linux/s390x in it; there is linux/amd64"));
}

/// What `docker save` writes since version 25: both lists over one set of blobs.
#[test]
fn an_archive_that_is_both_is_read_as_a_layout() {
    let bench = Bench::new();
    let mut layout = Layout::new(bench.path("img"));
    let image = layout.image(&tars(), Compression::None, "amd64");
    let manifest = layout.write(&image);
    for name in ["docker.io/library/app:1", "docker.io/library/app:2"] {
        let mut entry = manifest.clone();
        entry["annotations"]["io.containerd.image.name"] = json!(name);
        layout.list(entry, Some(&name[name.len() - 1..]));
    }
    layout.finish();
    let mut members: Members = files(&bench.path("img")).into_iter().collect();
    let list = json!([{ "Config": "blobs/sha256/none", "RepoTags": ["wrong:1"], "Layers": [] }]);
    members.push(("manifest.json".to_owned(), serde_json::to_vec(&list).unwrap()));
    let store = bench.store("store");
    let loaded = load_bytes(&store, &archive(&members)).unwrap();
    assert_eq!(loaded.len(), 1, "two names of one image");
    let names: Vec<String> = loaded[0].names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["docker.io/library/app:1", "docker.io/library/app:2"]);
    assert_eq!(
        store.image("app:2").unwrap().manifest_digest.to_string(),
        manifest["digest"].as_str().unwrap()
    );
}

#[test]
fn links_in_an_oci_archive_are_refused() {
    let bench = Bench::new();
    Layout::with_image(bench.path("img"), Some("app"), &tars(), Compression::None);
    let good: Members = files(&bench.path("img")).into_iter().collect();
    let store = bench.store("store");
    for index in 0..good.len() {
        let mut members = good.clone();
        let (name, content) = std::mem::replace(&mut members[index], ("moved".to_owned(), Vec::new()));
        members[index].1 = content;
        members.push((name, b"-> moved".to_vec()));
        members.push(("blobs/sha256/moved".to_owned(), b"x".to_vec()));
        let text = chain(&load_bytes(&store, &archive(&members)).unwrap_err());
        assert!(text.contains("it is a link"), "{text}");
    }
    let mut members = good;
    members.push(("blobs".to_owned(), b"-> elsewhere".to_vec()));
    let text = chain(&load_bytes(&store, &archive(&members)).unwrap_err());
    assert!(text.contains("it is a link"), "{text}");
    assert!(summary(&store).is_empty());
}
