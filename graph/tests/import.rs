//! Importing images.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::Bench;
use common::driver::Fake;
use common::images::{Image, Log, NoSource, image, image_of, reference, tar};
use plywood_archive::digest::Digest;
use plywood_graph::{Blob, Durability, GraphError, LayerSource, Store, StoreOptions};
use plywood_graphdriver::{ErrorKind, Ownership};

fn import(store: &Store, image: &Image) {
    store.import_image(&image.plan, image, &()).unwrap();
}

#[test]
fn an_image_comes_out_as_it_went_in() {
    for in_order in [false, true] {
        for resettles in [false, true] {
            let bench = Bench::new();
            bench.hooks.in_order.store(in_order, Ordering::Relaxed);
            bench.hooks.resettles.store(resettles, Ordering::Relaxed);
            let store = bench.open();
            let image = image("app", &["one", "two", "three"]);
            let log = Log::default();
            let imported = store.import_image(&image.plan, &image, &log).unwrap();
            assert_eq!((imported.layers_unpacked, imported.layers_reused), (3, 0));
            assert!(
                log.has("started 1") && log.has("done 2") && log.has("committing 3") && log.has("advanced 0")
            );

            let record = store.image("app").unwrap();
            assert_eq!(record.id, Digest::of(&image.plan.config));
            assert_eq!(record.manifest_digest, Digest::of(&image.plan.manifest));
            assert_eq!(record.layers.len(), 3);
            for (layer, tar) in record.layers.iter().zip(&image.tars) {
                let mut rebuilt = Vec::new();
                let measured = store.layer_tar(&layer.id, &mut rebuilt).unwrap();
                assert!(rebuilt == *tar && Some(measured.digest) == layer.diff_id);
            }
            assert_eq!(bench.recipes().len(), 3, "a second recipe took the place of the first");
            let sealed = bench.hooks.sealed.lock().unwrap().clone();
            let ids: Vec<_> = record.layers.iter().map(|layer| layer.id.clone()).collect();
            assert_eq!(sealed, ids, "sealed bottom-up");
            let nearest_first: Vec<_> = ids[..2].iter().rev().cloned().collect();
            assert_eq!(store.chain(&ids[2]).unwrap(), nearest_first);
            bench.assert_no_leftovers();
        }
    }
}

#[test]
fn a_durable_store_works_the_same() {
    let bench = Bench::new();
    let driver = Fake::open(&bench.folder.path().join("layers"), Arc::clone(&bench.hooks));
    let options = StoreOptions::new(Ownership::Caller);
    assert_eq!(options.durability, Durability::Full, "the default");
    let store = Store::open(&bench.root(), Box::new(driver), options).unwrap();
    import(&store, &image("app", &["one", "two"]));
    store.create_container(Some("app"), Some("web")).unwrap();
    assert_eq!(bench.open().layers().unwrap().len(), 3);
}

#[test]
fn what_is_there_is_not_read_again() {
    let bench = Bench::new();
    let store = bench.open();
    let first = image("app", &["one", "two"]);
    import(&store, &first);
    let again = store.import_image(&first.plan, &NoSource, &()).unwrap();
    assert_eq!((again.layers_unpacked, again.layers_reused), (0, 2));

    let other = image("other", &["one", "three"]);
    let log = Log::default();
    let imported = store.import_image(&other.plan, &other, &log).unwrap();
    assert_eq!((imported.layers_unpacked, imported.layers_reused), (1, 1));
    assert!(log.has("reused 0") && !log.has("started 0"));
    assert_eq!(store.image("app").unwrap().layers[0].id, store.image("other").unwrap().layers[0].id);
    assert_eq!(bench.count("layers"), 3);
}

