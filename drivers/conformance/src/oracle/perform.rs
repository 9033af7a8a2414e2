//! The same operations on a real tree.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use plywood_archive::tar::Timestamp;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid,
    XattrFlags,
};
use rustix::io::Errno;

use super::operation::{Act, Operation, Text, Times, split};
use super::posix::{OVERWRITTEN_BYTES, REMADE_MODE, check_xattr};

/// Does an operation on the tree below an open folder, and sets the times of what it touched.
///
/// Nothing outside is reached: folders are opened by `openat2(2)` below the root and without following any link.
///
/// # Errors
/// What the system call answers. A failure to set times panics.
pub fn perform(root: &OwnedFd, operation: &Operation<Vec<u8>>, now: Timestamp) -> Result<(), Errno> {
    let touched = operation.act.touched();
    let folders = touched.names.iter().filter_map(|name| split(name)).map(|(folder, _)| (folder, false));
    let nodes = touched.node.into_iter().chain(folders);
    let wanted: Vec<Wanted<'_>> =
        nodes.map(|(path, new)| Wanted::before(root, path, new, operation.times, now)).collect();
    let done = act(root, &operation.act);
    for wanted in wanted {
        match done {
            Ok(()) => wanted.set(root),
            Err(_) => wanted.restore(),
        }
    }
    done
}

/// The time that a node is to have after an operation.
struct Wanted<'a> {
    /// Its folder, held open from before, and its name; none if it is yet to be made.
    held: Option<(OwnedFd, &'a [u8])>,
    path: &'a [u8],
    time: Timestamp,
    /// The time that it had.
    before: Option<Timestamp>,
}

impl<'a> Wanted<'a> {
    fn before(root: &OwnedFd, path: &'a [u8], new: bool, times: Times, now: Timestamp) -> Self {
        let held = if new { None } else { locate(root, path).ok() };
        let before = held.as_ref().and_then(|(folder, name)| stat(folder.as_fd(), name).ok());
        let before = before.map(|stat| modified(&stat));
        let time = before.filter(|_| times == Times::Kept).unwrap_or(now);
        Self { held, path, time, before }
    }

    fn set(self, root: &OwnedFd) {
        let Self { held, path, time, .. } = self;
        let (folder, name) = held.unwrap_or_else(|| locate(root, path).expect("what was made is there"));
        set_modified(folder.as_fd(), name, time).expect("the times of what was touched can be set");
    }

    /// A refused operation may have touched folders all the same: overlayfs copies up what it is to rename before it finds that
    /// it cannot (seen on Linux 6.18, the target being a folder that is not empty).
    fn restore(self) {
        let (Some((folder, name)), Some(before)) = (self.held, self.before) else { return };
        if stat(folder.as_fd(), name).is_ok_and(|stat| modified(&stat) != before) {
            set_modified(folder.as_fd(), name, before).expect("the times of what was touched can be set");
        }
    }
}

fn act(root: &OwnedFd, act: &Act<Vec<u8>>) -> Result<(), Errno> {
    match act {
        Act::Create { at, mode, text } => create(root, at, *mode, *text),
        Act::Write { at, text } => write(&open(root, at, OFlags::TRUNC)?, 0, *text),
        Act::Overwrite { at, offset, byte } => {
            let bytes = [*byte; OVERWRITTEN_BYTES];
            write_at(&open(root, at, OFlags::empty())?, u64::from(*offset), &bytes)
        }
        Act::Append { at, text } => {
            let file = open(root, at, OFlags::empty())?;
            let end = rustix::fs::fstat(&file)?.st_size;
            write(&file, u64::try_from(end).expect("sizes are positive"), *text)
        }
        Act::Truncate { at, size_bytes } => {
            rustix::fs::ftruncate(open(root, at, OFlags::empty())?, u64::from(*size_bytes))
        }
        Act::Replace { at } => replace(root, at),
        Act::Unlink { at } => place(root, at, |folder, name| unlink(folder, name, AtFlags::empty())),
        Act::Rmdir { at } => place(root, at, |folder, name| unlink(folder, name, AtFlags::REMOVEDIR)),
        Act::RemoveTree { at } => place(root, at, remove_tree),
        Act::Remake { at } => place(root, at, |folder, name| {
            if FileType::from_raw_mode(stat(folder, name)?.st_mode) != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            remove_tree(folder, name)?;
            rustix::fs::mkdirat(folder, name, Mode::RWXU)?;
            chmod(folder, name, REMADE_MODE)
        }),
        Act::Mkdir { at, mode } => place(root, at, |folder, name| {
            rustix::fs::mkdirat(folder, name, Mode::RWXU)?;
            chmod(folder, name, *mode)
        }),
        Act::Symlink { at, target } => {
            place(root, at, |folder, name| rustix::fs::symlinkat(target.bytes(), folder, name))
        }
        Act::Mknod { at, special, mode } => place(root, at, |folder, name| {
            rustix::fs::mknodat(folder, name, special.file_type(), Mode::RUSR, special.device())?;
            chmod(folder, name, *mode)
        }),
        Act::Rename { from, to } => two_places(root, from, to, rename),
        Act::Link { from, to } => {
            let (source, name) = locate(root, from)?;
            stat(source.as_fd(), name)?;
            place(root, to, |folder, to| rustix::fs::linkat(&source, name, folder, to, AtFlags::empty()))
        }
        Act::Chmod { .. } | Act::Chown { .. } | Act::SetXattr { .. } | Act::RemoveXattr { .. } => {
            describe(root, act)
        }
        Act::Touch { at } => {
            let (folder, name) = locate(root, at)?;
            stat(folder.as_fd(), name).map(drop)
        }
    }
}

