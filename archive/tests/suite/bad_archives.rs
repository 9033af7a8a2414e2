//! Archives that must be refused, with the right kind of error; and odd ones that must not.

use plywood_archive::tar::{Kind, Limits, Segment, TarErrorKind, TarReader};

use crate::fixtures::{Block, archive, extension, file, header, padded, pax, read, read_all, record};

fn refused(bytes: &[u8]) -> TarErrorKind {
    let error = read(bytes).expect_err("the archive was accepted");
    assert!(!error.is_io(), "{error}");
    error.kind
}

fn limited(bytes: &[u8], limits: Limits) -> &'static str {
    let error = read_all(bytes, limits).expect_err("the archive was accepted");
    assert!(error.is_limit(), "{error}");
    match error.kind {
        TarErrorKind::Limit { what, .. } => what,
        kind => panic!("{kind}"),
    }
}

#[test]
fn pax_size_wins_and_nothing_is_smuggled() {
    let inner = archive(&[file(b"smuggled", b"")]);
    let size = inner.len().to_string();
    let outer = [pax(&[("size", &size)]), header(b"outer", b'0', 0), inner.clone()];
    let entries = read(&archive(&outer)).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].1, inner);

    let reverse = [pax(&[("size", "0")]), header(b"outer", b'0', 1024), file(b"next", b"n")];
    let entries = read(&archive(&reverse)).unwrap();
    assert_eq!((entries.len(), entries[0].0.size_bytes), (2, 0));
}

#[test]
fn mixes_and_repetitions_of_extensions_are_refused() {
    let (path, long, link) = (pax(&[("path", "a")]), extension(b'L', b"b\0"), extension(b'K', b"c\0"));
    let last = file(b"f", b"");
    for parts in [
        vec![path.clone(), long.clone()],
        vec![long.clone(), path.clone()],
        vec![path.clone(), link.clone()],
        vec![link.clone(), path.clone()],
        vec![path.clone(), path.clone()],
        vec![long.clone(), long.clone()],
        vec![path.clone(), extension(b'g', &record("uid", b"1"))],
    ] {
        let bytes = archive(&[parts.concat(), last.clone()]);
        assert!(matches!(refused(&bytes), TarErrorKind::Extension { .. }));
    }
    assert!(matches!(refused(&archive(std::slice::from_ref(&path))), TarErrorKind::Extension { .. }));
    assert!(matches!(refused(&long), TarErrorKind::Extension { .. }));
    assert!(read(&archive(&[long, link, last])).is_ok());
}

#[test]
fn what_only_some_readers_see_without_the_mark_of_ustar_is_refused() {
    for mark in [&[0; 8][..], b"ustar\x0001", b"ustar \0\0"] {
        let unmarked = |typeflag, size| Block::new(b"f", typeflag, size).bytes(257, mark).finish();
        assert!(read(&archive(&[unmarked(b'0', 0)])).is_ok());
        for typeflag in [b'x', b'g', b'L', b'K'] {
            let data = if matches!(typeflag, b'x' | b'g') { record("uid", b"7") } else { b"name".to_vec() };
            let bytes = archive(&[unmarked(typeflag, data.len() as u64), padded(&data), file(b"f", b"")]);
            assert!(matches!(refused(&bytes), TarErrorKind::Extension { .. }), "{typeflag}");
        }
        let prefixed = Block::new(b"f", b'0', 0).bytes(257, mark).bytes(345, b"prefix").finish();
        assert!(matches!(refused(&archive(&[prefixed])), TarErrorKind::Name { .. }));
    }
}

#[test]
fn an_extension_header_ends_where_its_size_says() {
    for (typeflag, data) in [(b'L', b"long".to_vec()), (b'K', b"long".to_vec()), (b'x', record("uid", b"7"))]
    {
        let mut bytes = archive(&[extension(typeflag, &data), file(b"f", b"")]);
        assert!(read(&bytes).is_ok());
        bytes[512 + data.len()] = b'x';
        assert!(matches!(refused(&bytes), TarErrorKind::Extension { .. }), "{typeflag}");
    }
}