#[test]
fn a_present_image_gets_the_names() {
    let bench = Bench::new();
    let store = bench.open();
    let mut app = image("app", &["one"]);
    import(&store, &app);
    app.plan.names = vec![reference("app:2")];
    store.import_image(&app.plan, &NoSource, &()).unwrap();
    let newer = image("app", &["newer"]);
    import(&store, &newer);
    assert_eq!(store.image("app:2").unwrap().id, Digest::of(&app.plan.config));
    assert_eq!(store.image("app").unwrap().id, Digest::of(&newer.plan.config), "the name moved");
    assert_eq!(store.images().unwrap().len(), 2);
}

#[test]
fn equal_layers_and_no_layers_are_fine() {
    let bench = Bench::new();
    let store = bench.open();
    import(&store, &image("twice", &["same", "same"]));
    let record = store.image("twice").unwrap();
    assert_ne!(record.layers[0].id, record.layers[1].id, "another chain is another layer");
    import(&store, &image("none", &[]));
    assert_eq!(store.image("none").unwrap().layers, []);
}

#[test]
fn two_imports_at_once_unpack_each_layer_once() {
    for in_order in [false, true] {
        let bench = Bench::new();
        bench.hooks.in_order.store(in_order, Ordering::Relaxed);
        *bench.hooks.before_apply.lock().unwrap() =
            Some(Arc::new(|| std::thread::sleep(Duration::from_millis(50))));
        let image = image("app", &["one", "two", "three"]);
        let barrier = Barrier::new(4);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let store = bench.open();
                        barrier.wait();
                        store.import_image(&image.plan, &image, &()).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(bench.hooks.applied.load(Ordering::Relaxed), 3);
        assert_eq!(answers.iter().map(|answer| answer.layers_unpacked).sum::<usize>(), 3);
        assert_eq!(bench.count("layers"), 3);
        bench.assert_no_leftovers();
    }
}

#[test]
fn imports_that_cross_all_end() {
    let bench = Bench::new();
    let images: Vec<Image> =
        [vec!["a", "b", "c"], vec!["a", "b", "d"], vec!["a", "e"], vec!["a", "b", "c", "f"]]
            .iter()
            .enumerate()
            .map(|(index, contents)| image(&format!("app{index}"), contents))
            .collect();
    std::thread::scope(|scope| {
        for image in &images {
            scope.spawn(|| import(&bench.open(), image));
        }
    });
    assert_eq!(bench.hooks.applied.load(Ordering::Relaxed), 6);
    assert_eq!(bench.open().images().unwrap().len(), 4);
}

#[test]
fn an_import_takes_over_from_one_that_fails() {
    let bench = Bench::new();
    let image = image("app", &["one", "two"]);
    let log = Arc::new(Log::default());
    let (other, hooks) = (Arc::clone(&log), Arc::clone(&bench.hooks));
    // The first import fails once the second waits for it; when the second unpacks, the disk has room again.
    *bench.hooks.fails_at.lock().unwrap() = Some("file".to_owned());
    *bench.hooks.before_apply.lock().unwrap() = Some(Arc::new(move || {
        if other.has("started 0") || other.has("started 1") {
            *hooks.fails_at.lock().unwrap() = None;
        }
        while !other.has("waiting 0") {
            std::thread::yield_now();
        }
    }));
    std::thread::scope(|scope| {
        let failing = bench.open();
        let failing = scope.spawn(|| {
            let store = failing;
            store.import_image(&image.plan, &image, &())
        });
        while bench
            .records()
            .query_row("SELECT count(*) FROM layers", [], |row| row.get::<_, i64>(0))
            .unwrap()
            < 2
        {
            std::thread::yield_now();
        }
        let imported = bench.open().import_image(&image.plan, &image, &*log).unwrap();
        assert_eq!(imported.layers_unpacked, 2);
        assert_eq!(failing.join().unwrap().unwrap_err().kind(), ErrorKind::NoSpace);
    });
    assert_eq!(bench.folders().len(), 2);
    bench.assert_no_leftovers();
}