fn describe(root: &OwnedFd, act: &Act<Vec<u8>>) -> Result<(), Errno> {
    let (Act::Chmod { at, .. }
    | Act::Chown { at, .. }
    | Act::SetXattr { at, .. }
    | Act::RemoveXattr { at, .. }) = act
    else {
        return Err(Errno::INVAL);
    };
    let (folder, name) = locate(root, at)?;
    let file_type = FileType::from_raw_mode(stat(folder.as_fd(), name)?.st_mode);
    match act {
        Act::Chmod { .. } if file_type == FileType::Symlink => Err(Errno::OPNOTSUPP),
        Act::Chmod { mode, .. } => chmod(folder.as_fd(), name, *mode),
        Act::Chown { uid, gid, .. } => chown(folder.as_fd(), name, *uid, *gid),
        Act::SetXattr { attribute, value, .. } => {
            check_xattr(*attribute, file_type).or_else(|refused| {
                // What Linux itself refuses is asked of it.
                if refused == Errno::PERM { Ok(()) } else { Err(refused) }
            })?;
            let path = through_descriptor(folder.as_fd(), name);
            rustix::fs::lsetxattr(&*path, attribute.name(), &attribute.value(*value), XattrFlags::empty())
        }
        Act::RemoveXattr { attribute, .. } => {
            check_xattr(*attribute, file_type)
                .or_else(|refused| if refused == Errno::PERM { Ok(()) } else { Err(refused) })?;
            rustix::fs::lremovexattr(&*through_descriptor(folder.as_fd(), name), attribute.name())
        }
        _ => Err(Errno::INVAL),
    }
}

/// Opens a folder below the root.
fn folder(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let path = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(root, path, flags, Mode::empty(), confined)
}

/// The folder of a path, and the name in it; of the root itself `.`.
fn locate<'p>(root: &OwnedFd, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8]), Errno> {
    let (parent, name) = split(path).unwrap_or((b"", b"."));
    Ok((folder(root, parent)?, name))
}

/// Does something at a path that is not the root's.
fn place(
    root: &OwnedFd,
    path: &[u8],
    act: impl FnOnce(BorrowedFd<'_>, &[u8]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let (parent, name) = split(path).ok_or(Errno::INVAL)?;
    act(folder(root, parent)?.as_fd(), name)
}

type Place<'a> = (BorrowedFd<'a>, &'a [u8]);

fn two_places(
    root: &OwnedFd,
    from: &[u8],
    to: &[u8],
    act: impl FnOnce(Place<'_>, Place<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    place(root, from, |source, name| place(root, to, |target, other| act((source, name), (target, other))))
}

fn stat(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn modified(stat: &Stat) -> Timestamp {
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).expect("the kernel keeps nanoseconds below 10^9");
    Timestamp { seconds: stat.st_mtime, nanoseconds }
}

fn set_modified(folder: BorrowedFd<'_>, name: &[u8], time: Timestamp) -> Result<(), Errno> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) },
    };
    rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn chmod(folder: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<(), Errno> {
    rustix::fs::chmodat(folder, name, Mode::from_raw_mode(mode), AtFlags::empty())
}

fn chown(folder: BorrowedFd<'_>, name: &[u8], uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn unlink(folder: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<(), Errno> {
    rustix::fs::unlinkat(folder, name, flags)
}

/// The attributes' calls have no `*at` form before Linux 6.13.
fn through_descriptor(folder: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name].concat()
}

fn create(root: &OwnedFd, at: &[u8], mode: u32, text: Text) -> Result<(), Errno> {
    place(root, at, |folder, name| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?);
        write(&file, 0, text)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))
    })
}

