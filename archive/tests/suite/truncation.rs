//! Archives and packed streams cut off anywhere, and bytes turned over anywhere.

use std::io::Read;

use plywood_archive::compression::{Compression, Compressor, Decompressor, ExpansionLimit};
use plywood_archive::tar::{Limits, TarReader};

use crate::fixtures::{archive, extension, file, pax, read};
use crate::round_trip::small_archive;

/// An archive with every kind of extension.
fn sample() -> (Vec<u8>, Vec<usize>) {
    let parts = [
        file(b"plain", b"content"),
        [extension(b'L', b"long\0"), file(b"f", &[b'c'; 600])].concat(),
        [pax(&[("path", "p"), ("mtime", "1.5")]), file(b"f", b"x")].concat(),
        small_archive(),
    ];
    // Clean ends: between entries and where all is zeros from there on.
    let mut ends = vec![0];
    for part in &parts[..3] {
        ends.push(ends.last().unwrap() + part.len());
    }
    (parts.concat(), ends)
}

#[test]
fn every_cut_is_an_error_or_between_entries() {
    let (bytes, ends) = sample();
    let mut reader = TarReader::new(&bytes[..], Limits::default(), ());
    let mut boundaries = ends;
    while let Some(entry) = reader.next_entry().unwrap() {
        boundaries.push(usize::try_from(entry.position).unwrap());
    }
    let end = usize::try_from(reader.position()).unwrap() - 1024;
    boundaries.extend([end, end + 512, end + 1024]);
    for cut in 0..=bytes.len() {
        match read(&bytes[..cut]) {
            Ok(_) => assert!(boundaries.contains(&cut), "cut at {cut} was accepted"),
            Err(error) => assert!(!boundaries.contains(&cut), "cut at {cut}: {error}"),
        }
    }
}

#[test]
fn no_flipped_byte_makes_it_panic() {
    let (bytes, _) = sample();
    for index in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[index] ^= flip;
            let refused = read(&bytes).is_err();
            // Every byte of the first header is under its checksum.
            assert!(refused || index >= 512, "{index}");
        }
    }
}

#[test]
fn every_cut_of_a_packed_stream_is_an_error() {
    let plain = archive(&[file(b"f", b"some content, some content")]);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut packer = Compressor::new(Vec::new(), compression, None).unwrap();
        std::io::Write::write_all(&mut packer, &plain).unwrap();
        let packed = packer.finish().unwrap();
        for cut in 4..packed.len() {
            let mut unpacked = Vec::new();
            let mut reader = Decompressor::new(&packed[..cut], ExpansionLimit::default());
            assert!(reader.read_to_end(&mut unpacked).is_err(), "{compression:?} cut at {cut}");
        }
    }
}
