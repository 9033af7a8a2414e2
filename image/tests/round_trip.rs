//! Images go through every format and come back the same.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;

use common::layout::Layout;
use common::{Bench, chain, files, layer, members, summary};
use plywood_archive::compression::Compression;
use plywood_archive::digest::Digest;
use plywood_image::{
    ArchiveInput, ManifestFormat, Platform, PushOptions, SaveFormat, load, push, save, save_to_file,
};
use serde_json::Value;

fn three_layers() -> Vec<Vec<u8>> {
    vec![
        layer(&[("folder/a", "one"), ("folder/b", "two")]),
        layer(&[("folder/.wh.a", ""), ("folder/c", &"long ".repeat(10_000))]),
        layer(&[("folder/b", "three")]),
    ]
}

fn push_options(compression: Compression) -> PushOptions {
    PushOptions { compression, ..PushOptions::default() }
}

#[test]
fn every_format_keeps_ids_and_layers() {
    let bench = Bench::new();
    Layout::with_image(bench.path("img"), Some("app"), &three_layers(), Compression::Zstd);
    let first = bench.store("first");
    bench.pull(&first, "oci", "img:app").unwrap();
    let expected = summary(&first);
    assert_eq!(expected.len(), 1);
    assert_eq!(expected.values().next().unwrap().0, ["localhost/app:latest"]);

    let steps = [
        ("docker-archive", "a.tar", Compression::Gzip),
        ("oci-archive", "b.tar:localhost/app:latest", Compression::Gzip),
        ("oci", "c:localhost/app:latest", Compression::Zstd),
        ("docker-archive", "d.tar:localhost/app:latest", Compression::Gzip),
        ("oci-archive", "e.tar:localhost/app:latest", Compression::None),
    ];
    let mut store = first;
    for (number, (transport, rest, compression)) in steps.into_iter().enumerate() {
        let location = bench.location(transport, rest);
        push(&store, "app", &location, &push_options(compression), &()).unwrap();
        store = bench.store(&format!("store{number}"));
        let imported = bench.pull(&store, transport, rest).unwrap();
        assert_eq!(imported.layers_unpacked, 3);
        assert_eq!(summary(&store), expected, "after {location}");
        let image = store.image("app").unwrap();
        for (layer, tar) in image.layers.iter().zip(three_layers()) {
            let mut rebuilt = Vec::new();
            store.layer_tar(&layer.id, &mut rebuilt).unwrap();
            assert!(rebuilt == tar, "a layer's tar changed after {location}");
        }
    }
}

#[test]
fn a_plain_manifest_is_kept_byte_for_byte() {
    let bench = Bench::new();
    let layout = Layout::with_image(bench.path("img"), Some("app"), &three_layers(), Compression::None);
    let store = bench.store("store");
    bench.pull(&store, "oci", "img:app").unwrap();
    let digest =
        push(&store, "app", &bench.location("oci", "copy:x"), &push_options(Compression::None), &()).unwrap();
    assert_eq!(layout.images[0]["digest"], digest.to_string());
    let (original, copied) = (files(&bench.path("img/blobs")), files(&bench.path("copy/blobs")));
    assert_eq!(original, copied);
}

#[test]
fn blobs_that_are_there_are_not_written_again_and_damaged_ones_are() {
    let bench = Bench::new();
    let layout = Layout::with_image(bench.path("img"), Some("app"), &three_layers(), Compression::Gzip);
    let store = bench.store("store");
    bench.pull(&store, "oci", "img:app").unwrap();
    let before = files(&bench.path("img/blobs"));
    let log = common_log::Log::default();
    let digest =
        push(&store, "app", &bench.location("oci", "img:two"), &push_options(Compression::Gzip), &log)
            .unwrap();
    assert_eq!(
        layout.images[0]["digest"],
        digest.to_string(),
        "the manifest stays, for its layers were there"
    );
    assert_eq!(log.reused(), 3);
    assert_eq!(files(&bench.path("img/blobs")), before);

    // The right length and the wrong bytes.
    let manifest: Value =
        serde_json::from_slice(&fs::read(layout.blob_path(&digest.to_string())).unwrap()).unwrap();
    let path = layout.blob_path(manifest["layers"][1]["digest"].as_str().unwrap());
    let length = fs::metadata(&path).unwrap().len();
    fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    let log = common_log::Log::default();
    push(&store, "app", &bench.location("oci", "img:three"), &push_options(Compression::Gzip), &log).unwrap();
    assert_eq!(log.reused(), 2);
    let again = bench.store("again");
    bench.pull(&again, "oci", "img:three").unwrap();
}

