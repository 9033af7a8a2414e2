//! Images of containers, and what is told of images.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;

use common::layout::Layout;
use common::{Bench, NOW, chain, layer};
use plywood_archive::compression::Compression;
use plywood_archive::digest::Digest;
use plywood_graph::Store;
use plywood_image::{CommitOptions, Config, SaveFormat, commit, history, inspect_json, save};
use serde_json::{Value, json};

fn tars() -> Vec<Vec<u8>> {
    vec![layer(&[("folder/a", "one")]), layer(&[("folder/b", "two")])]
}

/// A store with the image `app`.
fn with_image(bench: &Bench) -> Store {
    Layout::with_image(bench.path("img"), Some("app"), &tars(), Compression::Gzip);
    let store = bench.store("store");
    bench.pull(&store, "oci", "img:app").unwrap();
    store
}

/// Writes into a container the way a mount of it would: vfs layers are plain folders.
fn write_into(bench: &Bench, store: &Store, container: &str, name: &str) {
    let layer = store.container(container).unwrap().layer;
    let root = bench.path("store-layers").join(layer.as_str()).join("root");
    fs::write(root.join(name), "written").unwrap();
}

#[test]
fn a_commit_adds_a_layer_a_step_and_the_changes() {
    let bench = Bench::new();
    let store = with_image(&bench);
    store.create_container(Some("app"), Some("box")).unwrap();
    write_into(&bench, &store, "box", "new-file");
    let options = CommitOptions {
        author: Some("someone".to_owned()),
        message: Some("a remark".to_owned()),
        changes: vec!["ENV A=1".parse().unwrap(), "CMD [\"/x\"]".parse().unwrap()],
    };
    let id = commit(&store, "box", Some("box:1".parse().unwrap()), &options, &()).unwrap();
    let (parent, image) = (store.image("app").unwrap(), store.image("box:1").unwrap());
    assert_eq!(image.id, id);
    assert_eq!(image.layers.len(), 3);
    assert_eq!(image.layers[..2], parent.layers[..]);

    let config = Config::of(&image).unwrap();
    let top = image.layers[2].diff_id.unwrap();
    assert_eq!(config.diff_ids().last(), Some(&top));
    assert_eq!(config.created.as_deref(), Some("2025-01-02T03:04:05Z"));
    assert_eq!(config.created_time(), Some(std::time::SystemTime::UNIX_EPOCH + NOW));
    assert_eq!(
        (config.author.as_str(), config.execution.cmd.as_slice()),
        ("someone", &["/x".to_owned()][..])
    );
    assert_eq!(config.execution.env, ["PATH=/bin", "A=1"]);
    let raw: Value = serde_json::from_slice(&image.config).unwrap();
    assert_eq!(raw["config"]["Healthcheck"], json!({ "Test": ["NONE"] }), "what nobody here knows stays");

    let mut tar = Vec::new();
    store.layer_tar(&image.layers[2].id, &mut tar).unwrap();
    let names: Vec<String> = common::members(&tar).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().any(|name| name == "new-file"), "{names:?}");
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let described = &manifest["layers"][2];
    assert_eq!(described["mediaType"], "application/vnd.oci.image.layer.v1.tar");
    assert_eq!(described["digest"], top.to_string());
    assert_eq!(described["size"], tar.len());
    assert_eq!(manifest["config"]["digest"], id.to_string());
    let parent_manifest: Value = serde_json::from_slice(&parent.manifest).unwrap();
    assert_eq!(manifest["layers"][0]["digest"], parent_manifest["layers"][0]["digest"]);
}

#[test]
fn a_committed_image_can_be_saved_and_the_container_goes_on() {
    let bench = Bench::new();
    let store = with_image(&bench);
    store.create_container(Some("app"), Some("box")).unwrap();
    for number in 1..=2 {
        write_into(&bench, &store, "box", &format!("file{number}"));
        let name = format!("box:{number}").parse().unwrap();
        commit(&store, "box", Some(name), &CommitOptions::default(), &()).unwrap();
    }
    let mut archive = Vec::new();
    save(&store, &["box:1", "box:2"], SaveFormat::DockerArchive, &mut archive, &()).unwrap();
    let other = bench.store("other");
    let input = plywood_image::ArchiveInput::Stream(&mut &*archive);
    let loaded = plywood_image::load(&other, input, &plywood_image::Platform::host(), &()).unwrap();
    assert_eq!(loaded.len(), 2);
    let other = other.image("box:2").unwrap();
    assert_eq!(other.id, store.image("box:2").unwrap().id);
}

