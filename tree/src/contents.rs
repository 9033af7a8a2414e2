//! A layer's files as its recipe asks for them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use plywood_archive::recipe::{ReadAt, ReadWriteSeek, RecipeTree};
use plywood_graphdriver::Contents;
use rustix::fs::{Mode, OFlags};

use crate::file;
use crate::folder::Permit;
use crate::path;
use crate::resolve::{Node, open_folder};

/// Opens the files of a layer by their paths, following no link.
#[derive(Debug)]
pub struct ContentsFiles<'a> {
    contents: &'a Contents,
    scratch: BorrowedFd<'a>,
}

impl<'a> ContentsFiles<'a> {
    /// Reads `contents`, and keeps temporary files in the folder `scratch`.
    #[must_use]
    pub fn new(contents: &'a Contents, scratch: BorrowedFd<'a>) -> Self {
        Self { contents, scratch }
    }
}

impl RecipeTree for ContentsFiles<'_> {
    fn open(&mut self, path: &[u8]) -> io::Result<Box<dyn ReadAt>> {
        let (parent, name) = path::split(path).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let folder = open_folder(self.contents.as_fd(), parent)?;
        let _permit = Permit::hold(folder.as_fd())?;
        Ok(Box::new(LayerFile(file::open_readable(Node::new(&folder, name))?.into())))
    }

    fn scratch(&mut self) -> io::Result<Box<dyn ReadWriteSeek>> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.scratch, ".", flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Box::new(File::from(file)))
    }
}

struct LayerFile(File);

impl ReadAt for LayerFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}
