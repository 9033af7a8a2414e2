//! Opening, reading and writing regular files.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use rustix::fs::{FallocateFlags, FileType, IFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::Union;
use super::node::{Descriptor, Node, Place, closable};
use crate::options::IoMode;
use crate::request::{Answer, Opened};

/// The bits of a mode by which a program runs as somebody else.
const SET_IDS: u32 = 0o6000;

/// Bits of the handle that comes back when a file is released.
const CACHED: u64 = 1;
const DIRECT: u64 = 2;
/// It may be written through a mapping, for which it has to be open for reading too.
const MAPPED: u64 = 4;

/// What an open file is for.
#[derive(Clone, Copy)]
pub(super) struct Use {
    /// The access mode and flags of `open(2)`.
    pub(super) flags: OFlags,
    /// Nobody but who just made it knows the file: it grants what its mode says, and no more.
    pub(super) made_with: Option<u32>,
}

impl Use {
    fn writes(self) -> bool {
        self.flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC)
    }
}

impl Union {
    pub(super) fn open_file(&self, node: &Arc<Node>, flags: u32) -> Answer<Opened> {
        let flags = OFlags::from_bits_retain(flags);
        if self.io_mode() == IoMode::NoOpen {
            return Err(Errno::NOSYS);
        }
        let using = Use { flags, made_with: None };
        if using.writes() {
            self.copy_up(node, u64::MAX)?;
        }
        let opened = self.opened(node, using)?;
        if opened.backing.is_none() {
            self.hand_over(node);
        }
        Ok(opened)
    }

    /// Decides how an open file is served. All that are open of one inode at a time are served alike, or the kernel answers
    /// `EIO`: those that pass through with the one backing file, which is always the upper one.
    pub(super) fn opened(&self, node: &Arc<Node>, using: Use) -> Answer<Opened> {
        let mut descriptor = node.file()?.descriptor.lock();
        if self.may_open_directly(node, &descriptor, using)
            && let Some(backing) = self.backing(node, &mut descriptor)
        {
            descriptor.direct += 1;
            let mapped = if using.flags.contains(OFlags::RDWR) { MAPPED } else { 0 };
            return Ok(Opened { handle: DIRECT | mapped, backing: Some(backing) });
        }
        descriptor.cached += 1;
        Ok(Opened { handle: CACHED, backing: None })
    }

    fn may_open_directly(&self, node: &Arc<Node>, descriptor: &Descriptor, using: Use) -> bool {
        if !self.passes_through() || descriptor.cached > 0 || !self.is_upper(node) {
            return false;
        }
        if descriptor.direct > 0 || !using.writes() {
            return true;
        }
        // Nobody clears set-id bits and capabilities on writes that the kernel does by itself, with our privilege.
        match using.made_with {
            Some(mode) => mode & SET_IDS == 0,
            None => !self.grants_privileges(node).unwrap_or(true),
        }
    }

    fn grants_privileges(&self, node: &Arc<Node>) -> Answer<bool> {
        if self.stat(node)?.st_mode & SET_IDS != 0 {
            return Ok(true);
        }
        self.with_real(node, |real| Ok(real.find_xattr(b"security.capability")?.is_some()))
    }

    /// The number of the registered upper file.
    fn backing(&self, node: &Arc<Node>, descriptor: &mut Descriptor) -> Option<u32> {
        if descriptor.backing.is_none() {
            let opened = descriptor.file.as_ref().filter(|_| descriptor.writable).map(Arc::clone);
            let file = opened.map_or_else(|| self.open_real(node, OFlags::RDWR).map(Arc::new), Ok).ok()?;
            let registered = self.kernel()?.open_backing(file.as_fd());
            descriptor.backing =
                registered.inspect_err(|error| tracing::debug!(%error, "a file does not pass through")).ok();
        }
        descriptor.backing
    }

