//! Rows 20, 21 and 22: extension headers that disagree with the header they belong to, or with each other.

use crate::crafted::{BLOCK, Crafted, Header, SIZE};
use crate::stage::{Refusal, on_each_driver};

#[test]
fn row_20_a_pax_size_covers_what_would_be_an_entry_without_it() {
    on_each_driver(|stage| {
        // Read with the header's size of 0, the payload is a header of its own.
        let smuggled = Crafted::new().file("smuggled", b"evil").cut();
        let size = smuggled.len().to_string();
        let mut carrier = Header::new(b'0', "carrier");
        carrier.octal(SIZE, 0);
        let tar = Crafted::new()
            .pax(&[("size", size.as_bytes())])
            .entry(&carrier, &smuggled)
            .file("after", b"a")
            .end();
        let layer = stage.accept(None, &tar);
        let tree = stage.seen(&layer);
        assert_eq!(tree.paths(), ["after", "carrier"]);
        assert_eq!(tree.content("carrier"), smuggled);
        assert_eq!(layer.applied.entries, 2);
    });
}

#[test]
fn row_21_a_pax_size_of_nothing_wins_over_the_headers() {
    on_each_driver(|stage| {
        let mut header = Header::new(b'0', "empty");
        header.octal(SIZE, 2 * BLOCK as u64);
        let tar = Crafted::new().pax(&[("size", b"0")]).entry(&header, b"").file("after", b"after").end();
        let layer = stage.accept(None, &tar);
        let tree = stage.seen(&layer);
        assert_eq!(tree.paths(), ["after", "empty"]);
        assert_eq!((tree.content("empty"), tree.content("after")), (&b""[..], &b"after"[..]));
        assert_eq!(layer.applied.entries, 2);
    });
}

#[test]
fn a_size_on_what_has_no_payload_hides_nothing() {
    on_each_driver(|stage| {
        let mut folder = Header::new(b'5', "d");
        folder.octal(SIZE, BLOCK as u64);
        let tar = Crafted::new()
            .entry(&folder, b"")
            .pax(&[("size", b"512")])
            .symlink("s", "d")
            .file("after", b"after")
            .end();
        assert_eq!(stage.seen(&stage.accept(None, &tar)).paths(), ["after", "d", "s"]);
    });
}

#[test]
fn row_22_a_pax_header_and_a_gnu_long_name_do_not_mix() {
    on_each_driver(|stage| {
        let refusal = Refusal::invalid("tar entry 0", "both a PAX header and a GNU long name");
        let records: &[(&str, &[u8])] = &[("path", b"from-pax")];
        for (typeflag, text) in [(b'L', &b"from-gnu\0"[..]), (b'K', b"target\0")] {
            let pax_first = Crafted::new().pax(records).extension(typeflag, text);
            let gnu_first = Crafted::new().extension(typeflag, text).pax(records);
            for tar in [pax_first, gnu_first] {
                stage.refuse(None, &tar.clone().file("plain", b"").end(), refusal);
                stage.refuse(None, &tar.symlink("plain", "x").end(), refusal);
            }
        }
    });
}

#[test]
fn row_22_two_headers_of_a_kind_and_headers_of_nothing_are_refused() {
    on_each_driver(|stage| {
        let twice = |tar: Crafted| tar.file("plain", b"").end();
        let pax = Crafted::new().pax(&[("path", b"a")]).pax(&[("path", b"b")]);
        stage.refuse(None, &twice(pax), Refusal::invalid("tar entry 0", "two PAX headers"));
        let long = Crafted::new().extension(b'L', b"a\0").extension(b'L', b"b\0");
        stage.refuse(None, &twice(long), Refusal::invalid("tar entry 0", "two GNU long names"));
        let alone = Crafted::new().file("f", b"").pax(&[("path", b"a")]).end();
        stage.refuse(None, &alone, Refusal::invalid("tar entry 1", "ends after an extension header"));
        let global = Crafted::new().extension(b'g', b"13 path=evil\n").file("plain", b"").end();
        stage.refuse(None, &global, Refusal::invalid("tar entry 0", "global record names or sizes"));
    });
}
