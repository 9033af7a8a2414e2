//! Named files, in a folder or in an archive.

use std::fmt::Debug;
use std::io::Read;

use plywood_archive::digest::Digest;

use crate::{DOCUMENT_LIMIT_BYTES, ImageError};

/// A file that is open at its beginning.
pub(crate) struct Opened {
    /// How long it is.
    pub size_bytes: u64,
    /// Its content.
    pub reader: Box<dyn Read + Send>,
}

/// Where files are found by name: a layout's folder, or an archive.
pub(crate) trait Files: Debug + Send + Sync {
    /// What errors call it.
    fn location(&self) -> &str;

    /// Opens a regular file, `None` where there is none of that name. A link of any kind on the way is an error.
    fn open(&self, name: &str) -> Result<Option<Opened>, ImageError>;
}

/// Reads a whole document.
pub(crate) fn read_document(files: &dyn Files, name: &str) -> Result<Vec<u8>, ImageError> {
    let opened = files.open(name)?.ok_or_else(|| ImageError::missing(files.location(), name))?;
    read_opened(opened, files.location(), name)
}

/// Reads a whole document that is open. Its length is checked before, and again while reading: it may grow.
pub(crate) fn read_opened(opened: Opened, location: &str, name: &str) -> Result<Vec<u8>, ImageError> {
    let too_long = || ImageError::TooLong {
        location: location.to_owned(),
        member: name.to_owned(),
        limit_bytes: DOCUMENT_LIMIT_BYTES,
    };
    if opened.size_bytes > DOCUMENT_LIMIT_BYTES {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let mut reader = opened.reader.take(DOCUMENT_LIMIT_BYTES + 1);
    reader.read_to_end(&mut bytes).map_err(ImageError::io("read", format!("{location}: {name}")))?;
    if bytes.len() as u64 > DOCUMENT_LIMIT_BYTES { Err(too_long()) } else { Ok(bytes) }
}

/// Checks that a document is the one announced.
pub(crate) fn check_digest(
    bytes: &[u8],
    expected: &Digest,
    location: &str,
    member: &str,
) -> Result<(), ImageError> {
    let actual = Digest::of(bytes);
    if actual == *expected {
        return Ok(());
    }
    let (location, member) = (location.to_owned(), member.to_owned());
    Err(ImageError::DigestMismatch { location, member, expected: *expected, actual })
}

/// Checks that something is as long as was announced.
pub(crate) fn check_size(
    actual_bytes: u64,
    expected_bytes: u64,
    location: &str,
    member: &str,
) -> Result<(), ImageError> {
    if actual_bytes == expected_bytes {
        return Ok(());
    }
    let (location, member) = (location.to_owned(), member.to_owned());
    Err(ImageError::SizeMismatch { location, member, expected_bytes, actual_bytes })
}
