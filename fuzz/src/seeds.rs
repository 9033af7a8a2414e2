//! The seeds that are made rather than found: `make-seeds` writes them, always the same.

use std::io::Write;

use plywood_archive::compression::{Compression, Compressor};
use plywood_archive::digest::Digest;

use crate::layers::{self, ENTRY_BYTES, Elsewhere};
use crate::pieces;
use crate::property::recipe::HEAD_BYTES;

/// A seed: the target, a telling name, the input.
pub type Seed = (&'static str, String, Vec<u8>);

/// All of them.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, name: &str, input: Vec<u8>| seeds.push((target, name.to_owned(), input));
    for (name, tar) in tars() {
        add("tar_bytes", &name, tar.clone());
        add("tar_differential", &name, tar.clone());
        add("recipe", &name, [&numbered(name.as_bytes(), HEAD_BYTES), &tar[..]].concat());
        for (format, ending) in [(Compression::Gzip, "gz"), (Compression::Zstd, "zst")] {
            add("decompress", &format!("{name}.{ending}"), packed(&tar, format));
        }
    }
    for (name, packed) in odd_streams() {
        add("decompress", name, packed);
    }
    for (name, script) in scripts() {
        add("apply_canary", name, script.clone());
        add("apply_diff_apply", name, script);
    }
    for number in 0..8_u8 {
        let script = numbered(&[b'l', number], 24 * ENTRY_BYTES);
        add("apply_canary", &format!("numbered-{number}"), script.clone());
        add("apply_diff_apply", &format!("numbered-{number}"), script);
        add(
            "tar_entries",
            &format!("right-{number}"),
            [&[0, number], &numbered(&[b'e', number], 400)[..]].concat(),
        );
    }
    for fault in 0..23_u8 {
        let input = [&[2 * fault + 1, 0], &numbered(&[b'f', fault], 60)[..]].concat();
        add("tar_entries", &format!("fault-{fault:02}"), input);
    }
    for (name, document) in DOCUMENTS {
        add(
            "documents",
            name,
            document.replace("DIGEST", &format!("sha256:{}", "ab".repeat(32))).into_bytes(),
        );
    }
    for (name, changes) in DATABASES {
        add("store_database", name, changes.to_vec());
    }
    for (name, options) in OPTIONS {
        add("mount_options", name, options.to_vec());
    }
    seeds
}

/// Bytes without a pattern, the same for the same name.
fn numbered(name: &[u8], count: usize) -> Vec<u8> {
    let block = |number: u32| *Digest::of(&[name, &number.to_le_bytes()].concat()).as_bytes();
    (0..).flat_map(block).take(count).collect()
}

/// Small archives of every dialect, and what the layers' seeds become.
fn tars() -> Vec<(String, Vec<u8>)> {
    let mut tars = vec![("empty".to_owned(), Vec::new()), ("end-only".to_owned(), vec![0; 1024])];
    for number in 0..10_u8 {
        let input = [&[0, number], &numbered(&[b't', number], 200)[..]].concat();
        tars.push((format!("entries-{number}"), pieces::build(&input).tar));
    }
    let elsewhere = Elsewhere { outside: "/outside".to_owned(), far: "/far".to_owned() };
    for (name, script) in scripts() {
        tars.push((name.to_owned(), layers::tars(&script, &elsewhere).swap_remove(0)));
    }
    tars
}

fn packed(plain: &[u8], format: Compression) -> Vec<u8> {
    let mut compressor = Compressor::new(Vec::new(), format, None).unwrap();
    compressor.write_all(plain).unwrap();
    compressor.finish().unwrap()
}

fn odd_streams() -> Vec<(&'static str, Vec<u8>)> {
    let gzip = packed(b"some text, some text", Compression::Gzip);
    let zstd = packed(b"some text, some text", Compression::Zstd);
    let zeros = packed(&vec![0; 3 << 20], Compression::Gzip);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    vec![
        ("plain", b"not packed at all".to_vec()),
        ("two-members", gzip.repeat(2)),
        ("two-frames", zstd.repeat(2)),
        ("member-and-zeros", [&gzip[..], &[0; 512]].concat()),
        ("member-and-garbage", [&gzip[..], b"garbage"].concat()),
        ("member-zeros-member", [&gzip[..], &[0; 3], &gzip].concat()),
        ("cut-member", gzip[..gzip.len() - 3].to_vec()),
        ("cut-frame", zstd[..zstd.len() - 3].to_vec()),
        ("skippable-frame", [&skippable[..], &zstd].concat()),
        ("large-window", vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 1, 0, 0]),
        ("zeros-past-the-limit", zeros),
        ("xz", b"\xfd7zXZ\0\0\x04".to_vec()),
        ("gzip-with-name", [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], b"name\0", &gzip[10..]].concat()),
    ]
}