/// Opens a regular file to write to it. Pipes and devices are not opened: one would wait, the other might be there.
fn open(root: &OwnedFd, at: &[u8], more: OFlags) -> Result<File, Errno> {
    let (folder, name) = locate(root, at)?;
    match FileType::from_raw_mode(stat(folder.as_fd(), name)?.st_mode) {
        FileType::RegularFile | FileType::Directory | FileType::Symlink => {}
        _ => return Err(Errno::NXIO),
    }
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    rustix::fs::openat(folder, name, flags, Mode::empty()).map(File::from)
}

/// Writes the data of a text and leaves its holes.
fn write(file: &File, at: u64, text: Text) -> Result<(), Errno> {
    for (offset, data) in text.data() {
        write_at(file, at + offset as u64, &data)?;
    }
    Ok(())
}

fn write_at(file: &File, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    file.write_all_at(bytes, offset).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn names(folder: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn open_folder(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    if FileType::from_raw_mode(stat(parent, name)?.st_mode) != FileType::Directory {
        return unlink(parent, name, AtFlags::empty());
    }
    let inside = open_folder(parent, name)?;
    for inner in names(&inside)? {
        remove_tree(inside.as_fd(), &inner)?;
    }
    unlink(parent, name, AtFlags::REMOVEDIR)
}

/// Renames as `mv -T` does: overlayfs does not move folders of its lower layers by itself.
fn rename(from: Place<'_>, to: Place<'_>) -> Result<(), Errno> {
    match rustix::fs::renameat(from.0, from.1, to.0, to.1) {
        Err(Errno::XDEV) => move_folder(from, to),
        other => other,
    }
}

fn move_folder(from: Place<'_>, to: Place<'_>) -> Result<(), Errno> {
    let old = stat(from.0, from.1)?;
    match unlink(to.0, to.1, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => {}
        other => other?,
    }
    rustix::fs::mkdirat(to.0, to.1, Mode::RWXU)?;
    let (source, target) = (open_folder(from.0, from.1)?, open_folder(to.0, to.1)?);
    for name in names(&source)? {
        rename((source.as_fd(), &name), (target.as_fd(), &name))?;
    }
    describe_like(from, to, &old)?;
    unlink(from.0, from.1, AtFlags::REMOVEDIR)
}

/// Gives a node the owner, mode, attributes and time of another one.
fn describe_like(from: Place<'_>, to: Place<'_>, old: &Stat) -> Result<(), Errno> {
    chown(to.0, to.1, old.st_uid, old.st_gid)?;
    chmod(to.0, to.1, old.st_mode & 0o7777)?;
    let (source, target) = (through_descriptor(from.0, from.1), through_descriptor(to.0, to.1));
    let mut list = vec![0_u8; 4 << 10];
    let length = rustix::fs::llistxattr(&*source, &mut list)?;
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 4 << 10];
        let length = rustix::fs::lgetxattr(&*source, name, &mut value)?;
        rustix::fs::lsetxattr(&*target, name, &value[..length], XattrFlags::empty())?;
    }
    set_modified(to.0, to.1, modified(old))
}

/// Puts a copy of a file in its place.
fn replace(root: &OwnedFd, at: &[u8]) -> Result<(), Errno> {
    let (folder, name) = locate(root, at)?;
    let old = stat(folder.as_fd(), name)?;
    match FileType::from_raw_mode(old.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR),
        FileType::Symlink => return Err(Errno::LOOP),
        _ => return Err(Errno::NXIO),
    }
    let source = rustix::fs::openat(&folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = vec![0; usize::try_from(old.st_size).expect("the oracle's files are small")];
    File::from(source)
        .read_exact_at(&mut bytes, 0)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    // No other operation makes this name.
    let copy = b".replacing".as_slice();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    write_at(&File::from(rustix::fs::openat(&folder, copy, flags, Mode::RUSR)?), 0, &bytes)?;
    describe_like((folder.as_fd(), name), (folder.as_fd(), copy), &old)?;
    rustix::fs::renameat(&folder, copy, &folder, name)
}
