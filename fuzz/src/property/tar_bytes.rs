//! The tar reader on any bytes.

use plywood_archive::tar::TarWriter;

use crate::memory;
use crate::reading::{Archive, read};

/// Pieces that cut blocks at every place that matters.
const CHUNKS: [usize; 4] = [1, 511, 513, 4096];

/// What the reader may hold: its limits on a PAX block, and the entries that this property keeps.
fn most_memory(input_bytes: usize) -> usize {
    (4 << 20) + 64 * input_bytes
}

/// No panic, and no more memory than the input warrants. Payloads and structure are the whole input; in other pieces the same is
/// read, or refused for the same reason; entries written again read back equal.
pub fn check(tar: &[u8]) {
    let whole = memory::at_most(most_memory(tar.len()), || read(tar, usize::MAX));
    for chunk in CHUNKS {
        match (&whole, &read(tar, chunk)) {
            (Ok(one), Ok(other)) => assert_eq!(one, other, "in pieces of {chunk} bytes"),
            (Err(one), Err(other)) => {
                assert_eq!(format!("{one:?}"), format!("{other:?}"), "pieces of {chunk}");
            }
            (one, other) => panic!("in pieces of {chunk} bytes {other:?}, and whole {one:?}"),
        }
    }
    if let Ok(archive) = whole {
        let payloads: u64 = archive.entries.iter().map(|seen| seen.payload_bytes).sum();
        assert_eq!(payloads + archive.structure_bytes, tar.len() as u64, "bytes are lost, or read twice");
        check_written(&archive);
    }
}

/// Payloads of zeros stand for the real ones, which the writer does not look at.
fn check_written(archive: &Archive) {
    let mut writer = TarWriter::new(Vec::new());
    for seen in &archive.entries {
        writer.append(&seen.entry).unwrap_or_else(|error| panic!("{:?} is not written: {error}", seen.entry));
        writer.write_payload(&vec![0; usize::try_from(seen.payload_bytes).unwrap()]).unwrap();
    }
    let written = writer.finish().unwrap();
    let again =
        read(&written, usize::MAX).unwrap_or_else(|error| panic!("what was written is refused: {error}"));
    assert_eq!(again.entries.len(), archive.entries.len());
    for (again, first) in again.entries.into_iter().zip(&archive.entries) {
        let mut entry = again.entry;
        (entry.position, entry.ordinal) = (first.entry.position, first.entry.ordinal);
        assert_eq!(entry, first.entry, "an entry that was written again");
    }
}
