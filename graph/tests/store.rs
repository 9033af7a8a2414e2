//! Images, layers made by hand, containers, mounts, and the care for all of them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::fs;
use std::io::Cursor;
use std::sync::atomic::Ordering;

use common::Bench;
use common::images::{Image, config, image, image_of, reference, tar};
use plywood_archive::digest::Digest;
use plywood_graph::{CheckOptions, GraphError, LayerState, MountTarget, Problem, Store};
use plywood_graphdriver::{Access, ErrorKind, MountRequest};

fn import(store: &Store, image: &Image) -> Digest {
    store.import_image(&image.plan, image, &()).unwrap().image
}

#[test]
fn an_image_is_found_by_name_and_by_id() {
    let bench = Bench::new();
    let store = bench.open();
    let id = import(&store, &image("docker.io/alpine:3", &["one"]));
    let own = import(&store, &image("app", &["two"]));
    let manifest = store.image("app").unwrap().manifest_digest;
    for query in ["app", "app:latest", "localhost/app:latest", &own.to_string(), &own.hex()[..4], &own.hex()]
    {
        assert_eq!(store.image(query).unwrap().id, own, "{query}");
    }
    let by_manifest = [manifest.to_string(), format!("app@{manifest}"), format!("localhost/app@{manifest}")];
    for query in by_manifest {
        assert_eq!(store.image(&query).unwrap().id, own, "{query}");
    }
    for query in ["alpine:3", "library/alpine:3", "docker.io/library/alpine:3", "index.docker.io/alpine:3"] {
        assert_eq!(store.image(query).unwrap().id, id, "{query}");
    }
    let missing =
        ["alpine", "localhost/alpine:3", "pine:3", &own.hex()[..3], "sha256:zz", "", "App", "sha256:"];
    for query in missing {
        assert!(matches!(store.image(query), Err(GraphError::NotFound { .. })), "{query}");
    }
    store.tag("app", &reference("quay.io/me/alpine:3")).unwrap();
    match store.image("alpine:3").unwrap_err() {
        GraphError::Ambiguous { candidates, .. } => {
            assert_eq!(candidates, ["docker.io/library/alpine:3", "quay.io/me/alpine:3"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_short_id_that_fits_two_is_ambiguous() {
    let bench = Bench::new();
    let store = bench.open();
    let text = "INSERT INTO images (id, manifest_digest, manifest, manifest_media_type, config, created)
        VALUES ('sha256:' || ?1, 'sha256:' || ?1, x'', '', x'', 0)";
    for digit in ["1", "2"] {
        bench.records().execute(text, [format!("{}{}", "abcd".repeat(15), digit.repeat(4))]).unwrap();
    }
    assert!(matches!(store.image("abcd"), Err(GraphError::Ambiguous { .. })));
    store.image(&format!("{}1", "abcd".repeat(15))).unwrap();
}

#[test]
fn the_last_name_or_the_id_removes_an_image() {
    let bench = Bench::new();
    let store = bench.open();
    let id = import(&store, &image("app", &["one", "two"]));
    import(&store, &image("other", &["one", "three"]));
    store.tag("app", &reference("app:2")).unwrap();
    let removed = store.remove_image("app", false).unwrap();
    assert_eq!((removed.untagged, removed.image), (vec![reference("app")], None));
    assert_eq!(store.image("app:2").unwrap().layers.len(), 2);
    let removed = store.remove_image("app:2", false).unwrap();
    assert_eq!((removed.image, removed.layers.len()), (Some(id), 1), "the other image has the base too");
    assert_eq!((bench.folders().len(), bench.recipes().len(), store.images().unwrap().len()), (2, 2, 1));
    assert_eq!(store.remove_image("app:2", false).unwrap_err().kind(), ErrorKind::NotFound);

    store.untag(&reference("other")).unwrap();
    let dangling = store.images().unwrap().remove(0);
    assert_eq!(dangling.names, []);
    store.remove_image(&dangling.id.hex()[..12], false).unwrap();
    bench.assert_empty();
}

#[test]
fn an_image_in_use_stays_and_its_user_is_named() {
    let bench = Bench::new();
    let store = bench.open();
    import(&store, &image("app", &["one"]));
    store.create_container(Some("app"), Some("web")).unwrap();
    match store.remove_image("app", false).unwrap_err() {
        GraphError::InUse { by, .. } => assert!(by[0].starts_with("container web ("), "{by:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.count("layers"), 2);
    store.remove_image("app", true).unwrap();
    bench.assert_empty();
}

#[test]
fn containers_have_names_of_their_own() {
    let bench = Bench::new();
    let store = bench.open();
    let id = import(&store, &image("app", &["one"]));
    let web = store.create_container(Some("app"), Some("web")).unwrap();
    assert_eq!(web.image, Some(id));
    assert_eq!(store.chain(&web.layer).unwrap(), [store.image("app").unwrap().layers[0].id.clone()]);
    for taken in ["web", "-x", "", "a/b"] {
        let kind = store.create_container(None, Some(taken)).unwrap_err().kind();
        let expected = if taken == "web" { ErrorKind::AlreadyExists } else { ErrorKind::InvalidInput };
        assert_eq!(kind, expected, "{taken}");
    }
    assert_eq!(bench.folders().len(), 2, "nothing is left of those");
    let scratch = store.create_container(None, None).unwrap();
    assert!(scratch.image.is_none() && scratch.name.contains('_'));
    assert_eq!(store.container(&scratch.id[..6]).unwrap(), store.container(&scratch.name).unwrap());
    assert_eq!(store.containers().unwrap().len(), 2);
    store.remove_container("web", false).unwrap();
    store.remove_container(&scratch.id, false).unwrap();
    store.remove_image("app", false).unwrap();
    bench.assert_empty();
}

fn write_into(bench: &Bench, layer: &plywood_graphdriver::LayerId, name: &str, content: &str) {
    fs::write(bench.folder.path().join("layers").join(layer.as_str()).join("tree").join(name), content)
        .unwrap();
}

#[test]
fn a_container_is_committed_to_an_image() {
    let bench = Bench::new();
    let store = bench.open();
    import(&store, &image("app", &["one"]));
    let web = store.create_container(Some("app"), Some("web")).unwrap();
    write_into(&bench, &web.layer, "new", "content");
    let staged = store.stage_container("web", &()).unwrap();
    assert_eq!(bench.folders().len(), 3);
    assert_eq!(store.gc(false).unwrap().layers, [], "its lease holds it");
    let below = staged.image().unwrap().layers[0].diff_id.unwrap();
    let good = config([below, staged.diff_id()].into_iter());
    let names = [reference("new")];
    let id = staged.register_image(b"m", "type", &good, &names).unwrap();
    let made = store.image("new").unwrap();
    assert_eq!((made.id, made.layers.len(), made.layers[1].state), (id, 2, LayerState::Committed));
    assert_eq!(made.layers[1].packed, None, "it was not packed");

    let again = store.stage_container("web", &()).unwrap();
    again.register_image(b"m", "type", &good, &[reference("again")]).unwrap();
    assert_eq!(store.image("again").unwrap().layers, made.layers, "the same changes are the same layer");
    assert_eq!(store.gc(false).unwrap().layers, []);
    assert_eq!(bench.folders().len(), 3);
    store.untag(&reference("again")).unwrap();
    store.remove_container("web", false).unwrap();
    store.remove_image("app", false).unwrap();
    store.remove_image("new", false).unwrap();
    bench.assert_empty();
}

#[test]
fn a_staged_layer_without_its_image_leaves_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    let web = store.create_container(None, Some("web")).unwrap();
    write_into(&bench, &web.layer, "new", "content");
    drop(store.stage_container("web", &()).unwrap());
    assert_eq!((bench.count("layers"), bench.folders().len(), bench.recipes().len()), (1, 1, 0));
    // A config that names another layer is refused when all else is done.
    let staged = store.stage_container("web", &()).unwrap();
    let wrong = config(std::iter::once(plywood_archive::digest::Digest::of(b"another")));
    let error = staged.register_image(b"m", "type", &wrong, &[reference("new")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!((bench.count("layers"), bench.folders().len(), bench.recipes().len()), (1, 1, 0));
    assert_eq!(store.images().unwrap(), []);
    bench.assert_no_leftovers();
}

#[test]
fn a_commit_that_fails_says_why_and_leaves_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    let web = store.create_container(None, Some("web")).unwrap();
    write_into(&bench, &web.layer, "a", "content");
    write_into(&bench, &web.layer, "b", "content");
    *bench.hooks.fails_at.lock().unwrap() = Some("b".to_owned());
    // The tar ends between two entries, so the apply does not notice.
    let error = store.stage_container("web", &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert_eq!((bench.count("layers"), bench.folders().len(), bench.recipes().len()), (1, 1, 0));
    bench.assert_no_leftovers();
}

#[test]
fn a_commit_without_room_leaves_nothing() {
    let bench = Bench::new();
    let store = bench.open();
    let web = store.create_container(None, Some("web")).unwrap();
    // Much more than a pipe holds: the diff is still writing when the apply fails, and must not hang or be blamed.
    write_into(&bench, &web.layer, "a", &"x".repeat(4 << 20));
    *bench.hooks.before_apply.lock().unwrap() = {
        let hooks = std::sync::Arc::clone(&bench.hooks);
        Some(std::sync::Arc::new(move || {
            // The diff has to pass its own check of the name.
            while !hooks.diffing.load(std::sync::atomic::Ordering::SeqCst) {
                std::thread::yield_now();
            }
            *hooks.fails_at.lock().unwrap() = Some("a".to_owned());
        }))
    };
    let error = store.stage_container("web", &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
    assert_eq!((bench.count("layers"), bench.folders().len(), bench.recipes().len()), (1, 1, 0));
}

#[test]
fn layers_made_by_hand_stay_until_removed_by_hand() {
    let bench = Bench::new();
    let store = bench.open();
    let bytes = tar(&[("file", "content")]);
    let base = store.apply_layer(None, Box::new(Cursor::new(bytes.clone())), &()).unwrap();
    assert_eq!(
        (base.diff_id, base.chain_id, base.pinned),
        (Some(Digest::of(&bytes)), Some(Digest::of(&bytes)), true)
    );
    let same = store.apply_layer(None, Box::new(Cursor::new(bytes.clone())), &()).unwrap();
    assert_eq!((same.id, bench.count("layers")), (base.id.clone(), 1));
    let top = store.create_layer(Some(&base.id), Access::ReadWrite).unwrap();
    let view = store.create_layer(Some(&base.id), Access::ReadOnly).unwrap();
    assert_eq!(store.layer(view.as_str()).unwrap().state, LayerState::View);
    assert_eq!(store.layer(&top.as_str()[..8]).unwrap().parent, Some(base.id.clone()));
    assert_eq!(
        store.create_layer(Some(&top), Access::ReadWrite).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(store.gc(false).unwrap().layers, []);
    match store.remove_layer(&base.id).unwrap_err() {
        GraphError::InUse { by, .. } => assert_eq!(by.len(), 2, "{by:?}"),
        other => panic!("{other:?}"),
    }
    assert!(store.layer(base.id.as_str()).unwrap().pinned, "a refusal changes nothing");
    assert_eq!(store.layer_tar(&top, &mut std::io::sink()).unwrap_err().kind(), ErrorKind::InvalidInput);
    write_into(&bench, &top, "new", "");
    let mut seen = Vec::new();
    store
        .changes(&top, &mut |change| {
            seen.push(change.path);
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [b"new".to_vec()]);
    assert_eq!(store.diff(&top, &mut std::io::sink()).unwrap().inodes, 1);
    for id in [&top, &view, &base.id] {
        store.remove_layer(id).unwrap();
    }
    bench.assert_empty();
}

#[test]
fn a_layer_of_an_image_is_not_removed_by_hand() {
    let bench = Bench::new();
    let store = bench.open();
    import(&store, &image("app", &["one"]));
    let layer = store.layers().unwrap().remove(0);
    match store.remove_layer(&layer.id).unwrap_err() {
        GraphError::InUse { by, .. } => assert_eq!(by, ["image localhost/app:latest"]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn garbage_is_what_nothing_needs() {
    let bench = Bench::new();
    let store = bench.open();
    let bytes = |name: &str| Box::new(Cursor::new(tar(&[(name, "12345")])));
    let base = store.apply_layer(None, bytes("a"), &()).unwrap().id;
    let top = store.apply_layer(Some(&base), bytes("b"), &()).unwrap().id;
    import(&store, &image("app", &["one"]));
    assert_eq!(store.gc(true).unwrap().layers, []);
    bench.records().execute("DELETE FROM pins WHERE layer = ?1", [base.as_str()]).unwrap();
    assert_eq!(store.gc(true).unwrap().layers, [], "the pinned layer stands on it");
    bench.records().execute("DELETE FROM pins", []).unwrap();
    let expected = [top, base];
    assert_eq!(store.disk_usage().unwrap().reclaimable_bytes, 10);
    for dry_run in [true, false] {
        let reclaimed = store.gc(dry_run).unwrap();
        assert_eq!((&reclaimed.layers[..], reclaimed.bytes), (&expected[..], 10), "children first");
    }
    assert_eq!((bench.count("layers"), bench.folders().len(), bench.recipes().len()), (1, 1, 1));
    assert_eq!(store.gc(false).unwrap().layers, []);
}

#[test]
fn usage_tells_shared_from_unique() {
    let bench = Bench::new();
    let store = bench.open();
    import(&store, &image("app", &["one", "three"]));
    import(&store, &image("other", &["one"]));
    let web = store.create_container(Some("app"), None).unwrap();
    write_into(&bench, &web.layer, "new", "1234");
    let usage = store.disk_usage().unwrap();
    let app = usage.images.iter().find(|image| image.names == [reference("app")]).unwrap();
    assert_eq!((app.size_bytes, app.shared_bytes, app.unique_bytes, app.containers), (8, 3, 5, 1));
    assert_eq!((usage.containers[0].size_bytes, usage.reclaimable_bytes), (4, 0));
    assert_eq!(usage.layers.iter().map(|layer| layer.images).collect::<Vec<_>>(), [2, 1, 0]);
}

fn problems(store: &Store, options: CheckOptions) -> Vec<Problem> {
    let mut problems = Vec::new();
    let report = store.check(options, &mut |problem| problems.push(problem)).unwrap();
    assert_eq!(report.problems, problems.len() as u64);
    problems
}

#[test]
fn a_check_finds_a_damaged_file_and_an_import_heals_it() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one", "two"]);
    import(&store, &image);
    let report = store.check(CheckOptions::default(), &mut |problem| panic!("{problem}")).unwrap();
    let bytes: usize = image.tars.iter().map(Vec::len).sum();
    assert_eq!((report.layers, report.images, report.bytes_verified), (2, 1, bytes as u64));

    let record = store.image("app").unwrap();
    let damaged = record.layers[0].id.clone();
    write_into(&bench, &damaged, "folder/file", "eno");
    assert_eq!(store.layer_tar(&damaged, &mut std::io::sink()).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(problems(&store, CheckOptions { quick: true, mark: true }), []);
    let found = problems(&store, CheckOptions { quick: false, mark: true });
    assert!(matches!(&found[0], Problem::LayerDamaged { layer, .. } if *layer == damaged), "{found:?}");
    assert_eq!(found[1..], [Problem::ImageIncomplete { image: record.id, layer: damaged.clone() }]);
    store.import_image(&image.plan, &image, &()).unwrap();
    store.gc(false).unwrap();
    assert_eq!(problems(&store, CheckOptions::default()), []);
    assert_eq!(bench.folders().len(), 2);
}

#[test]
fn a_check_finds_what_is_missing_and_what_is_unknown() {
    let bench = Bench::new();
    let store = bench.open();
    import(&store, &image_of("app", vec![tar(&[("a", "1")]), tar(&[("b", "2")])]));
    let layers = store.image("app").unwrap().layers;
    fs::remove_file(bench.root().join("recipes").join(layers[0].id.as_str())).unwrap();
    fs::remove_dir_all(bench.folder.path().join("layers").join(layers[1].id.as_str())).unwrap();
    let unknown = plywood_graphdriver::LayerId::from_bytes([7; 16]);
    fs::create_dir(bench.folder.path().join("layers").join(unknown.as_str())).unwrap();
    fs::write(bench.root().join("recipes/extra"), "").unwrap();
    let found = problems(&store, CheckOptions { quick: true, mark: false });
    for expected in [
        Problem::LayerUnknown { layer: unknown },
        Problem::RecipeUnknown { name: "extra".to_owned() },
        Problem::LayerMissing { layer: layers[1].id.clone() },
        Problem::RecipeMissing { layer: layers[0].id.clone() },
    ] {
        assert!(found.contains(&expected), "{expected}: {found:?}");
    }
    assert_eq!(found.len(), 6, "{found:?}");
}

/// Mounts take privilege; without it these suites run the rest.
fn can_mount() -> bool {
    plywood_sys::identity::Privilege::probe().unwrap().may_mount()
}

#[test]
fn a_mount_stays_and_is_recorded() {
    if !can_mount() {
        return;
    }
    let bench = Bench::new();
    let store = bench.open();
    import(&store, &image("app", &["one"]));
    let request = MountRequest::inspection();
    let first = store.mount(MountTarget::Image("app"), &request, None).unwrap();
    assert_eq!(fs::read_to_string(first.target.join("folder/file")).unwrap(), "one");
    let again = bench.open().mount(MountTarget::Image("app"), &request, None).unwrap();
    assert_eq!((again.target, again.layer), (first.target.clone(), first.layer.clone()));
    let place = bench.folder.path().join("place");
    fs::create_dir(&place).unwrap();
    let second = store.mount(MountTarget::Image("app"), &request, Some(&place)).unwrap();
    let taken = store.mount(MountTarget::Image("app"), &request, Some(&place)).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    assert_eq!(store.mounts().unwrap().len(), 2);
    match store.remove_image("app", false).unwrap_err() {
        GraphError::InUse { by, .. } => assert_eq!(by.len(), 2, "{by:?}"),
        other => panic!("{other:?}"),
    }
    store.unmount(second.target.to_str().unwrap()).unwrap();
    plywood_sys::mount::detach(&first.target).unwrap();
    assert_eq!(store.mounts().unwrap(), [], "gone behind the store's back");
    assert_eq!(store.unmount("app").unwrap_err().kind(), ErrorKind::NotFound);
    store.remove_image("app", false).unwrap();
    bench.assert_empty();
}

#[test]
fn a_container_is_mounted_once_and_not_removed_then() {
    if !can_mount() {
        return;
    }
    let bench = Bench::new();
    let store = bench.open();
    store.create_container(None, Some("web")).unwrap();
    let mount = store.mount(MountTarget::Container("web"), &MountRequest::read_write(), None).unwrap();
    fs::write(mount.target.join("new"), "1").unwrap();
    let place = bench.folder.path().join("place");
    fs::create_dir(&place).unwrap();
    let second =
        store.mount(MountTarget::Container("web"), &MountRequest::inspection(), Some(&place)).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::InUse);
    assert_eq!(store.remove_container("web", false).unwrap_err().kind(), ErrorKind::InUse);
    let open = fs::File::open(mount.target.join("new")).unwrap();
    assert_eq!(store.unmount("web").unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(store.mounts().unwrap().len(), 1);
    drop(open);
    store.remove_container("web", true).unwrap();
    bench.assert_empty();
}

#[test]
fn recovery_brings_mounts_and_records_together() {
    if !can_mount() {
        return;
    }
    let bench = Bench::new();
    let store = bench.open();
    import(&store, &image("app", &["one"]));
    let request = MountRequest::inspection();
    let mount = store.mount(MountTarget::Image("app"), &request, None).unwrap();
    // As if the process had ended between the mount and its record.
    bench.records().execute("UPDATE mounts SET lease = ?1", ["00".repeat(16)]).unwrap();
    drop(bench.open());
    assert_eq!(store.mounts().unwrap().len(), 1, "completed");
    bench.records().execute("DELETE FROM mounts", []).unwrap();
    drop(bench.open());
    assert!(!plywood_sys::mountinfo::is_mounted(&mount.target).unwrap());
    bench.assert_no_leftovers();
    bench.hooks.keeps.store(false, Ordering::Relaxed);
}
