//! The content of regular files: opened, and copied with its holes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use plywood_archive::tar::Segment;
use rustix::fs::{FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::metadata::file_type;
use crate::resolve::Node;

/// Bytes copied at once where the kernel does not copy by itself.
const BUFFER_BYTES: usize = 256 << 10;

/// Opens a regular file for reading. One of the caller's own that forbids it is permitted for the moment of opening.
///
/// It is looked at before it is opened, by one descriptor: a container that runs could put a device of the host's in its place.
///
/// # Errors
/// Those of `openat(2)`; `EINVAL` for anything but a regular file.
pub fn open_readable(node: Node<'_>) -> rustix::io::Result<OwnedFd> {
    let held = node.open(OFlags::PATH)?;
    let stat = rustix::fs::fstat(&held)?;
    if file_type(&stat) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::ACCESS) => open_forbidden(&held, &stat),
        other => other,
    }
}

/// Without privilege a file of mode 0000 must be permitted first; its mode is put back at once.
fn open_forbidden(held: &OwnedFd, stat: &Stat) -> rustix::io::Result<OwnedFd> {
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Errno::ACCESS);
    }
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    rustix::fs::chmod(path.as_str(), mode | Mode::RUSR)?;
    let opened = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    rustix::fs::chmod(path.as_str(), mode)?;
    opened
}

/// Parts up to this size are copied through memory: two short calls cost less than what `copy_file_range` sets up.
const SMALL_BYTES: u64 = 64 << 10;

/// Copies the content of a regular file into an empty one: shared where the file system can (`FICLONE`), else by the
/// kernel (`copy_file_range`), else through memory. Holes stay holes.
///
/// # Errors
/// Those of reading and writing.
pub fn copy_content(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size_bytes: u64) -> io::Result<()> {
    if size_bytes == 0 || rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let segments = data_segments(from, size_bytes)?;
    if segments.last().is_none_or(|last| last.offset + last.length < size_bytes) {
        rustix::fs::ftruncate(to, size_bytes)?;
    }
    segments.iter().try_for_each(|segment| copy_range(from, to, segment))
}

/// The parts of a file that hold data, in order, as `SEEK_DATA` and `SEEK_HOLE` tell them.
///
/// # Errors
/// Those of `lseek(2)`.
pub fn data_segments(file: BorrowedFd<'_>, size_bytes: u64) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut offset = 0;
    // Most files have no hole, and one question tells.
    if size_bytes > 0 && rustix::fs::seek(file, SeekFrom::Hole(0)).is_ok_and(|hole| hole >= size_bytes) {
        return Ok(vec![Segment { offset: 0, length: size_bytes }]);
    }
    while offset < size_bytes {
        let start = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // No data after this offset.
            Err(Errno::NXIO) => break,
            // The file system does not tell: all of it is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                return Ok(vec![Segment { offset: 0, length: size_bytes }]);
            }
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(size_bytes);
        if end <= start {
            break;
        }
        segments.push(Segment { offset: start, length: end - start });
        offset = end;
    }
    Ok(segments)
}

fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, segment: &Segment) -> io::Result<()> {
    let (mut read_at, mut write_at) = (segment.offset, segment.offset);
    let end = segment.offset + segment.length;
    if segment.length <= SMALL_BYTES {
        return copy_bytes(from, to, read_at, end);
    }
    while read_at < end {
        let length = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), length) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                return copy_bytes(from, to, read_at, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, mut offset: u64, end: u64) -> io::Result<()> {
    // Most files are small.
    let length = usize::try_from(end - offset).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
    let mut buffer = vec![0_u8; length];
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        let length = retry_on_intr(|| rustix::io::pread(from, &mut buffer[..wanted], offset))?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match retry_on_intr(|| rustix::io::pwrite(to, &buffer[..length], offset))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => offset += written as u64,
        }
    }
    Ok(())
}

/// Whether two files of one size hold the same bytes. Where both have a hole, nothing is read.
///
/// # Errors
/// Those of reading.
pub fn same_content(one: &OwnedFd, other: &OwnedFd) -> io::Result<bool> {
    let size_bytes = u64::try_from(rustix::fs::fstat(one)?.st_size).unwrap_or_default();
    // Most files are small, and there are many.
    let length = usize::try_from(size_bytes).map_or(BUFFER_BYTES, |size| size.min(BUFFER_BYTES));
    let mut buffers = (vec![0_u8; length], vec![0_u8; length]);
    let mut holes = (Holes::new(one.as_fd()), Holes::new(other.as_fd()));
    let mut offset = 0;
    while offset < size_bytes {
        offset = holes.0.end_at(offset, size_bytes)?.min(holes.1.end_at(offset, size_bytes)?);
        let first = read_full(one.as_fd(), &mut buffers.0, offset)?;
        let second = read_full(other.as_fd(), &mut buffers.1, offset)?;
        if buffers.0[..first] != buffers.1[..second] {
            return Ok(false);
        }
        if first == 0 {
            break;
        }
        offset += first as u64;
    }
    Ok(true)
}

/// The holes of a file, asked for in ascending order.
struct Holes<'a> {
    file: BorrowedFd<'a>,
    /// Where the next data is, as far as that is known.
    data: u64,
}

impl<'a> Holes<'a> {
    fn new(file: BorrowedFd<'a>) -> Self {
        Self { file, data: 0 }
    }

    /// The end of the hole at an offset: where there is data, the offset itself.
    fn end_at(&mut self, offset: u64, size_bytes: u64) -> io::Result<u64> {
        if self.data <= offset {
            self.data = match rustix::fs::seek(self.file, SeekFrom::Data(offset)) {
                Ok(data) => data,
                Err(Errno::NXIO) => size_bytes,
                // The file system does not tell: all of it is data.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => offset,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.data)
    }
}

fn read_full(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}
