//! Row 25: streams that are small and unpack to much, that go on for ever with nothing, or that end too early.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use plywood_archive::compression::{Compression, Compressor, ExpansionLimit};
use plywood_archive::pipeline::LayerStream;
use plywood_graphdriver::ErrorKind;

use crate::crafted::{Crafted, Header, SIZE};
use crate::stage::{Refusal, on_each_driver, told};

const GIB: u64 = 1 << 30;

/// More than any of these cases may hold: the buffers of a layer and what the test itself needs.
const MEMORY_BYTES: u64 = 128 << 20;

fn packed(mut plain: impl Read) -> Vec<u8> {
    let mut compressor = Compressor::new(Vec::new(), Compression::Gzip, Some(9)).unwrap();
    std::io::copy(&mut plain, &mut compressor).unwrap();
    compressor.flush().unwrap();
    compressor.finish().unwrap()
}

fn plain_file(size: u64) -> Vec<u8> {
    let mut header = Header::new(b'0', "zeros");
    header.octal(SIZE, size);
    header.block().to_vec()
}

fn unpacked(packed: &[u8]) -> Box<dyn Read> {
    Box::new(LayerStream::spawn(Box::new(Cursor::new(packed.to_vec())), ExpansionLimit::default()))
}

/// Runs one of this file's cases by itself, as the peak of memory is that of a whole process.
fn in_a_process_of_its_own(case: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", case, "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{case} was not run: {text}");
}

fn assert_little_memory() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib << 10 < MEMORY_BYTES, "{kib} KiB at most");
}

#[test]
fn row_25_a_gigabyte_of_zeros_in_gzip_is_a_limit() {
    in_a_process_of_its_own("memory::case_a_gigabyte_of_zeros_in_gzip");
}

#[test]
#[ignore = "run by row_25_a_gigabyte_of_zeros_in_gzip_is_a_limit"]
fn case_a_gigabyte_of_zeros_in_gzip() {
    let file = packed(Cursor::new(plain_file(GIB)).chain(std::io::repeat(0).take(GIB + 1024)));
    let padding =
        packed(Cursor::new(Crafted::new().file("f", b"x").end()).chain(std::io::repeat(0).take(GIB)));
    on_each_driver(|stage| {
        for (bomb, entry) in [(&file, "zeros"), (&padding, "tar entry 1")] {
            let error = stage.unpack_from(None, &mut || unpacked(bomb), None).unwrap_err();
            assert_eq!(error.kind, ErrorKind::LimitExceeded, "{}", told(&error));
            assert!(told(&error).contains("more than 1000 times the packed size"), "{}", told(&error));
            assert!(told(&error).contains(entry), "{}", told(&error));
            assert!(error.layer.is_some() && stage.layers().is_empty());
        }
    });
    assert_little_memory();
}

#[test]
fn row_25_ten_gigabytes_of_padding_are_a_limit() {
    in_a_process_of_its_own("memory::case_ten_gigabytes_of_padding");
}

#[test]
#[ignore = "run by row_25_ten_gigabytes_of_padding_are_a_limit"]
fn case_ten_gigabytes_of_padding() {
    let tar = Crafted::new().file("f", b"kept").end();
    let padded = |bytes: u64| -> Box<dyn Read> {
        Box::new(Cursor::new(tar.clone()).chain(std::io::repeat(0).take(bytes)))
    };
    on_each_driver(|stage| {
        let started = Instant::now();
        let error = stage.unpack_from(None, &mut || padded(10 * GIB), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded, "{}", told(&error));
        assert!(told(&error).contains("bytes after the end of the archive"), "{}", told(&error));
        let layer = stage.unpack_from(None, &mut || padded(GIB / 4), None).unwrap();
        assert_eq!(stage.seen(&layer).paths(), ["f"]);
        assert!(layer.recipe_bytes < 64 << 10, "the recipe has {} bytes", layer.recipe_bytes);
        // No hang, unoptimised and on a busy machine.
        assert!(started.elapsed() < Duration::from_mins(5), "{:?}", started.elapsed());
    });
    assert_little_memory();
}

#[test]
fn row_25_a_stream_that_ends_too_early_is_an_error_wherever_it_ends() {
    let tar = Crafted::new()
        .pax(&[("path", b"named")])
        .file("f", &[b'x'; 700])
        .extension(b'L', b"long\0")
        .file("g", b"g")
        .cut();
    // The places where an archive may end: between entries.
    let whole = [0, 512 * 5, tar.len()];
    on_each_driver(|stage| {
        for length in (0..tar.len()).step_by(97).chain([1, 511, 512, 513, 1024, 1536, 2236, 2559, 3072]) {
            if !whole.contains(&length) {
                let refusal = Refusal::invalid("tar entry", "ends");
                stage.refuse(None, &tar[..length], refusal);
            }
        }
        for length in whole {
            stage.accept(None, &tar[..length]);
        }
    });
}

#[test]
fn row_25_a_packed_stream_that_ends_too_early_is_an_error() {
    let tar = Crafted::new().file("f", &vec![b'x'; 70_000]).file("g", b"g").end();
    let whole = packed(Cursor::new(tar));
    on_each_driver(|stage| {
        for length in [1, 5, 10, whole.len() / 2, whole.len() - 9, whole.len() - 8, whole.len() - 1] {
            let error = stage.unpack_from(None, &mut || unpacked(&whole[..length]), None).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{length} bytes: {}", told(&error));
            assert!(stage.layers().is_empty());
        }
        let mut garbage = whole.clone();
        let middle = garbage.len() / 2;
        garbage[middle..middle + 8].fill(0xff);
        let error = stage.unpack_from(None, &mut || unpacked(&garbage), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{}", told(&error));
        stage.unpack_from(None, &mut || unpacked(&whole), None).unwrap();
    });
}