#[test]
fn a_folder_without_a_type_is_one_by_header_and_extension() {
    let described = |own: &str, name: &[u8]| archive(&[pax(&[("path", own)]), header(name, 0, 0)]);
    assert_eq!(read(&described("d/", b"decoy/")).unwrap()[0].0.kind, Kind::Directory);
    for (own, name) in [("d/", &b"f"[..]), ("f", b"d/")] {
        assert!(matches!(refused(&described(own, name)), TarErrorKind::Extension { .. }), "{own}");
    }
}

#[test]
fn global_records_apply_but_never_name_or_size() {
    let global = extension(
        b'g',
        &[record("uid", b"77"), record("SCHILY.xattr.user.g", b"v"), record("mtime", b"1.5")].concat(),
    );
    let own = pax(&[("uid", ""), ("SCHILY.xattr.user.g", ""), ("SCHILY.xattr.user.empty", "")]);
    let entries = read(&archive(&[global, file(b"a", b""), own, file(b"b", b"")])).unwrap();
    let (a, b) = (&entries[0].0, &entries[1].0);
    assert_eq!((a.uid, a.modified.nanoseconds, a.xattrs.len()), (77, 500_000_000, 1));
    assert_eq!((b.uid, &b.xattrs[..]), (1000, &[(b"user.empty".to_vec(), Vec::new())][..]));
    for key in ["path", "linkpath", "size", "GNU.sparse.major"] {
        let bytes = archive(&[extension(b'g', &record(key, b"1")), file(b"f", b"")]);
        assert!(matches!(refused(&bytes), TarErrorKind::Pax { .. }), "{key}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let spoil = |offset, bytes: &[u8]| archive(&[Block::new(b"f", b'0', 0).bytes(offset, bytes).finish()]);
    let huge_size = [&[0x80, 0, 0, 0, 0x80][..], &[0; 7]].concat();
    for bytes in [
        spoil(124, &huge_size),
        spoil(124, &[0xff; 12]),
        spoil(108, &[0xff; 8]),
        spoil(108, &[0x80, 0, 0, 1, 0, 0, 0, 0]),
        spoil(116, &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        spoil(100, b"00009\0\0\0"),
        spoil(124, b"12x\0\0\0\0\0\0\0\0\0"),
    ] {
        assert!(matches!(refused(&bytes), TarErrorKind::Number { .. }));
    }
    for (key, value) in [
        ("size", "9223372036854775808"),
        ("size", "18446744073709551616"),
        ("size", "-1"),
        ("size", "1x"),
        ("uid", "4294967295"),
        ("uid", "4294967296"),
        ("gid", "-1"),
        ("mtime", "x"),
    ] {
        let bytes = archive(&[pax(&[(key, value)]), header(b"f", b'0', 0)]);
        assert!(matches!(refused(&bytes), TarErrorKind::Number { .. }), "{key} {value}");
    }
    let device = |offset, value| archive(&[Block::new(b"d", b'3', 0).octal(offset, 8, value).finish()]);
    assert!(read(&device(329, 4095)).is_ok() && read(&device(337, 0xf_ffff)).is_ok());
    assert!(matches!(refused(&device(329, 4096)), TarErrorKind::Number { .. }));
    assert!(matches!(refused(&device(337, 0x10_0000)), TarErrorKind::Number { .. }));
}

#[test]
fn names_must_be_there_and_without_nul() {
    for bytes in [
        archive(&[header(b"", b'0', 0)]),
        archive(&[header(b"link", b'2', 0)]),
        archive(&[header(b"link", b'1', 0)]),
        archive(&[pax(&[("path", "a\0b")]), header(b"f", b'0', 0)]),
        archive(&[pax(&[("linkpath", "a\0b")]), header(b"f", b'2', 0)]),
        archive(&[extension(b'L', b"a\0b\0"), header(b"f", b'0', 0)]),
    ] {
        assert!(matches!(refused(&bytes), TarErrorKind::Name { .. }));
    }
}

#[test]
fn limits_are_typed() {
    let small = || Limits { entries: 2, ..Limits::default() };
    let three = archive(&[file(b"a", b""), file(b"b", b""), file(b"c", b"")]);
    assert_eq!(limited(&three, small()), "entries");
    let with_global = archive(&[extension(b'g', b""), file(b"a", b""), file(b"b", b"")]);
    assert_eq!(limited(&with_global, small()), "entries");

    let long = |path: &str| archive(&[pax(&[("path", path)]), file(b"f", b"")]);
    assert_eq!(limited(&long(&"a/".repeat(32 << 10)), Limits::default()), "bytes of path");
    assert_eq!(limited(&long(&"a/".repeat(2048 + 1)), Limits::default()), "bytes of path");
    assert_eq!(limited(&long(&"a/".repeat(1025)), Limits::default()), "components of a path");
    assert!(read(&long(&"a/".repeat(1024))).is_ok());
    assert_eq!(limited(&long(&"a".repeat(256)), Limits::default()), "bytes in a component of a path");
    let gnu = archive(&[extension(b'L', &vec![b'a'; 64 << 10]), file(b"f", b"")]);
    assert_eq!(limited(&gnu, Limits::default()), "bytes of path");
    let target = archive(&[pax(&[("linkpath", &"t/".repeat(3000))]), header(b"l", b'2', 0)]);
    assert_eq!(limited(&target, Limits::default()), "bytes of link target");

    let xattr = |name: &str, value: &str| {
        archive(&[pax(&[(&format!("SCHILY.xattr.{name}"), value)]), file(b"f", b"")])
    };
    assert!(limited(&xattr(&"n".repeat(300), "v"), Limits::default()).contains("name"));
    assert!(limited(&xattr("user.n", &"v".repeat((64 << 10) + 1)), Limits::default()).contains("value"));
    let value = "v".repeat(60 << 10);
    let many = archive(&[
        pax(&["a", "b", "c", "d", "e"]
            .map(|name| (["SCHILY.xattr.user.", name].concat(), &value[..]))
            .iter()
            .map(|(k, v)| (&k[..], *v))
            .collect::<Vec<_>>()),
        file(b"f", b""),
    ]);
    assert_eq!(limited(&many, Limits::default()), "bytes of extended attributes");
    // Only the size is declared; the data never comes.
    let declared = header(b"x", b'x', (1 << 20) + 1);
    assert_eq!(limited(&declared, Limits::default()), "bytes of PAX records");
}

#[test]
fn a_declared_size_is_not_set_aside() {
    let declared = header(b"f", b'0', 0o777_7777_7777);
    assert!(matches!(refused(&declared), TarErrorKind::Truncated { .. }));
    let map = pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9")]);
    let declared = [map, header(b"f", b'0', 1 << 30), b"9999999\n".to_vec()].concat();
    assert!(matches!(refused(&declared), TarErrorKind::Truncated { .. }));
}

/// A sparse file of format 1.0 with this map, 10 stored bytes and a size of 100.
fn sparse(map: &str, stored: u64) -> Vec<u8> {
    let records = pax(&[
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "real"),
        ("GNU.sparse.realsize", "100"),
    ]);
    let text = crate::fixtures::padded(map.as_bytes());
    let content = crate::fixtures::padded(&[b'c'; 10]);
    let size = text.len() as u64 + stored;
    archive(&[records, header(b"GNUSparseFile.0/f", b'0', size), text, content])
}

#[test]
fn sparse_maps_are_checked() {
    let entries = read(&sparse("2\n0\n4\n90\n6\n", 10)).unwrap();
    assert_eq!(entries[0].0.path, b"real");
    assert_eq!((entries[0].0.size_bytes, entries[0].1.len()), (100, 10));
    let expected = [Segment { offset: 0, length: 4 }, Segment { offset: 90, length: 6 }];
    assert_eq!(entries[0].0.sparse.as_deref(), Some(&expected[..]));
    for map in [
        "2\n0\n5\n4\n5\n",
        "2\n50\n5\n0\n5\n",
        "1\n95\n10\n",
        "1\n18446744073709551615\n10\n",
        "2\n1\n18446744073709551615\n5\n11\n",
        "1\n0\n11\n",
        "1\n0\n9\n",
        "0\n",
    ] {
        assert!(matches!(refused(&sparse(map, 10)), TarErrorKind::Sparse { .. }), "{map}");
    }
    assert!(matches!(refused(&sparse("1\n-1\n10\n", 10)), TarErrorKind::Number { .. }));
    assert_eq!(limited(&sparse("999999999\n", 10), Limits::default()), "ranges of a sparse file");
    let on_directory = archive(&[
        pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9")]),
        header(b"d", b'5', 0),
    ]);
    assert!(matches!(refused(&on_directory), TarErrorKind::Sparse { .. }));
}

#[test]
fn old_gnu_maps_are_checked() {
    let block = |first: u64, length: u64, real: u64| {
        let mut block = Block::new(b"s", b'S', 10);
        block.bytes(257, b"ustar  \0").octal(386, 12, first).octal(398, 12, length).octal(483, 12, real);
        archive(&[block.finish(), crate::fixtures::padded(&[b'c'; 10])])
    };
    assert_eq!(read(&block(5, 10, 20)).unwrap()[0].0.size_bytes, 20);
    for bytes in [block(15, 10, 20), block(5, 11, 20), block(5, 9, 20)] {
        assert!(matches!(refused(&bytes), TarErrorKind::Sparse { .. }));
    }
}

#[test]
fn ends_of_archives() {
    assert!(read(b"").unwrap().is_empty());
    let one = file(b"f", b"x");
    for tail in [0, 512, 1024, 1025, 10_240] {
        assert_eq!(read(&[one.clone(), vec![0; tail]].concat()).unwrap().len(), 1, "{tail}");
    }
    let trailing = [archive(std::slice::from_ref(&one)), file(b"after", b"y")].concat();
    assert_eq!(read(&trailing).unwrap().len(), 1);
    let lone = [one.clone(), vec![0; 512], one.clone()].concat();
    assert!(matches!(refused(&lone), TarErrorKind::LoneZeroBlock));
    assert!(matches!(refused(&[one.clone(), vec![0; 100]].concat()), TarErrorKind::Truncated { .. }));
    let mut spoilt = one.clone();
    spoilt[0] ^= 1;
    assert!(matches!(refused(&spoilt), TarErrorKind::Checksum));
    assert!(matches!(refused(&archive(&[header(b"v", b'V', 0)])), TarErrorKind::Type { typeflag: 'V' }));
}

#[test]
fn only_posix_headers_have_a_prefix() {
    // GNU headers have times where POSIX has the prefix.
    for (magic, expected) in [(b"ustar\x0000", &b"prefix/f"[..]), (b"ustar  \0", b"f")] {
        let block = Block::new(b"f", b'0', 0).bytes(257, magic).bytes(345, b"prefix").finish();
        assert_eq!(read(&archive(&[block])).unwrap()[0].0.path, expected);
    }
    let times = [&[b'p'; 131][..], b"12345670123 76543210321 "].concat();
    let star = Block::new(b"f", b'0', 0).bytes(345, &times).bytes(508, b"tar\0").finish();
    assert_eq!(read(&archive(&[star])).unwrap()[0].0.path, [&[b'p'; 131][..], b"/f"].concat());
}

#[test]
fn header_only_kinds_have_no_payload() {
    for typeflag in *b"123456" {
        let mut block = Block::new(b"e", typeflag, 4096);
        let link = block.bytes(157, b"target").finish();
        let entries = read(&archive(&[link, file(b"next", b"n")])).unwrap();
        assert_eq!((entries.len(), entries[0].0.size_bytes), (2, 0), "{}", char::from(typeflag));
    }
    let old_directory = read(&archive(&[header(b"d/", 0, 0)])).unwrap();
    assert_eq!(old_directory[0].0.kind, Kind::Directory);
    for typeflag in *b"0\x007" {
        assert_eq!(read(&archive(&[header(b"f", typeflag, 0)])).unwrap()[0].0.kind, Kind::Regular);
    }
}

#[test]
fn errors_say_where_and_stay() {
    let bytes = [file(b"first", b"1"), pax(&[("path", "sec\nond"), ("uid", "x")]), file(b"f", b"")].concat();
    let mut reader = TarReader::new(&bytes[..], Limits::default(), ());
    reader.next_entry().unwrap().unwrap();
    let error = reader.next_entry().unwrap_err();
    assert_eq!((error.ordinal, error.position), (1, 1024));
    assert!(error.to_string().starts_with("tar entry 1 at byte 1024"), "{error}");
    assert!(matches!(reader.next_entry().unwrap_err().kind, TarErrorKind::Refused));

    let cut = [header(b"odd\xff", b'0', 10), b"abc".to_vec()].concat();
    let error = read(&cut).unwrap_err();
    assert!(error.to_string().contains(r"(`odd\xff`): the tar ends within a payload"), "{error}");
}
