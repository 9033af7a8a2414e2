//! One request, from its bytes to its answer.

use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuse_abi::linux::{
    FATTR_ATIME, FATTR_ATIME_NOW, FATTR_CTIME, FATTR_GID, FATTR_KILL_SUIDGID, FATTR_MODE, FATTR_MTIME,
    FATTR_MTIME_NOW, FATTR_SIZE, FATTR_UID, FOPEN_KEEP_CACHE, FOPEN_NOFLUSH, FOPEN_PASSTHROUGH,
    FUSE_FSYNC_FDATASYNC, FUSE_SETXATTR_ACL_KILL_SGID, FUSE_WRITE_KILL_SUIDGID, fuse_batch_forget_in,
    fuse_copy_file_range_in, fuse_create_in, fuse_fallocate_in, fuse_forget_in, fuse_forget_one,
    fuse_fsync_in, fuse_getxattr_in, fuse_getxattr_out, fuse_in_header, fuse_ioctl_in, fuse_ioctl_out,
    fuse_kstatfs, fuse_link_in, fuse_lseek_in, fuse_lseek_out, fuse_mkdir_in, fuse_mknod_in, fuse_opcode,
    fuse_open_in, fuse_open_out, fuse_read_in, fuse_release_in, fuse_rename_in, fuse_rename2_in,
    fuse_setattr_in, fuse_setxattr_in, fuse_statfs_out, fuse_write_in, fuse_write_out,
};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::folder_buffer::FolderBuffer;
use super::reply::{self, Reply};
use super::wire::{Body, new_time};
use crate::request::{Answer, Caller, Changes, Entry, FileSystem, NewNode, Opened};

/// Hands requests to a file system.
pub(super) struct Dispatcher<F> {
    pub(super) file_system: Arc<F>,
    /// Requests to set an attribute have flags.
    pub(super) xattr_flags: bool,
}

/// Memory that a thread uses for one answer after the other.
#[derive(Default)]
pub(super) struct Scratch {
    read: Vec<u8>,
    folder: Vec<u8>,
}

/// A request whose header was read.
struct Request<'a> {
    operation: fuse_opcode,
    node: u64,
    caller: Caller,
    reply: Reply<'a>,
}

