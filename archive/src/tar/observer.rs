//! Shows what of a tar is not payload.

use std::io;

/// Receives every byte of a tar stream that is not payload of a regular entry, in the order of the stream:
/// headers, PAX and GNU blocks, sparse maps, padding, end blocks and whatever follows them.
///
/// Together with the payloads, each at its place, these bytes are the stream.
pub trait Observer {
    /// Takes the next structure bytes; they are not split at any particular place.
    ///
    /// # Errors
    ///
    /// What it returns ends the reading as [`TarErrorKind::Observer`](super::TarErrorKind).
    fn structure(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Ignores the structure.
impl Observer for () {
    fn structure(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn structure(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).structure(bytes)
    }
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    fn structure(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).structure(bytes)
    }
}

impl<O: Observer> Observer for Option<O> {
    fn structure(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.as_mut().map_or(Ok(()), |observer| observer.structure(bytes))
    }
}
