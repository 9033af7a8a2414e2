//! Row 27: extended attributes that overlayfs would obey, and a capability that no kernel wrote.

use crate::crafted::Crafted;
use crate::look::Kind;
use crate::stage::{Layer, Refusal, Stage, on_each_driver, without_privilege};

fn with(records: &[(&str, &[u8])]) -> Crafted {
    let named: Vec<(String, &[u8])> =
        records.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), *value)).collect();
    Crafted::new().pax(&named.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>())
}

fn base(stage: &Stage) -> Layer {
    let tar = Crafted::new()
        .folder("d", 0o755)
        .file("d/kept", b"kept")
        .file("f", b"below")
        .folder("other", 0o755)
        .file("other/x", b"x");
    stage.accept(None, &tar.end())
}

/// Orders to overlayfs, had they been written as they are.
const ORDERS: [(&str, &[u8]); 7] = [
    ("opaque", b"y"),
    ("opaque", b"x"),
    ("redirect", b"/other"),
    ("metacopy", b""),
    ("origin", b"x"),
    ("impure", b"y"),
    ("whiteout", b"y"),
];

#[test]
fn row_27_attributes_of_overlayfs_are_data() {
    on_each_driver(|stage| {
        let base = base(stage);
        for prefix in ["trusted.overlay.", "user.overlay."] {
            for (order, value) in ORDERS {
                let name = format!("{prefix}{order}");
                let attribute: &[(&str, &[u8])] = &[(&name, value)];
                let tar = with(attribute).folder("d", 0o755).raw(&with(attribute).file("d/new", b"").cut());
                let layer = stage.accept(Some(&base), &tar.end());
                let tree = stage.seen(&layer);
                assert_eq!(tree.paths(), ["d", "d/kept", "d/new", "f", "other", "other/x"], "{name}");
                assert_eq!((tree.content("d/kept"), tree.at("d/new").kind), (&b"kept"[..], Kind::File));
                assert_attribute(stage, &layer, "d", &name, value);
                assert_attribute(stage, &layer, "d/new", &name, value);
            }
        }
    });
}

/// The attribute is seen under its name, and written so that no overlayfs takes it for its own.
#[track_caller]
fn assert_attribute(stage: &Stage, layer: &Layer, path: &str, name: &str, value: &[u8]) {
    let raw = stage.raw(layer).at(path).attributes.clone();
    let skipped = layer.applied.skipped.xattrs > 0;
    let escaped = name.replacen("overlay.", "overlay.overlay.", 1);
    if stage.is_overlay() {
        assert_eq!(raw.get(name), None, "{path}: {name} is raw");
        assert_eq!(raw.get(&escaped).map(Vec::as_slice), Some(value), "{path}: {escaped} among {raw:?}");
    }
    // Overlayfs shows escaped attributes of the namespace that it uses itself; `user.` takes the option userxattr.
    let shown =
        if stage.is_overlay() && name.starts_with("user.") && stage.keeps_owners() { &escaped } else { name };
    let seen = stage.seen(layer).at(path).attributes.clone();
    assert!(skipped || seen.get(shown).map(Vec::as_slice) == Some(value), "{path}: {shown} among {seen:?}");
}

#[test]
fn row_27_attributes_of_overlayfs_on_the_root_and_on_links_are_data() {
    on_each_driver(|stage| {
        let base = base(stage);
        let tar = with(&[("trusted.overlay.opaque", b"y")])
            .folder("./", 0o755)
            .raw(&with(&[("trusted.overlay.redirect", b"/other")]).symlink("l", "d").cut())
            .end();
        let layer = stage.accept(Some(&base), &tar);
        let tree = stage.seen(&layer);
        assert_eq!(tree.paths(), ["d", "d/kept", "f", "l", "other", "other/x"]);
        assert_attribute(stage, &layer, "", "trusted.overlay.opaque", b"y");
    });
}

#[test]
fn row_27_the_other_spelling_of_attributes_is_escaped_too() {
    on_each_driver(|stage| {
        let base = base(stage);
        // `y` in base64.
        let tar = Crafted::new()
            .pax(&[("LIBARCHIVE.xattr.trusted.overlay.opaque", b"eQ")])
            .folder("d", 0o755)
            .end();
        let layer = stage.accept(Some(&base), &tar);
        assert!(stage.seen(&layer).has("d/kept"));
        assert_attribute(stage, &layer, "d", "trusted.overlay.opaque", b"y");
    });
}

#[test]
fn row_27_an_escaped_attribute_of_a_layer_is_escaped_once_more() {
    on_each_driver(|stage| {
        let base = base(stage);
        let layer = stage
            .accept(Some(&base), &with(&[("trusted.overlay.overlay.opaque", b"y")]).folder("d", 0o755).end());
        assert!(stage.seen(&layer).has("d/kept"));
        assert_attribute(stage, &layer, "d", "trusted.overlay.overlay.opaque", b"y");
    });
}

#[test]
fn row_27_a_capability_that_no_kernel_wrote_is_refused() {
    let revision = |number: u8, length: usize| {
        let mut value = vec![0_u8; length];
        value[3] = number;
        value
    };
    let mut reserved = revision(2, 20);
    reserved[1] = 1;
    let cases = [
        vec![],
        vec![1],
        vec![0; 20],
        revision(1, 20),
        revision(2, 12),
        revision(2, 19),
        revision(2, 21),
        revision(2, 24),
        revision(3, 20),
        revision(3, 25),
        revision(4, 24),
        revision(0xff, 24),
        reserved,
        b"cap_sys_admin+ep".to_vec(),
    ];
    on_each_driver(|stage| {
        for value in &cases {
            let tar = with(&[("security.capability", value)]).file("program", b"#!").end();
            stage.refuse(None, &tar, Refusal::invalid("program", "security.capability"));
        }
        let tar = with(&[("security.capability", &revision(2, 20))]).file("program", b"#!").end();
        let layer = stage.accept(None, &tar);
        let kept = stage.seen(&layer).at("program").attributes.contains_key("security.capability");
        assert!(kept || layer.applied.skipped.xattrs == 1);
    });
}

#[test]
fn row_27_other_attributes_of_the_machine_are_refused_or_left_out() {
    on_each_driver(|stage| {
        let tar = with(&[("trusted.machine", b"x")]).file("f", b"").end();
        stage.refuse(None, &tar, Refusal::invalid("f", "trusted.machine"));
        for name in [
            "security.selinux",
            "security.ima",
            "security.evm",
            "security.apparmor",
            "system.nfs4_acl",
            "odd",
        ] {
            let layer = stage.accept(None, &with(&[(name, b"x")]).file("f", b"").end());
            assert_eq!(layer.applied.skipped.xattrs, 1, "{name}");
            assert_eq!(stage.raw(&layer).at("f").attributes.len(), 0, "{name}");
        }
    });
}

#[test]
fn row_27_without_privilege_what_takes_it_is_left_out_and_counted() {
    without_privilege(|stage| {
        let base = base(stage);
        let tar =
            with(&[("trusted.overlay.opaque", b"y"), ("user.overlay.opaque", b"y")]).folder("d", 0o755).end();
        let layer = stage.accept(Some(&base), &tar);
        assert_eq!(layer.applied.skipped.xattrs, 1);
        assert!(stage.seen(&layer).has("d/kept"));
        let refused = with(&[("security.capability", b"x")]).file("program", b"#!").end();
        stage.refuse(None, &refused, Refusal::invalid("program", "security.capability"));
    });
}