    pub(super) fn release_file(&self, node: &Arc<Node>, handle: u64) {
        let Ok(file) = node.file() else { return };
        let mut descriptor = file.descriptor.lock();
        if handle & DIRECT == 0 {
            descriptor.cached = descriptor.cached.saturating_sub(1);
            return;
        }
        descriptor.direct = descriptor.direct.saturating_sub(1);
        let unused = if descriptor.direct == 0 { descriptor.backing.take() } else { None };
        drop(descriptor);
        let Some(kernel) = self.kernel() else { return };
        if let Some(number) = unused {
            kernel.close_backing(number);
        }
        if handle & MAPPED != 0 {
            // What was written through a mapping changed the times without the kernel's side noticing.
            kernel.forget_attributes(node.id);
        }
    }

    /// A release may come after the last forget, on another thread, and find nothing: the backing file goes with the inode.
    pub(super) fn close_backing_of_forgotten(&self, node: &Arc<Node>) {
        if node.references.load(Ordering::Acquire) != 0 || node.kind != FileType::RegularFile {
            return;
        }
        let Ok(file) = node.file() else { return };
        let backing = file.descriptor.lock().backing.take();
        if let Some((kernel, number)) = self.kernel().zip(backing) {
            kernel.close_backing(number);
        }
    }

    /// A descriptor to read a file by.
    pub(super) fn reader(&self, node: &Arc<Node>) -> Answer<Arc<OwnedFd>> {
        self.descriptor(node, false)
    }

    /// A descriptor to write a file by; the file is copied up for it.
    pub(super) fn writer(&self, node: &Arc<Node>) -> Answer<Arc<OwnedFd>> {
        self.copy_up(node, u64::MAX)?;
        self.descriptor(node, true)
    }

    fn descriptor(&self, node: &Arc<Node>, writable: bool) -> Answer<Arc<OwnedFd>> {
        let file = node.file()?;
        file.touch();
        let descriptor = file.descriptor.lock();
        if let Some(opened) = &descriptor.file
            && (descriptor.writable || !writable)
        {
            return Ok(Arc::clone(opened));
        }
        let opened = self.open_real(node, if writable { OFlags::RDWR } else { OFlags::RDONLY })?;
        Ok(self.keep_descriptor(node, descriptor, opened, writable))
    }

    /// Keeps a descriptor for the reads and writes to come.
    fn keep_descriptor(
        &self,
        node: &Arc<Node>,
        mut descriptor: MutexGuard<'_, Descriptor>,
        opened: OwnedFd,
        writable: bool,
    ) -> Arc<OwnedFd> {
        let opened = Arc::new(opened);
        let is_new = descriptor.file.replace(Arc::clone(&opened)).is_none();
        descriptor.writable = writable;
        drop(descriptor);
        if is_new {
            self.files.note(closable(node));
        }
        opened
    }

    /// Keeps the descriptor that a file was made with.
    pub(super) fn keep_new(&self, node: &Arc<Node>, opened: OwnedFd) -> Answer<()> {
        let descriptor = node.file()?.descriptor.lock();
        self.keep_descriptor(node, descriptor, opened, true);
        Ok(())
    }