#[test]
fn archives_are_reproducible() {
    let bench = Bench::new();
    Layout::with_image(bench.path("img"), Some("app"), &three_layers(), Compression::Gzip);
    let store = bench.store("store");
    bench.pull(&store, "oci", "img:app").unwrap();
    for format in [SaveFormat::DockerArchive, SaveFormat::OciArchive] {
        let mut archives = [Vec::new(), Vec::new()];
        for archive in &mut archives {
            save(&store, &["app"], format, archive, &()).unwrap();
        }
        assert!(archives[0] == archives[1]);
        let names: Vec<String> = members(&archives[0]).into_iter().map(|(name, _)| name).collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(names, sorted);
    }
}

#[test]
fn a_docker_archive_has_what_docker_load_reads() {
    let bench = Bench::new();
    let tars = three_layers();
    Layout::with_image(bench.path("one"), Some("one"), &tars[..2], Compression::Gzip);
    Layout::with_image(bench.path("two"), Some("quay.io/a/two:2"), &tars, Compression::Gzip);
    let store = bench.store("store");
    let one = bench.pull(&store, "oci", "one").unwrap().image;
    let two = bench.pull(&store, "oci", "two").unwrap().image;
    let file = bench.path("both.tar");
    save_to_file(&store, &["one", "two:2", "localhost/one"], SaveFormat::DockerArchive, &file, &()).unwrap();
    let members = members(&fs::read(&file).unwrap());
    let manifest: Value = serde_json::from_slice(&members.last().unwrap().1).unwrap();
    assert_eq!(manifest[0]["Config"], format!("{}.json", one.hex()));
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["localhost/one:latest"]));
    assert_eq!(manifest[1]["Config"], format!("{}.json", two.hex()));
    assert_eq!(manifest[1]["RepoTags"], serde_json::json!(["quay.io/a/two:2"]));
    let layers: Vec<String> = tars.iter().map(|tar| format!("{}.tar", Digest::of(tar).hex())).collect();
    assert_eq!(manifest[1]["Layers"], serde_json::json!(layers));
    // Two configs, three layers that are shared, the list.
    assert_eq!(members.len(), 6);
    let other = bench.store("other");
    let loaded = load(&other, ArchiveInput::File(&file), &Platform::host(), &()).unwrap();
    assert_eq!(loaded.len(), 2);
    assert_eq!(loaded[1].imported.layers_unpacked, 1);
    assert_eq!(summary(&other), summary(&store));
}

#[test]
fn an_oci_archive_of_several_images_keeps_their_names() {
    let bench = Bench::new();
    let tars = three_layers();
    Layout::with_image(bench.path("one"), Some("one"), &tars[..1], Compression::Gzip);
    Layout::with_image(bench.path("two"), Some("two"), &tars, Compression::Gzip);
    let store = bench.store("store");
    bench.pull(&store, "oci", "one").unwrap();
    let two = bench.pull(&store, "oci", "two").unwrap().image;
    let mut archive = Vec::new();
    save(&store, &["one", &two.hex()], SaveFormat::OciArchive, &mut archive, &()).unwrap();
    let other = bench.store("other");
    let loaded = load(&other, ArchiveInput::Stream(&mut &*archive), &Platform::host(), &()).unwrap();
    assert_eq!(loaded[0].names.len(), 1);
    assert!(loaded[1].names.is_empty(), "it was asked for by its id");
    assert_eq!(summary(&other).len(), 2);
}

