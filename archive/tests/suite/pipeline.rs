//! Reading ahead on a thread: order, errors, panics, and consumers that leave.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use plywood_archive::compression::{Compression, DecompressionError, ExpansionLimit};
use plywood_archive::digest::{HashingReader, Measured};
use plywood_archive::pipeline::{LayerStream, ReadAhead};
use plywood_archive::tar::{Limits, TarReader};

use crate::compression::packed;
use crate::fixtures::{archive, file};

/// Gives zeros for ever, or panics or fails after some; says when it is dropped.
struct Endless {
    left: usize,
    end: fn() -> io::Result<usize>,
    dropped: Sender<()>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return (self.end)();
        }
        let count = buffer.len().min(self.left);
        buffer[..count].fill(0);
        self.left -= count;
        Ok(count)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.dropped.send(()).ok();
    }
}

#[test]
fn bytes_come_in_order_and_the_source_comes_back() {
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for (chunk_bytes, chunks) in [(1 << 10, 1), (999, 3), (1 << 20, 2)] {
        let source = HashingReader::new(io::Cursor::new(bytes.clone()));
        let mut ahead = ReadAhead::spawn(source, chunk_bytes, chunks);
        let mut start = vec![0; 1234];
        ahead.read_exact(&mut start).unwrap();
        assert_eq!(start, bytes[..1234]);
        assert_eq!(ahead.finish().unwrap().finish(), Measured::of(&bytes));
    }
    // The last buffer holds a single byte.
    let mut ahead = ReadAhead::spawn(io::Cursor::new(bytes.clone()), 133_333, 2);
    let mut all = Vec::new();
    ahead.read_to_end(&mut all).unwrap();
    assert!(all == bytes && ahead.fill_buf().unwrap().is_empty());
    assert!(ahead.finish().is_ok());
}

#[test]
fn scoped_sources_may_borrow() {
    let bytes = vec![7; 10_000];
    std::thread::scope(|scope| {
        let mut ahead = ReadAhead::spawn_scoped(scope, &bytes[..], 100, 2);
        let mut all = Vec::new();
        ahead.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes);
    });
}

fn after_a_thousand(end: fn() -> io::Result<usize>) -> (usize, io::Error) {
    let (dropped, _listener) = channel();
    let mut ahead = ReadAhead::spawn(Endless { left: 1000, end, dropped }, 300, 2);
    let mut all = Vec::new();
    let error = ahead.read_to_end(&mut all).unwrap_err();
    assert!(ahead.read(&mut [0]).is_err(), "an error must not turn into an end");
    assert!(ahead.finish().is_err());
    (all.len(), error)
}

#[test]
fn errors_come_after_the_bytes_before_them() {
    let (count, error) = after_a_thousand(|| Err(io::ErrorKind::ConnectionReset.into()));
    assert_eq!((count, error.kind()), (1000, io::ErrorKind::ConnectionReset));
}

#[test]
fn panics_become_errors() {
    let (count, error) = after_a_thousand(|| panic!("a broken source"));
    // The buffer in which it panicked is lost.
    assert_eq!(count, 900);
    assert!(error.to_string().contains("a broken source"), "{error}");
}

#[test]
fn dropping_the_consumer_stops_the_producer() {
    for read_first in [false, true] {
        let (dropped, listener) = channel();
        let mut ahead = ReadAhead::spawn(Endless { left: usize::MAX, end: || Ok(0), dropped }, 512, 2);
        if read_first {
            ahead.read_exact(&mut [0; 2000]).unwrap();
        }
        drop(ahead);
        listener.recv_timeout(Duration::from_mins(1)).expect("the producer did not stop");
    }
}

#[test]
fn a_layer_is_measured_on_both_sides() {
    let tar = archive(&[file(b"a", &vec![b'a'; 300_000]), file(b"b", b"b")]);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let mut blob = packed(&tar, compression);
        if compression == Compression::Gzip {
            blob.extend_from_slice(&[0; 1000]);
        }
        for entries in 0..3 {
            let stream =
                LayerStream::spawn(Box::new(io::Cursor::new(blob.clone())), ExpansionLimit::default());
            let mut reader = TarReader::new(stream, Limits::default(), ());
            for _ in 0..entries {
                reader.next_entry().unwrap().unwrap();
            }
            let (stream, ()) = reader.finish().unwrap();
            let digests = stream.finish().unwrap();
            assert_eq!(digests.packed, Measured::of(&blob));
            assert_eq!(digests.unpacked, Measured::of(&tar));
            assert_eq!(digests.compression, compression);
        }
    }
}

#[test]
fn a_short_layer_is_measured_too() {
    let stream = LayerStream::spawn(Box::new(io::Cursor::new(b"tiny")), ExpansionLimit::default());
    assert_eq!(stream.finish().unwrap().unpacked, Measured::of(b"tiny"));
}

#[test]
fn an_empty_blob_is_an_empty_layer() {
    let stream = LayerStream::spawn(Box::new(io::empty()), ExpansionLimit::default());
    let digests = stream.finish().unwrap();
    assert_eq!((digests.packed, digests.unpacked), (Measured::of(b""), Measured::of(b"")));
}

#[test]
fn a_bomb_is_a_limit_seen_through_the_tar() {
    let bomb = packed(&archive(&[file(b"zeros", &vec![0; 4 << 20])]), Compression::Gzip);
    let limit = ExpansionLimit { ratio: 50, past_bytes: 1 << 20 };
    let stream = LayerStream::spawn(Box::new(io::Cursor::new(bomb)), limit);
    let mut reader = TarReader::new(stream, Limits::default(), ());
    reader.next_entry().unwrap().unwrap();
    let error = reader.skip_payload().unwrap_err();
    assert!(error.is_limit() && error.is_io(), "{error}");
    assert!(DecompressionError::of(error.io_source().unwrap()).is_some());
}

#[test]
fn a_cut_blob_is_an_error() {
    let blob = packed(&archive(&[file(b"a", b"a")]), Compression::Gzip);
    let stream = LayerStream::spawn(
        Box::new(io::Cursor::new(blob[..blob.len() - 3].to_vec())),
        ExpansionLimit::default(),
    );
    assert!(stream.finish().is_err());
}
