//! The rejected rows once more through the store: no layer is committed, staging is empty afterwards, and the error names the
//! layer, the entry and the reason.

use std::error::Error;
use std::io::{Cursor, Read};

use plywood_graph::{Durability, GraphError, Store, StoreOptions};
use plywood_graphdriver::ErrorKind;

use crate::canary::list;
use crate::crafted::{BLOCK, Crafted, Header, SIZE};
use crate::stage::{Stage, on_each_driver};

/// What is refused, by the row it belongs to, and what the error must say of it.
fn rejected() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let size = |value: i128| Crafted::new().file_with("f", b"", |header| header.base_256(SIZE, value)).end();
    let capability: &[(&str, &[u8])] = &[("SCHILY.xattr.security.capability", b"x")];
    let sparse: &[(&str, &[u8])] =
        &[("GNU.sparse.size", b"9"), ("GNU.sparse.numblocks", b"1"), ("GNU.sparse.map", b"8,512")];
    let deep = "d/".repeat(1024) + "f";
    vec![
        ("row 1", Crafted::new().file("a/../../x", b"").end(), "a/../../x"),
        ("row 3", Crafted::new().file("../dest-evil/secret", b"").end(), "../dest-evil/secret"),
        ("row 6", Crafted::new().symlink("l", "l").file("l/f", b"").end(), "ELOOP"),
        ("row 7", Crafted::new().symlink(".", "/").end(), "only a folder can be the root"),
        ("row 11", Crafted::new().hard_link("h", "/etc/passwd").end(), "/etc/passwd"),
        ("row 13", Crafted::new().hard_link("h", "later").file("later", b"").end(), "later"),
        ("row 14", Crafted::new().file("d/.wh.", b"").end(), "d/.wh."),
        ("row 15", Crafted::new().file("d/.wh...", b"").end(), "d/.wh..."),
        (
            "row 22",
            Crafted::new().pax(&[("path", b"a")]).extension(b'L', b"b\0").file("f", b"").end(),
            "PAX header",
        ),
        ("row 23", Crafted::new().pax(sparse).file("sparse", &[0; BLOCK]).end(), "past the size"),
        ("row 24", size(1 << 63), "`f`"),
        ("row 24", size(-1), "`f`"),
        (
            "row 25",
            Crafted::new().entry(Header::new(b'0', "f").octal(SIZE, 9999), b"x").cut(),
            "the tar ends within",
        ),
        (
            "row 26",
            Crafted::new().pax(&[("path", deep.as_bytes())]).file("f", b"").end(),
            "components of a path",
        ),
        ("row 27", Crafted::new().pax(capability).file("program", b"").end(), "program"),
    ]
}

/// The chain of causes, as a program would print it.
fn told(error: &GraphError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn with_store(play: impl Fn(&Stage, &Store)) {
    on_each_driver(|stage| {
        let root = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(stage.ownership);
        options.durability = Durability::None;
        let store = Store::open(&root.path().join("store"), stage.open_driver(), options).unwrap();
        play(stage, &store);
    });
}

fn apply(store: &Store, base: Option<&plywood_graphdriver::LayerId>, tar: &[u8]) -> Result<(), GraphError> {
    let bytes: Box<dyn Read + Send> = Box::new(Cursor::new(tar.to_vec()));
    store.apply_layer(base, bytes, &()).map(drop)
}

#[test]
fn a_refused_layer_leaves_nothing_in_the_store() {
    with_store(|stage, store| {
        let base: Box<dyn Read + Send> = Box::new(Cursor::new(Crafted::new().file("base", b"x").end()));
        let base = store.apply_layer(None, base, &()).unwrap();
        for (row, tar, reason) in rejected() {
            for parent in [None, Some(&base.id)] {
                let error = apply(store, parent, &tar).unwrap_err();
                let text = told(&error);
                assert!(text.contains(reason), "{row}: {text}");
                assert!(text.contains("layer "), "{row}: the layer is not told: {text}");
                let kinds = [ErrorKind::InvalidInput, ErrorKind::LimitExceeded];
                assert!(kinds.contains(&error.kind()), "{row}: {:?}: {text}", error.kind());
                let left: Vec<_> = store.layers().unwrap().into_iter().map(|record| record.id).collect();
                assert_eq!(left, std::slice::from_ref(&base.id), "{row}: a row is left");
                assert_eq!(
                    store.driver().layers().unwrap(),
                    std::slice::from_ref(&base.id),
                    "{row}: a folder is left"
                );
                for folder in ["recipes", "tmp"] {
                    let expected: &[String] = if folder == "recipes" { &[base.id.to_string()] } else { &[] };
                    assert_eq!(
                        list(&store.root().join(folder)).collect::<Vec<_>>(),
                        expected,
                        "{row}: {folder}"
                    );
                }
                stage.canary.assert_unchanged();
            }
        }
    });
}

#[test]
fn the_store_is_closed_to_others() {
    use std::os::unix::fs::MetadataExt;
    with_store(|_, store| {
        assert_eq!(std::fs::metadata(store.root()).unwrap().mode() & 0o7777, 0o700);
    });
}
