//! A strict tar reader that shows every byte of the stream, and a reproducible tar writer.
//!
//! The reader understands v7, ustar, PAX (`x` and `g`), GNU long names, base-256 numbers and all four ways GNU
//! tar writes sparse files. Where readers in the field disagree about what an archive says, it refuses the
//! archive: an entry seen differently by two programs is how files are smuggled past a scanner.

mod entry;
mod error;
mod extensions;
mod header;
mod limits;
mod number;
mod observer;
mod pax;
mod reader;
mod sparse;
mod stream;
mod writer;
mod xattrs;

pub use entry::{Entry, Kind, Segment, Timestamp, Xattrs};
pub use error::{TarError, TarErrorKind};
pub use limits::Limits;
pub use observer::Observer;
pub use reader::TarReader;
pub use writer::TarWriter;

/// The size of a tar block in bytes.
pub(crate) const BLOCK_BYTES: usize = 512;