impl<F: FileSystem> Dispatcher<F> {
    /// Answers a request, if it wants an answer. A panic answers `EIO`, so that nobody waits for ever.
    pub(super) fn handle(&self, channel: BorrowedFd<'_>, message: &[u8], scratch: &mut Scratch) {
        let mut body = Body::new(message);
        let Ok(header) = body.take::<fuse_in_header>() else { return };
        let reply = Reply::new(channel, header.unique);
        let Ok(operation) = fuse_opcode::try_from(header.opcode) else { return reply.error(Errno::NOSYS) };
        let caller = Caller { uid: header.uid, gid: header.gid };
        let request = Request { operation, node: header.nodeid, caller, reply };
        tracing::trace!(?operation, node = header.nodeid, "request");
        let answered = catch_unwind(AssertUnwindSafe(|| self.dispatch(&request, &mut body, scratch)));
        match answered {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::trace!(?operation, node = header.nodeid, %error, "refused");
                reply.error(error);
            }
            Err(_) => {
                tracing::error!(
                    ?operation,
                    node = header.nodeid,
                    "a request failed by a bug of this program"
                );
                reply.error(Errno::IO);
            }
        }
    }

    fn dispatch(&self, request: &Request<'_>, body: &mut Body<'_>, scratch: &mut Scratch) -> Answer<()> {
        use fuse_opcode as Op;
        match request.operation {
            Op::FUSE_FORGET | Op::FUSE_BATCH_FORGET => self.forget(request, body),
            Op::FUSE_INTERRUPT | Op::FUSE_NOTIFY_REPLY => Ok(()),
            Op::FUSE_LOOKUP | Op::FUSE_GETATTR | Op::FUSE_STATX | Op::FUSE_READLINK | Op::FUSE_STATFS => {
                self.look(request, body)
            }
            Op::FUSE_SETATTR => self.set_attributes(request, body),
            Op::FUSE_MKNOD | Op::FUSE_MKDIR | Op::FUSE_SYMLINK | Op::FUSE_LINK => self.make(request, body),
            Op::FUSE_CREATE | Op::FUSE_TMPFILE => self.create(request, body),
            Op::FUSE_UNLINK | Op::FUSE_RMDIR | Op::FUSE_RENAME | Op::FUSE_RENAME2 => {
                self.move_name(request, body)
            }
            Op::FUSE_OPEN | Op::FUSE_RELEASE => self.open(request, body),
            Op::FUSE_READ => self.read(request, body, scratch),
            Op::FUSE_READDIR | Op::FUSE_READDIRPLUS => self.read_folder(request, body, scratch),
            Op::FUSE_WRITE | Op::FUSE_FSYNC | Op::FUSE_FSYNCDIR | Op::FUSE_FALLOCATE => {
                self.write(request, body)
            }
            Op::FUSE_LSEEK | Op::FUSE_COPY_FILE_RANGE | Op::FUSE_IOCTL => self.range(request, body),
            Op::FUSE_GETXATTR | Op::FUSE_LISTXATTR | Op::FUSE_SETXATTR | Op::FUSE_REMOVEXATTR => {
                self.xattr(request, body)
            }
            Op::FUSE_DESTROY => {
                request.reply.data(&[]);
                Ok(())
            }
            // Among them OPENDIR and FLUSH: once refused, the kernel does without.
            _ => Err(Errno::NOSYS),
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "as all that is dispatched to")]
    fn forget(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        // No answer is waited for, not even an error.
        if request.operation == fuse_opcode::FUSE_FORGET {
            if let Ok(one) = body.take::<fuse_forget_in>() {
                self.file_system.forget(request.node, one.nlookup);
            }
        } else if let Ok(many) = body.take::<fuse_batch_forget_in>() {
            for _ in 0..many.count {
                let Ok(one) = body.take::<fuse_forget_one>() else { break };
                self.file_system.forget(one.nodeid, one.nlookup);
            }
        }
        Ok(())
    }

    fn look(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        let reply = request.reply;
        match request.operation {
            fuse_opcode::FUSE_LOOKUP => {
                let found = self.file_system.lookup(request.node, body.name()?)?;
                reply.data(reply::entry(found.as_ref()).as_bytes());
            }
            fuse_opcode::FUSE_GETATTR => {
                let attributes = self.file_system.attributes(request.node)?;
                reply.data(reply::attributes(&attributes).as_bytes());
            }
            fuse_opcode::FUSE_STATX => {
                let (attributes, born) = self.file_system.extended_attributes_of_stat(request.node)?;
                reply.data(reply::statx(&attributes, born).as_bytes());
            }
            fuse_opcode::FUSE_READLINK => reply.data(&self.file_system.read_link(request.node)?),
            _ => {
                let space = self.file_system.space()?;
                let st = fuse_kstatfs {
                    blocks: space.blocks,
                    bfree: space.free,
                    bavail: space.available,
                    files: space.files,
                    ffree: space.free_files,
                    bsize: space.block_size,
                    namelen: space.name_length,
                    frsize: space.fragment_size,
                    ..Default::default()
                };
                reply.data(fuse_statfs_out { st }.as_bytes());
            }
        }
        Ok(())
    }

    fn set_attributes(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        let given: fuse_setattr_in = body.take()?;
        let has = |flag: u32| given.valid & flag != 0;
        let changes = Changes {
            mode: has(FATTR_MODE).then_some(given.mode),
            uid: has(FATTR_UID).then_some(given.uid),
            gid: has(FATTR_GID).then_some(given.gid),
            size: has(FATTR_SIZE).then_some(given.size),
            accessed: new_time(has(FATTR_ATIME), has(FATTR_ATIME_NOW), given.atime, given.atimensec),
            modified: new_time(has(FATTR_MTIME), has(FATTR_MTIME_NOW), given.mtime, given.mtimensec),
            status_time: has(FATTR_CTIME),
            kill_privileges: has(FATTR_KILL_SUIDGID),
        };
        let attributes = self.file_system.set_attributes(request.node, &changes)?;
        request.reply.data(reply::attributes(&attributes).as_bytes());
        Ok(())
    }

    fn make(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        let (caller, parent) = (request.caller, request.node);
        let entry = match request.operation {
            fuse_opcode::FUSE_MKNOD => {
                let given: fuse_mknod_in = body.take()?;
                let new = NewNode { parent, name: body.name()?, mode: given.mode, umask: given.umask };
                self.file_system.make_node(caller, &new, given.rdev)?
            }
            fuse_opcode::FUSE_MKDIR => {
                let given: fuse_mkdir_in = body.take()?;
                let new = NewNode { parent, name: body.name()?, mode: given.mode, umask: given.umask };
                self.file_system.make_folder(caller, &new)?
            }
            fuse_opcode::FUSE_SYMLINK => {
                let new = NewNode { parent, name: body.name()?, mode: 0o777, umask: 0 };
                self.file_system.make_link(caller, &new, body.name()?)?
            }
            _ => {
                let given: fuse_link_in = body.take()?;
                self.file_system.link(given.oldnodeid, parent, body.name()?)?
            }
        };
        Self::send_entry(request, &entry)
    }

    #[allow(clippy::unnecessary_wraps, reason = "as all that answer")]
    fn send_entry(request: &Request<'_>, entry: &Entry) -> Answer<()> {
        request.reply.data(reply::entry(Some(entry)).as_bytes());
        Ok(())
    }

    fn create(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        let given: fuse_create_in = body.take()?;
        let name = body.name()?;
        let new = NewNode { parent: request.node, name, mode: given.mode, umask: given.umask };
        let (entry, opened) = if request.operation == fuse_opcode::FUSE_CREATE {
            self.file_system.create(request.caller, &new, given.flags)?
        } else {
            self.file_system.make_unnamed(request.caller, &new, given.flags)?
        };
        request.reply.parts(&[reply::entry(Some(&entry)).as_bytes(), open_out(opened).as_bytes()]);
        Ok(())
    }

    fn move_name(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        let file_system = &*self.file_system;
        match request.operation {
            fuse_opcode::FUSE_UNLINK => file_system.unlink(request.node, body.name()?)?,
            fuse_opcode::FUSE_RMDIR => file_system.remove_folder(request.node, body.name()?)?,
            operation => {
                let (folder, flags) = if operation == fuse_opcode::FUSE_RENAME {
                    (body.take::<fuse_rename_in>()?.newdir, 0)
                } else {
                    let given: fuse_rename2_in = body.take()?;
                    (given.newdir, given.flags)
                };
                let (from, to) = (body.name()?, body.name()?);
                file_system.rename((request.node, from), (folder, to), flags)?;
            }
        }
        request.reply.data(&[]);
        Ok(())
    }

    fn open(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        if request.operation == fuse_opcode::FUSE_OPEN {
            let given: fuse_open_in = body.take()?;
            let opened = self.file_system.open(request.node, given.flags)?;
            request.reply.data(open_out(opened).as_bytes());
        } else {
            let given: fuse_release_in = body.take()?;
            self.file_system.release(request.node, given.fh);
            request.reply.data(&[]);
        }
        Ok(())
    }

    fn read(&self, request: &Request<'_>, body: &mut Body<'_>, scratch: &mut Scratch) -> Answer<()> {
        let given: fuse_read_in = body.take()?;
        let size = usize::try_from(given.size).map_err(|_| Errno::INVAL)?;
        if scratch.read.len() < size {
            scratch.read.resize(size, 0);
        }
        let filled = self.file_system.read(request.node, given.offset, &mut scratch.read[..size])?;
        request.reply.data(&scratch.read[..filled]);
        Ok(())
    }

    fn read_folder(&self, request: &Request<'_>, body: &mut Body<'_>, scratch: &mut Scratch) -> Answer<()> {
        let given: fuse_read_in = body.take()?;
        let plus = request.operation == fuse_opcode::FUSE_READDIRPLUS;
        let limit = usize::try_from(given.size).map_err(|_| Errno::INVAL)?;
        let mut sink = FolderBuffer::new(&mut scratch.folder, limit, plus);
        self.file_system.read_folder(request.node, given.offset, plus, &mut sink)?;
        request.reply.data(&scratch.folder);
        Ok(())
    }

    fn write(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        let (file_system, node) = (&*self.file_system, request.node);
        match request.operation {
            fuse_opcode::FUSE_WRITE => {
                let given: fuse_write_in = body.take()?;
                let kill = given.write_flags & FUSE_WRITE_KILL_SUIDGID != 0;
                let written = file_system.write(node, given.offset, body.bytes(given.size)?, kill)?;
                let size = u32::try_from(written).map_err(|_| Errno::IO)?;
                request.reply.data(fuse_write_out { size, padding: 0 }.as_bytes());
                return Ok(());
            }
            fuse_opcode::FUSE_FSYNC => {
                let given: fuse_fsync_in = body.take()?;
                file_system.sync(node, given.fsync_flags & FUSE_FSYNC_FDATASYNC != 0)?;
            }
            fuse_opcode::FUSE_FSYNCDIR => file_system.sync_folder(node)?,
            _ => {
                let given: fuse_fallocate_in = body.take()?;
                file_system.allocate(node, given.mode, given.offset, given.length)?;
            }
        }
        request.reply.data(&[]);
        Ok(())
    }

    fn range(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        let (file_system, node) = (&*self.file_system, request.node);
        match request.operation {
            fuse_opcode::FUSE_LSEEK => {
                let given: fuse_lseek_in = body.take()?;
                let offset = file_system.seek(node, given.offset, given.whence)?;
                request.reply.data(fuse_lseek_out { offset }.as_bytes());
            }
            fuse_opcode::FUSE_COPY_FILE_RANGE => {
                let given: fuse_copy_file_range_in = body.take()?;
                let to = (given.nodeid_out, given.off_out);
                let copied = file_system.copy_range((node, given.off_in), to, given.len)?;
                let size = u32::try_from(copied).map_err(|_| Errno::IO)?;
                request.reply.data(fuse_write_out { size, padding: 0 }.as_bytes());
            }
            _ => self.ioctl(request, body)?,
        }
        Ok(())
    }

    fn ioctl(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        /// `FS_IOC_GETFLAGS` and `FS_IOC_SETFLAGS`, with the size of a long and of an int (linux/fs.h).
        const GET: [u32; 2] = [0x8008_6601, 0x8004_6601];
        const SET: [u32; 2] = [0x4008_6602, 0x4004_6602];
        let given: fuse_ioctl_in = body.take()?;
        let out = fuse_ioctl_out::default();
        if GET.contains(&given.cmd) {
            let flags = u64::from(self.file_system.file_flags(request.node)?).to_ne_bytes();
            let size = usize::try_from(given.out_size).unwrap_or_default().min(flags.len());
            request.reply.parts(&[out.as_bytes(), &flags[..size]]);
        } else if SET.contains(&given.cmd) {
            let flags: u32 = body.take()?;
            self.file_system.set_file_flags(request.node, flags)?;
            request.reply.data(out.as_bytes());
        } else {
            return Err(Errno::NOTTY);
        }
        Ok(())
    }

    fn xattr(&self, request: &Request<'_>, body: &mut Body<'_>) -> Answer<()> {
        let (file_system, node) = (&*self.file_system, request.node);
        match request.operation {
            fuse_opcode::FUSE_GETXATTR => {
                let given: fuse_getxattr_in = body.take()?;
                send_sized(request, given.size, &file_system.xattr(node, body.name()?)?)
            }
            fuse_opcode::FUSE_LISTXATTR => {
                let given: fuse_getxattr_in = body.take()?;
                send_sized(request, given.size, &file_system.xattrs(node)?)
            }
            fuse_opcode::FUSE_SETXATTR => {
                let (size, flags, extra) = self.set_xattr_header(body)?;
                let name = body.name()?;
                let value = body.bytes(size)?;
                file_system.set_xattr(node, name, value, flags, extra & FUSE_SETXATTR_ACL_KILL_SGID != 0)?;
                request.reply.data(&[]);
                Ok(())
            }
            _ => {
                file_system.remove_xattr(node, body.name()?)?;
                request.reply.data(&[]);
                Ok(())
            }
        }
    }

    /// The header grew with Linux 5.12, where that was agreed on.
    fn set_xattr_header(&self, body: &mut Body<'_>) -> Answer<(u32, u32, u32)> {
        if self.xattr_flags {
            let given: fuse_setxattr_in = body.take()?;
            return Ok((given.size, given.flags, given.setxattr_flags));
        }
        let given: [u32; 2] = body.take()?;
        Ok((given[0], given[1], 0))
    }
}

/// Answers a value, its size where only that is asked for, or that there is not enough room.
fn send_sized(request: &Request<'_>, room: u32, value: &[u8]) -> Answer<()> {
    let size = u32::try_from(value.len()).map_err(|_| Errno::TOOBIG)?;
    match room {
        0 => request.reply.data(fuse_getxattr_out { size, padding: 0 }.as_bytes()),
        room if room < size => return Err(Errno::RANGE),
        _ => request.reply.data(value),
    }
    Ok(())
}

fn open_out(opened: Opened) -> fuse_open_out {
    match opened.backing {
        Some(backing) => fuse_open_out {
            fh: opened.handle,
            open_flags: FOPEN_PASSTHROUGH | FOPEN_NOFLUSH,
            backing_id: backing.cast_signed(),
        },
        None => {
            fuse_open_out { fh: opened.handle, open_flags: FOPEN_KEEP_CACHE | FOPEN_NOFLUSH, backing_id: 0 }
        }
    }
}
