//! Row 24: numbers that are too large, or negative, for what they count.

use crate::crafted::{Crafted, GID, Header, MAJOR, MINOR, SIZE, UID};
use crate::stage::{Refusal, on_each_driver};

const TWO_TO_63: i128 = 1 << 63;
const INVALID: &str = "is not a valid number";

#[test]
fn row_24_a_size_that_no_file_has_is_refused() {
    on_each_driver(|stage| {
        for value in
            [TWO_TO_63, TWO_TO_63 * 2, i128::from(u64::MAX), TWO_TO_63 << 20, -1, -512, i128::from(i64::MIN)]
        {
            let tar = Crafted::new().file_with("f", b"", |header| header.base_256(SIZE, value)).end();
            stage.refuse(None, &tar, Refusal::invalid("`f`", INVALID));
        }
        for text in [
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999999",
            "-1",
            "1e3",
            "0x10",
            " 1",
        ] {
            let tar = Crafted::new().pax(&[("size", text.as_bytes())]).file("f", b"").end();
            stage.refuse(None, &tar, Refusal::invalid("tar entry 0", INVALID));
        }
        // An extension header's own size.
        let mut header = Header::new(b'x', "extension");
        header.base_256(SIZE, -512);
        let tar = Crafted::new().entry(&header, b"").file("f", b"").end();
        stage.refuse(None, &tar, Refusal::invalid("tar entry 0", INVALID));
    });
}

#[test]
fn row_24_the_largest_size_is_no_reason_to_set_anything_aside() {
    on_each_driver(|stage| {
        let tar =
            Crafted::new().file_with("f", b"content", |header| header.base_256(SIZE, TWO_TO_63 - 1)).end();
        stage.refuse(None, &tar, Refusal::invalid("`f`", "the tar ends within a payload"));
    });
}

#[test]
fn row_24_an_owner_of_more_than_32_bits_is_refused() {
    on_each_driver(|stage| {
        for field in [UID, GID] {
            // Eight bytes hold less than 2^62 in base-256.
            for value in [1 << 32, (1 << 32) + 1000, i128::from(u32::MAX), 1 << 61, -1, -2] {
                let field = field.clone();
                let tar = Crafted::new().file_with("f", b"", |header| header.base_256(field, value)).end();
                stage.refuse(None, &tar, Refusal::invalid("`f`", INVALID));
            }
        }
        for key in ["uid", "gid"] {
            // 2^32 would be cut to root; 2^32 - 1 means "unchanged" to chown(2).
            for text in ["4294967296", "4294968296", "4294967295", "18446744073709551616", "-1"] {
                let tar = Crafted::new().pax(&[(key, text.as_bytes())]).file("f", b"").end();
                stage.refuse(None, &tar, Refusal::invalid("tar entry 0", INVALID));
            }
        }
    });
}

#[test]
fn row_24_the_largest_owner_is_kept() {
    on_each_driver(|stage| {
        let tar = Crafted::new().pax(&[("uid", b"4294967294"), ("gid", b"4294967294")]).file("f", b"").end();
        let layer = stage.accept(None, &tar);
        if stage.keeps_owners() {
            assert_eq!(stage.seen(&layer).at("f").owner, (4_294_967_294, 4_294_967_294));
        }
    });
}

#[test]
fn row_24_a_device_number_that_linux_would_cut_is_refused() {
    on_each_driver(|stage| {
        for typeflag in [b'3', b'4'] {
            for (field, value) in [
                (MAJOR, 1 << 12),
                (MAJOR, 1 << 32),
                (MAJOR, (1 << 32) + 1),
                (MINOR, 1 << 20),
                (MINOR, 1 << 32),
                (MINOR, -1),
                (MAJOR, 1 << 61),
            ] {
                let mut header = Header::new(typeflag, "device");
                header.octal(MAJOR, 1).octal(MINOR, 3).base_256(field, value);
                stage.refuse(
                    None,
                    &Crafted::new().entry(&header, b"").end(),
                    Refusal::invalid("`device`", INVALID),
                );
            }
        }
    });
}

#[test]
fn row_24_digits_that_are_no_number_are_refused() {
    on_each_driver(|stage| {
        for text in [&b"8"[..], b"-7", b"7 7", b"0x7", b"7\x007"] {
            for field in [UID, SIZE] {
                let tar = Crafted::new().file_with("f", b"", |header| header.put(field.clone(), text)).end();
                stage.refuse(None, &tar, Refusal::invalid("`f`", INVALID));
            }
        }
        let mut block = Header::new(b'0', "f").block();
        block[0] = b'g';
        stage.refuse(None, &Crafted::new().raw(&block).end(), Refusal::invalid("tar entry 0", "checksum"));
    });
}