    /// Opens the real file. One of our own that forbids it is permitted for the moment: the kernel has checked who asks.
    fn open_real(&self, node: &Node, flags: OFlags) -> Answer<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOATIME;
        let open = |flags: OFlags| match node.place() {
            Place::In { folder, name } => {
                let opened = folder.open(&self.folders)?;
                rustix::fs::openat(&*opened, &*name, flags | OFlags::NOFOLLOW, Mode::empty())
            }
            Place::Held { file, .. } => {
                rustix::fs::open(format!("/proc/self/fd/{}", file.as_raw_fd()), flags, Mode::empty())
            }
            Place::Merged(_) => Err(Errno::ISDIR),
        };
        match open(flags) {
            // Only the owner may leave the time of access alone.
            Err(Errno::PERM) => open(flags.difference(OFlags::NOATIME)),
            Err(Errno::ACCESS) => self.with_real(node, |real| {
                let mode = self.raw_mode(node)?;
                real.set_mode(mode | 0o600)?;
                let opened = open(flags);
                real.set_mode(mode)?;
                opened
            }),
            other => other,
        }
    }

    fn raw_mode(&self, node: &Node) -> Answer<u32> {
        match node.place() {
            Place::In { folder, name } => {
                let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                Ok(rustix::fs::statat(&*folder.open(&self.folders)?, &*name, flags)?.st_mode)
            }
            Place::Held { file, .. } => Ok(rustix::fs::fstat(&*file)?.st_mode),
            Place::Merged(_) => Err(Errno::ISDIR),
        }
    }

    pub(super) fn read_file(&self, node: &Arc<Node>, offset: u64, into: &mut [u8]) -> Answer<usize> {
        let file = self.reader(node)?;
        let mut filled = 0;
        while filled < into.len() {
            match rustix::io::pread(&*file, &mut into[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(Errno::INTR) => {}
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    pub(super) fn write_file(&self, node: &Arc<Node>, offset: u64, data: &[u8], kill: bool) -> Answer<usize> {
        let file = self.writer(node)?;
        if kill {
            self.kill_privileges(node)?;
        }
        let mut written = 0;
        while written < data.len() {
            match rustix::io::pwrite(&*file, &data[written..], offset + written as u64) {
                Ok(length) => written += length,
                Err(Errno::INTR) => {}
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    pub(super) fn sync_file(&self, node: &Arc<Node>, data_only: bool) -> Answer<()> {
        if self.options.volatile || !self.is_upper(node) {
            return Ok(());
        }
        let file = self.reader(node)?;
        if data_only { rustix::fs::fdatasync(&*file) } else { rustix::fs::fsync(&*file) }
    }

    pub(super) fn allocate_file(&self, node: &Arc<Node>, mode: u32, offset: u64, length: u64) -> Answer<()> {
        let file = self.writer(node)?;
        rustix::fs::fallocate(&*file, FallocateFlags::from_bits_retain(mode), offset, length)
    }

    pub(super) fn seek_file(&self, node: &Arc<Node>, offset: u64, whence: u32) -> Answer<u64> {
        /// `SEEK_DATA` and `SEEK_HOLE` (unistd.h); the kernel does the others by itself.
        const DATA: u32 = 3;
        const HOLE: u32 = 4;
        let position = match whence {
            DATA => SeekFrom::Data(offset),
            HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        // The descriptor's own position is used by nobody.
        rustix::fs::seek(&*self.reader(node)?, position)
    }

    pub(super) fn copy_file_range(
        &self,
        (from, mut read_at): (&Arc<Node>, u64),
        (to, mut write_at): (&Arc<Node>, u64),
        length: u64,
    ) -> Answer<usize> {
        let target = self.writer(to)?;
        let source = self.reader(from)?;
        // The answer has 32 bits.
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(1 << 30);
        rustix::fs::copy_file_range(&*source, Some(&mut read_at), &*target, Some(&mut write_at), length)
    }

    pub(super) fn flags_of(&self, node: &Arc<Node>) -> Answer<u32> {
        let flags = match node.place() {
            Place::Merged(folders) => {
                let opened = folders.first().ok_or(Errno::STALE)?.open(&self.folders)?;
                rustix::fs::ioctl_getflags(&*opened)?
            }
            _ => rustix::fs::ioctl_getflags(&*self.reader(node)?)?,
        };
        Ok(flags.bits())
    }

    pub(super) fn set_flags_of(&self, node: &Arc<Node>, flags: u32) -> Answer<()> {
        self.copy_up(node, u64::MAX)?;
        let flags = IFlags::from_bits_retain(flags);
        match node.place() {
            Place::Merged(folders) => {
                let opened = folders.first().ok_or(Errno::STALE)?.open(&self.folders)?;
                rustix::fs::ioctl_setflags(&*opened, flags)
            }
            _ => rustix::fs::ioctl_setflags(&*self.reader(node)?, flags),
        }
    }
}