#[test]
fn pushes_at_once_lose_no_image() {
    let bench = Bench::new();
    Layout::with_image(bench.path("img"), Some("app"), &three_layers(), Compression::Gzip);
    bench.pull(&bench.store("store"), "oci", "img:app").unwrap();
    // Many each: one push alone spends most of its time outside of what must not be done at once.
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (bench, store) = (&bench, bench.store("store"));
            scope.spawn(move || {
                for number in 0..8 {
                    let location = bench.location("oci", &format!("shared:{writer}-{number}"));
                    push(&store, "app", &location, &push_options(Compression::Gzip), &()).unwrap();
                }
            });
        }
    });
    let index: Value = serde_json::from_slice(&fs::read(bench.path("shared/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 32);
    bench.pull(&bench.store("other"), "oci", "shared:3-7").unwrap();
    let names: Vec<String> = files(&bench.path("shared")).into_keys().collect();
    assert!(names.iter().all(|name| !name.contains(".plywood-")), "{names:?}");
    assert_eq!(names.len(), 7, "three layers, config, manifest, index, marker: {names:?}");
}

#[test]
fn a_reference_is_replaced_and_others_stay() {
    let bench = Bench::new();
    let mut layout = Layout::new(bench.path("img"));
    for (name, content) in [("one", "1"), ("two", "2")] {
        let image = layout.image(&[layer(&[("folder/a", content)])], Compression::Gzip, "amd64");
        layout.list(layout.write(&image), Some(name));
    }
    layout.finish();
    let store = bench.store("store");
    let one = bench.pull(&store, "oci", "img:one").unwrap().image;
    let two = bench.pull(&store, "oci", "img:two").unwrap().image;
    push(&store, "one", &bench.location("oci", "img:two"), &PushOptions::default(), &()).unwrap();
    let fresh = bench.store("fresh");
    assert_eq!(bench.pull(&fresh, "oci", "img:two").unwrap().image, one);
    assert_eq!(bench.pull(&fresh, "oci", "img:one").unwrap().image, one);
    assert_ne!(one, two);
}

#[test]
fn a_folder_with_other_things_is_left_alone() {
    let bench = Bench::new();
    Layout::with_image(bench.path("img"), Some("app"), &three_layers(), Compression::Gzip);
    let store = bench.store("store");
    bench.pull(&store, "oci", "img:app").unwrap();
    fs::create_dir(bench.path("home")).unwrap();
    fs::write(bench.path("home/letter"), "dear").unwrap();
    let error =
        push(&store, "app", &bench.location("oci", "home:x"), &PushOptions::default(), &()).unwrap_err();
    assert!(chain(&error).contains("has 'letter' in it"), "{}", chain(&error));
    assert_eq!(files(&bench.path("home")).len(), 1);
}

#[test]
fn a_failed_push_leaves_the_archive_as_it_was() {
    let bench = Bench::new();
    Layout::with_image(bench.path("img"), Some("app"), &three_layers(), Compression::Gzip);
    let store = bench.store("store");
    bench.pull(&store, "oci", "img:app").unwrap();
    fs::create_dir(bench.path("out")).unwrap();
    fs::write(bench.path("out/a.tar"), "before").unwrap();
    let options = PushOptions { compression: Compression::Zstd, format: ManifestFormat::Docker, level: None };
    let error = push(&store, "app", &bench.location("oci-archive", "out/a.tar"), &options, &()).unwrap_err();
    assert!(chain(&error).contains("docker's format has no zstd layers"), "{}", chain(&error));
    let options = PushOptions { level: Some(99), ..PushOptions::default() };
    let error = push(&store, "app", &bench.location("oci-archive", "out/a.tar"), &options, &()).unwrap_err();
    assert!(chain(&error).contains("levels 0 to 9"), "{}", chain(&error));
    let error =
        push(&store, "nobody", &bench.location("docker-archive", "out/a.tar"), &options, &()).unwrap_err();
    assert!(chain(&error).contains("nobody"), "{}", chain(&error));
    assert_eq!(
        files(&bench.path("out")).into_iter().collect::<Vec<_>>(),
        [("a.tar".to_owned(), b"before".to_vec())]
    );
}

#[test]
fn the_docker_format_has_dockers_types() {
    let bench = Bench::new();
    Layout::with_image(bench.path("img"), Some("app"), &three_layers(), Compression::Gzip);
    let store = bench.store("store");
    bench.pull(&store, "oci", "img:app").unwrap();
    let options = PushOptions { format: ManifestFormat::Docker, ..PushOptions::default() };
    let digest = push(&store, "app", &bench.location("oci", "docker:x"), &options, &()).unwrap();
    let path = bench.path("docker/blobs/sha256").join(digest.hex());
    let manifest: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let other = bench.store("other");
    bench.pull(&other, "oci", "docker:x").unwrap();
}

mod common_log {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use plywood_graph::{Event, Progress};

    /// Counts layers that were there already.
    #[derive(Default)]
    pub struct Log(AtomicUsize);

    impl Log {
        pub fn reused(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Progress for Log {
        fn report(&self, event: Event<'_>) {
            if matches!(event, Event::LayerReused { .. }) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
