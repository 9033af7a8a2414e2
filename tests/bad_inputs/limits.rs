//! Row 26: more of anything than a layer may have.

use std::io::{Cursor, Read};

use plywood_graphdriver::ErrorKind;

use crate::crafted::{Crafted, Header};
use crate::stage::{Refusal, on_each_driver, told};

#[test]
fn row_26_more_than_two_million_entries_are_too_many() {
    // Bookkeeping of AUFS is skipped: the entries cost nothing but their headers.
    let block = Header::new(b'0', ".wh..wh.plnk").block();
    on_each_driver(|stage| {
        let error =
            stage.unpack_from(None, &mut || Box::new(Repeated::new(&block, 2_000_001)), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded);
        assert!(told(&error).contains("more than 2000000 entries"), "{}", told(&error));
        assert!(told(&error).contains("tar entry 2000000"), "{}", told(&error));
        assert!(stage.layers().is_empty());
    });
}

#[test]
fn row_26_names_too_deep_or_too_long_are_refused() {
    on_each_driver(|stage| {
        let named = |name: &str| Crafted::new().pax(&[("path", name.as_bytes())]).file("short", b"").end();
        let long = |name: &str| Crafted::new().extension(b'L', name.as_bytes()).file("short", b"").end();
        let component = "n".repeat(64 << 10);
        for (name, reason) in [
            ("d/".repeat(10_000) + "f", "more than 4096 bytes of path"),
            ("d/".repeat(1024) + "f", "more than 1024 components"),
            (component.clone(), "more than 4096 bytes of path"),
            (format!("d/{}", &component[..256]), "more than 255 bytes in a component"),
            (format!("d/{}", component[..4095].replace("nn", "n/")), "more than"),
        ] {
            stage.refuse(None, &named(&name), Refusal::limit("tar entry 0", reason));
            let expected = if name.len() > 4097 { "more than 4097 bytes of path" } else { reason };
            stage.refuse(None, &long(&name), Refusal::limit("tar entry 0", expected));
            if name.len() > 4097 {
                continue;
            }
            let target = Crafted::new().pax(&[("linkpath", name.as_bytes())]).hard_link("h", "x").end();
            stage.refuse(None, &target, Refusal::limit("`h`", "more than"));
        }
        let target = Crafted::new().pax(&[("linkpath", component.as_bytes())]).symlink("s", "x").end();
        stage.refuse(None, &target, Refusal::limit("`s`", "more than 4096 bytes of link target"));
    });
}

#[test]
fn row_26_the_deepest_and_longest_names_get_through() {
    // The walks of a tree go a level down by calling themselves: unoptimised, each of 1,024 levels takes 4 KiB and more.
    let played =
        std::thread::Builder::new().stack_size(16 << 20).spawn(play_deepest_and_longest).unwrap().join();
    played.unwrap();
}

fn play_deepest_and_longest() {
    on_each_driver(|stage| {
        let deep = "d/".repeat(1023) + "f";
        let wide = "n".repeat(255);
        let tar = Crafted::new()
            .pax(&[("path", deep.as_bytes())])
            .file("short", b"deep")
            .pax(&[("path", wide.as_bytes())])
            .file("short", b"wide")
            .end();
        let tree = stage.seen(&stage.accept(None, &tar));
        assert_eq!((tree.content(&deep), tree.content(&wide)), (&b"deep"[..], &b"wide"[..]));
    });
}

#[test]
fn row_26_attributes_too_long_are_refused() {
    on_each_driver(|stage| {
        let with = |name: &str, value: &[u8]| {
            Crafted::new().pax(&[(&format!("SCHILY.xattr.{name}"), value)]).file("f", b"").end()
        };
        let name = format!("user.{}", "x".repeat(295));
        stage.refuse(None, &with(&name, b""), Refusal::limit("`f`", "bytes in an extended attribute's name"));
        let value = vec![b'x'; (64 << 10) + 1];
        stage.refuse(
            None,
            &with("user.x", &value),
            Refusal::limit("`f`", "bytes in an extended attribute's value"),
        );
        let value = vec![b'x'; 60 << 10];
        let names: Vec<String> = (0..5).map(|number| format!("SCHILY.xattr.user.{number}")).collect();
        let records: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), value.as_slice())).collect();
        let many = Crafted::new().pax(&records).file("f", b"").end();
        stage.refuse(None, &many, Refusal::limit("`f`", "bytes of extended attributes"));
        let value = vec![b'x'; 1 << 20];
        let block = Crafted::new().pax(&[("comment", &value)]).file("f", b"").end();
        stage.refuse(None, &block, Refusal::limit("tar entry 0", "bytes of PAX records"));
    });
}

#[test]
fn row_26_an_attribute_that_is_too_long_once_it_is_escaped_is_a_limit_too() {
    on_each_driver(|stage| {
        let name = format!("SCHILY.xattr.trusted.overlay.{}", "x".repeat(239));
        let tar = Crafted::new().pax(&[(&name, b"")]).file("f", b"").end();
        if stage.is_overlay() {
            stage.refuse(None, &tar, Refusal::limit("/f", "bytes in an extended attribute's name"));
        } else {
            stage.accept(None, &tar);
        }
    });
}

/// A block again and again, without holding more than one.
struct Repeated {
    block: Cursor<Vec<u8>>,
    left: u64,
}

impl Repeated {
    /// The block is doubled up to 64 KiB, so that each read gives more.
    fn new(block: &[u8], count: u64) -> Self {
        Self { block: Cursor::new(block.repeat(128)), left: count * block.len() as u64 }
    }
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.block.position() == self.block.get_ref().len() as u64 {
            self.block.set_position(0);
        }
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.block.read(&mut buffer[..limit])?;
        self.left -= count as u64;
        Ok(count)
    }
}