/// Layers by hand; `layers.rs` says what the bytes mean.
fn scripts() -> Vec<(&'static str, Vec<u8>)> {
    /// Kinds, and paths of one or two names: `a` 0, `b` 1, `link` 7, `..` 12, `.wh.a` 14, `.wh..wh..opq` 18.
    const FILE: u8 = 0;
    const FOLDER: u8 = 4;
    const SYMLINK: u8 = 7;
    const HARD_LINK: u8 = 10;
    const FIFO: u8 = 13;
    const DEVICE: u8 = 14;
    const NEXT: [u8; ENTRY_BYTES] = [15, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let entry = |kind, first, second, content, attribute, target: [u8; 2]| -> [u8; ENTRY_BYTES] {
        [kind, first, second, 0, 1, content, attribute, target[0], target[1], 16]
    };
    let in_folder = |name: u8| 0x80 | name;
    let nothing = [20, 0];
    let none = 0xff;
    vec![
        (
            "files-and-folders",
            [entry(FOLDER, 0, 0, 0, none, nothing), entry(FILE, 0, in_folder(1), 6, 0, nothing)].concat(),
        ),
        (
            "write-through-link",
            [entry(SYMLINK, 7, 0, 0, none, [0, 0]), entry(FILE, 7, in_folder(26), 6, none, nothing)].concat(),
        ),
        (
            "link-below-then-file",
            [entry(SYMLINK, 7, 0, 0, none, [2, 0]), NEXT, entry(FILE, 7, in_folder(26), 6, none, nothing)]
                .concat(),
        ),
        (
            "hard-link-outside",
            [entry(HARD_LINK, 0, 0, 0, none, [1, 0]), entry(FILE, 0, 0, 6, none, nothing)].concat(),
        ),
        (
            "hard-link-to-lower",
            [entry(FILE, 1, 0, 6, 0, nothing), NEXT, entry(HARD_LINK, 0, 0, 0, none, [12 + 21, 0])].concat(),
        ),
        (
            "climbing-names",
            [
                entry(FILE, (2 << 5) + 25, in_folder(26), 6, none, nothing),
                entry(FILE, 12, in_folder(12), 6, none, nothing),
            ]
            .concat(),
        ),
        (
            "whiteouts",
            [
                entry(FOLDER, 11, 0, 0, none, nothing),
                entry(FILE, 11, in_folder(0), 2, none, nothing),
                entry(FILE, 0, 0, 2, none, nothing),
                NEXT,
                entry(FILE, 14, 0, 0, none, nothing),
                entry(FILE, 11, in_folder(18), 0, none, nothing),
                entry(FILE, 11, in_folder(1), 3, none, nothing),
            ]
            .concat(),
        ),
        (
            "opaque-root",
            [entry(FILE, 0, 0, 2, none, nothing), NEXT, entry(FILE, 18, 0, 0, none, nothing)].concat(),
        ),
        (
            "twice",
            [
                entry(FILE, 0, 0, 6, none, nothing),
                entry(FILE, 0, 0, 2, none, nothing),
                entry(FOLDER, 0, 0, 0, none, nothing),
            ]
            .concat(),
        ),
        ("holes", [entry(FILE, 0, 0, 0x88, none, nothing), entry(FILE, 1, 0, 0x98, none, nothing)].concat()),
        (
            "attributes",
            (0..14).map(|number| entry(FILE, number % 4, 0, 1, number, nothing)).collect::<Vec<_>>().concat(),
        ),
        (
            "overlay-attributes-of-a-folder",
            (5..11)
                .map(|number| entry(FOLDER, number % 4, 0, 1, number, nothing))
                .collect::<Vec<_>>()
                .concat(),
        ),
        (
            "devices",
            [
                entry(DEVICE, 0, 0, 0, none, nothing),
                entry(DEVICE, 1, 0, 1, none, nothing),
                entry(FIFO, 2, 0, 0, none, nothing),
            ]
            .concat(),
        ),
    ]
}

const DOCUMENTS: [(&str, &str); 9] = [
    (
        "manifest",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"DIGEST","size":7},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"DIGEST","size":1,"annotations":{"a":"b"}}],"annotations":{"k":"v"}}"#,
    ),
    (
        "manifest-of-docker",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"DIGEST","size":7},"layers":null}"#,
    ),
    (
        "index",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"DIGEST","size":7,"annotations":{"org.opencontainers.image.ref.name":"n"},"platform":{"architecture":"arm64","os":"linux","variant":"v8"}}]}"#,
    ),
    ("index-with-null", r#"{"schemaVersion":2,"manifests":null,"other":[1.5e300,{"x":"\ud83d\ude00"}]}"#),
    (
        "both",
        r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{"mediaType":"m","digest":"DIGEST","size":1}}"#,
    ),
    (
        "config",
        r#"{"created":"2026-01-01T00:00:00.5Z","author":"me","architecture":"amd64","os":"linux","variant":"v2","config":{"User":"u","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Entrypoint":["/e"],"Cmd":["c"],"Volumes":{"/v":{}},"WorkingDir":"/w","Labels":{"l":"m"},"StopSignal":"TERM"},"rootfs":{"type":"layers","diff_ids":["DIGEST"]},"history":[{"created":"2026-01-01T00:00:00Z","created_by":"run","author":"x","comment":"y","empty_layer":true}]}"#,
    ),
    (
        "config-with-null",
        r#"{"created":null,"config":null,"history":null,"rootfs":{"type":"layers","diff_ids":null},"container_config":{"a":1}}"#,
    ),
    (
        "deep",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ),
    ("twice", r#"{"schemaVersion":2,"schemaVersion":1,"config":{},"rootfs":{"type":"layers"},"rootfs":{}}"#),
];

