//! Files that get their name only when they are complete.

use std::fs::File;

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::ImageError;
use crate::layout::Folder;

/// How the names of files begin that are not complete yet.
pub(crate) const PARTIAL: &str = ".plywood-";

/// A file that has no proper name yet; dropped, it is gone.
pub(crate) struct Partial<'a> {
    folder: &'a Folder,
    name: String,
    file: File,
    published: bool,
}

impl<'a> Partial<'a> {
    /// Makes an empty file in `folder`.
    pub(crate) fn create(folder: &'a Folder) -> Result<Self, ImageError> {
        let name = format!("{PARTIAL}{}", random_suffix()?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let fd = rustix::fs::openat(folder.fd(), &name, flags, mode)
            .map_err(ImageError::io("make", folder.shown(&name)))?;
        Ok(Self { folder, name, file: File::from(fd), published: false })
    }

    /// The file, open for writing.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// What errors call it.
    pub(crate) fn shown(&self) -> String {
        self.folder.shown(&self.name)
    }

    /// Makes the content durable and gives it its name, in place of what had it. The name is durable once the folder
    /// is synced.
    pub(crate) fn publish(mut self, name: &str) -> Result<(), ImageError> {
        self.file.sync_all().map_err(ImageError::io("sync", self.shown()))?;
        rustix::fs::renameat(self.folder.fd(), &self.name, self.folder.fd(), name)
            .map_err(ImageError::io("rename to", self.folder.shown(name)))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = rustix::fs::unlinkat(self.folder.fd(), &self.name, AtFlags::empty())
        {
            tracing::warn!(file = %self.shown(), %error, "partial file left behind");
        }
    }
}

/// Sixteen hexadecimal digits that nobody else has.
fn random_suffix() -> Result<String, ImageError> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(ImageError::io("read", "random bytes"))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
