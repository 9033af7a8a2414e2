//! Files that get their name only when they are complete.

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::ImageError;
use crate::layout::Folder;

/// How the names of files begin that are not complete yet.
pub(crate) const PARTIAL: &str = ".plywood-";

/// A file that has no proper name yet; dropped, it is gone. Where the file system can (`O_TMPFILE`) it has no name at all, and
/// goes with the process, however that ends.
pub(crate) struct Partial<'a> {
    folder: &'a Folder,
    name: String,
    file: File,
    /// Whether `name` is there.
    is_named: bool,
}

impl<'a> Partial<'a> {
    /// Makes an empty file in `folder`.
    pub(crate) fn create(folder: &'a Folder) -> Result<Self, ImageError> {
        let name = format!("{PARTIAL}{}", random_suffix()?);
        let mode = Mode::from_raw_mode(0o644);
        let nameless = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::openat(folder.fd(), ".", nameless, mode) {
            return Ok(Self { folder, name, file: File::from(fd), is_named: false });
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(folder.fd(), &name, flags, mode)
            .map_err(ImageError::io("make", folder.shown(&name)))?;
        Ok(Self { folder, name, file: File::from(fd), is_named: true })
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
        if !self.is_named {
            // A link replaces nothing, so the name it has at last takes two steps.
            let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            rustix::fs::linkat(CWD, open, self.folder.fd(), &self.name, AtFlags::SYMLINK_FOLLOW)
                .map_err(ImageError::io("make", self.shown()))?;
            self.is_named = true;
        }
        rustix::fs::renameat(self.folder.fd(), &self.name, self.folder.fd(), name)
            .map_err(ImageError::io("rename to", self.folder.shown(name)))?;
        self.is_named = false;
        Ok(())
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        if self.is_named
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