/// Page, place, action, four bytes; `store_database.rs` says what they mean.
const DATABASES: [(&str, &[u8]); 8] = [
    ("untouched", &[]),
    ("cut-to-nothing", &[0, 0, 0, 0, 0, 0, 0, 0]),
    ("cut-in-half", &[8, 0, 0, 0, 0, 0, 0, 0]),
    ("no-magic", &[0, 0, 0, 2, 0, 0, 0, 0]),
    ("version", &[0, 63, 0, 2, 9, 0, 0, 0]),
    ("page-doubled", &[3, 0, 0, 1, 5, 0, 0, 0]),
    ("end-of-a-page", &[5, 0xf0, 0x0f, 6, 0xff, 0xff, 0xff, 0xff, 5, 0xe0, 0x0f, 3, 1, 0, 0, 0]),
    ("cell-pointers", &[4, 3, 0, 2, 0xff, 0, 0, 0, 4, 8, 0, 3, 0x80, 0, 0, 0]),
];

const OPTIONS: [(&str, &[u8]); 9] = [
    ("plain", b"\x08lower\0other"),
    ("separators", b"\x08a:b\0c,d\0e\\f\0g=h"),
    ("writable", b"\x09lower\0upper\0work"),
    ("writable-separators", b"\x09l\\:\0u,\\\0w\\\\,:"),
    ("spaces-and-newlines", b"\x08a b\0c\nd\0e\tf\0\"g\"\0'"),
    ("no-utf-8", b"\x08\xff\xfe\0\x80"),
    ("label", b"\x02lower\0other"),
    ("label-with-categories", b"\x04lower\0other"),
    ("label-and-comma", b"\x04low,er\0\"other"),
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use crate::property;

    /// Without libFuzzer, and so with any compiler: every seed keeps its property. One thread, as the sandbox is a thread's.
    #[test]
    fn every_seed_keeps_its_property() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 10] = [
            ("tar_bytes", property::tar_bytes::check),
            ("tar_entries", property::tar_entries::check),
            ("tar_differential", property::tar_differential::check),
            ("decompress", property::decompress::check),
            ("documents", property::documents::check),
            ("mount_options", property::mount_options::check),
            ("store_database", property::store_database::check),
            ("recipe", property::recipe::check),
            ("apply_canary", property::apply_canary::check),
            ("apply_diff_apply", property::apply_diff_apply::check),
        ];
        let only = std::env::var("TARGET").ok();
        for (target, check) in
            targets.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
        {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
            let mut seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
            seeds.sort();
            assert!(seeds.len() > 5, "{target} has few seeds");
            for seed in seeds {
                println!("{}", seed.display());
                check(&fs::read(seed).unwrap());
            }
        }
    }
}
