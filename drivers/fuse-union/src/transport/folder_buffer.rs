//! Entries of a folder as the kernel takes them.

use zerocopy::IntoBytes;

use super::reply;
use crate::request::{Entry, FolderEntry, FolderSink};

/// The size of `struct fuse_dirent` without the name, and of what comes before it in `struct fuse_direntplus`.
const FIXED: usize = 24;
const ENTRY: usize = 128;

/// A buffer that is filled up to the size that the kernel asked for.
pub(super) struct FolderBuffer<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
    plus: bool,
}

impl<'a> FolderBuffer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>, limit: usize, plus: bool) -> Self {
        bytes.clear();
        Self { bytes, limit, plus }
    }
}

impl FolderSink for FolderBuffer<'_> {
    fn fits(&self, name_length: usize) -> bool {
        let fixed = if self.plus { FIXED + ENTRY } else { FIXED };
        self.bytes.len() + (fixed + name_length).next_multiple_of(8) <= self.limit
    }

    fn push(&mut self, listed: &FolderEntry<'_>, entry: Option<&Entry>) {
        if self.plus {
            self.bytes.extend_from_slice(reply::entry(entry).as_bytes());
        }
        self.bytes.extend_from_slice(&listed.ino.to_ne_bytes());
        self.bytes.extend_from_slice(&listed.next.to_ne_bytes());
        let length = u32::try_from(listed.name.len()).unwrap_or_default();
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&u32::from(listed.kind).to_ne_bytes());
        self.bytes.extend_from_slice(listed.name);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }
}