#[test]
fn a_failure_leaves_nothing() {
    for in_order in [false, true] {
        let bench = Bench::new();
        bench.hooks.in_order.store(in_order, Ordering::Relaxed);
        let store = bench.open();
        *bench.hooks.fails_at.lock().unwrap() = Some("bad".to_owned());
        let layers = vec![tar(&[("good", "1")]), tar(&[("bad", "2")]), tar(&[("fine", "3")])];
        let image = image_of("app", layers);
        let error = store.import_image(&image.plan, &image, &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        bench.assert_empty();
    }
}

#[test]
fn wrong_bytes_are_refused_by_name() {
    let bench = Bench::new();
    let store = bench.open();
    let good = image("app", &["one", "two"]);

    let mut wrong = image("app", &["one", "two"]);
    wrong.packed[1] = image("app", &["TWO"]).packed.remove(0);
    wrong.plan.layers[1].packed = Some(Blob {
        digest: good.plan.layers[1].packed.unwrap().digest,
        size_bytes: wrong.packed[1].len() as u64,
    });
    match store.import_image(&wrong.plan, &wrong, &()).unwrap_err() {
        GraphError::DigestMismatch { what, expected, actual } => {
            assert!(what.starts_with("layer 1 ") && what.ends_with("packed"), "{what}");
            assert_eq!(
                (expected, actual),
                (good.plan.layers[1].packed.unwrap().digest, Digest::of(&wrong.packed[1]))
            );
        }
        other => panic!("{other:?}"),
    }
    bench.assert_empty();

    wrong.plan.layers[1].packed = None;
    match store.import_image(&wrong.plan, &wrong, &()).unwrap_err() {
        GraphError::DigestMismatch { what, expected, .. } => {
            assert!(what.ends_with("unpacked"), "{what}");
            assert_eq!(expected, good.plan.layers[1].diff_id);
        }
        other => panic!("{other:?}"),
    }
    bench.assert_empty();
}

#[test]
fn sizes_are_exact() {
    let bench = Bench::new();
    let store = bench.open();
    let mut long = image("app", &["one"]);
    long.packed[0].extend_from_slice(&[0; 512]);
    let error = store.import_image(&long.plan, &long, &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    let mut short = image("app", &["one"]);
    short.plan.layers[0].packed.as_mut().unwrap().size_bytes += 1;
    let error = store.import_image(&short.plan, &short, &()).unwrap_err();
    assert!(matches!(error, GraphError::SizeMismatch { .. }), "{error:?}");
    bench.assert_empty();
}

/// Counts what is read of a layer that does not end where it should.
struct Overlong(Vec<u8>, Arc<AtomicU64>);

impl LayerSource for Overlong {
    fn open(&self, _index: usize) -> io::Result<Box<dyn Read + Send>> {
        let rest = Counted(io::repeat(0).take(256 << 20), Arc::clone(&self.1));
        Ok(Box::new(io::Cursor::new(self.0.clone()).chain(rest)))
    }
}

struct Counted(io::Take<io::Repeat>, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[test]
fn what_comes_after_the_announced_size_is_not_read_to_its_end() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one"]);
    let read = Arc::new(AtomicU64::new(0));
    store.import_image(&image.plan, &Overlong(image.packed[0].clone(), Arc::clone(&read)), &()).unwrap_err();
    assert!(read.load(Ordering::Relaxed) < 4 << 20, "{read:?} bytes read");
    bench.assert_empty();
}

#[test]
fn the_config_has_to_name_the_layers() {
    let bench = Bench::new();
    let store = bench.open();
    let mut image = image("app", &["one", "two"]);
    image.plan.layers.pop();
    let error = store.import_image(&image.plan, &image, &()).unwrap_err();
    assert!(error.to_string().contains("names 2 layers, and 1"), "{error}");
    bench.assert_empty();
}

#[test]
fn a_source_that_fails_is_told() {
    let bench = Bench::new();
    let store = bench.open();
    let image = image("app", &["one"]);
    let error = store.import_image(&image.plan, &NoSource, &()).unwrap_err();
    assert!(matches!(error, GraphError::Source { .. }), "{error:?}");
    bench.assert_empty();
}