#[test]
fn an_image_can_come_from_scratch() {
    let bench = Bench::new();
    let store = bench.store("store");
    store.create_container(None, Some("box")).unwrap();
    write_into(&bench, &store, "box", "file");
    let id = commit(&store, "box", None, &CommitOptions::default(), &()).unwrap();
    let image = store.image(&id.to_string()).unwrap();
    assert_eq!(image.layers.len(), 1);
    let config = Config::of(&image).unwrap();
    assert_eq!(config.platform(), Some(plywood_image::Platform::host()));
    assert_eq!(config.history.len(), 1);
    let error = commit(&store, "nobody", None, &CommitOptions::default(), &()).unwrap_err();
    assert!(chain(&error).contains("nobody"));
}

#[test]
fn history_pairs_steps_with_layers_newest_first() {
    let bench = Bench::new();
    let mut layout = Layout::new(bench.path("img"));
    let mut image = layout.image(&tars(), Compression::Gzip, "amd64");
    let step = |name: &str, empty: bool| json!({ "created": "2024-05-06T07:08:09.5Z", "created_by": name, "comment": "c", "empty_layer": empty });
    image.config["history"] =
        json!([step("base", false), step("ENV", true), step("RUN", false), step("CMD", true)]);
    layout.list(layout.write(&image), Some("full"));
    image.config["history"] = json!([step("RUN", false)]);
    layout.list(layout.write(&image), Some("short"));
    image.config["history"] = Value::Null;
    layout.list(layout.write(&image), Some("none"));
    layout.finish();
    let store = bench.store("store");
    let diff_ids: Vec<Option<Digest>> = tars().iter().map(|tar| Some(Digest::of(tar))).collect();
    let steps = |name: &str| {
        bench.pull(&store, "oci", &format!("img:{name}")).unwrap();
        let entries = history(&store.image(name).unwrap()).unwrap();
        entries.into_iter().map(|entry| (entry.created_by, entry.diff_id)).collect::<Vec<_>>()
    };
    let expected = [("CMD", None), ("RUN", diff_ids[1]), ("ENV", None), ("base", diff_ids[0])]
        .map(|(a, b)| (a.to_owned(), b));
    assert_eq!(steps("full"), expected);
    assert_eq!(steps("short"), [("RUN".to_owned(), diff_ids[1]), (String::new(), diff_ids[0])]);
    assert_eq!(steps("none"), [(String::new(), diff_ids[1]), (String::new(), diff_ids[0])]);
    let newest = &history(&store.image("full").unwrap()).unwrap()[0];
    let half_past = std::time::Duration::from_millis(1_714_979_289_500);
    assert_eq!(newest.created, Some(std::time::SystemTime::UNIX_EPOCH + half_past));
    assert!(newest.empty_layer && newest.comment == "c" && newest.size_bytes == 0);
}

#[test]
fn inspect_has_the_fields_that_people_know() {
    let bench = Bench::new();
    let store = with_image(&bench);
    let image = store.image("app").unwrap();
    let value = inspect_json(&image).unwrap();
    assert_eq!(value["Id"], image.id.hex());
    assert_eq!(value["Digest"], image.manifest_digest.to_string());
    assert_eq!(value["RepoTags"], json!(["localhost/app:latest"]));
    assert_eq!(value["RepoDigests"], json!([format!("localhost/app@{}", image.manifest_digest)]));
    assert_eq!((&value["Os"], &value["Architecture"]), (&json!("linux"), &json!("amd64")));
    assert_eq!(value["Created"], "2024-01-01T00:00:00Z");
    assert_eq!(value["Size"], image.size_bytes);
    assert_eq!(value["Config"]["Healthcheck"], json!({ "Test": ["NONE"] }));
    assert_eq!(value["RootFS"]["Layers"][1], Digest::of(&tars()[1]).to_string());
    assert_eq!(value["Layers"][0]["DiffId"], Digest::of(&tars()[0]).to_string());
    assert_eq!(value["History"][1]["created_by"], "step 1");
}
