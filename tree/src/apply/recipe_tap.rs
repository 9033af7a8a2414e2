//! Passes what the tar is made of to the recipe, if one is wanted.

use std::fs::File;
use std::io::{self, Write};

use plywood_archive::recipe;
use plywood_archive::tar::{Observer, Segment};

/// A recipe's writer, or nothing.
pub(super) struct RecipeTap<'a> {
    writer: Option<recipe::Writer<&'a mut (dyn Write + Send)>>,
}

impl<'a> RecipeTap<'a> {
    pub(super) fn new(sink: Option<&'a mut (dyn Write + Send)>) -> io::Result<Self> {
        Ok(Self { writer: sink.map(recipe::Writer::new).transpose()? })
    }

    /// Whether displaced content must be kept.
    pub(super) fn wanted(&self) -> bool {
        self.writer.is_some()
    }

    /// The payload that follows is in the file at `path`.
    pub(super) fn file(&mut self, path: &[u8], segments: &[Segment]) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.file(path, segments))
    }

    /// The file that `path` named so far is about to go; here is what it holds.
    pub(super) fn displaced(&mut self, path: &[u8], length: u64, content: &mut File) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.displaced(path, length, content))
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.writer.map_or(Ok(()), |writer| writer.finish(None).map(drop))
    }
}

impl Observer for RecipeTap<'_> {
    fn structure(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.structure(bytes))
    }
}
