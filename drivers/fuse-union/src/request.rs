//! What a kernel asks of a file system, without the words of any transport.
//!
//! The union file system implements [`FileSystem`]; a transport (`/dev/fuse` here) decodes requests, calls it from as many
//! threads as there is work for, and encodes the answers.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

pub use rustix::io::Errno;

/// An answer; the error goes to whoever made the system call.
pub type Answer<T> = Result<T, Errno>;

/// Names an inode between kernel and file system. Never used a second time.
pub type NodeId = u64;

/// The root folder.
pub const ROOT: NodeId = 1;

/// On whose behalf a request is made, in the ids of the mounter's user namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller {
    /// The user, for files that are made.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// A moment; negative seconds are before 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds, below 10^9.
    pub nanoseconds: u32,
}

/// What `stat(2)` tells of an inode.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes {
    /// The number that programs see.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub accessed: Time,
    /// Last change of content.
    pub modified: Time,
    /// Last change of status.
    pub changed: Time,
    /// Type and permission bits.
    pub mode: u32,
    /// Names.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number, in the kernel's 32 bits.
    pub device: u32,
    /// Preferred size of reads and writes.
    pub block_size: u32,
}

/// An inode that the kernel gets to know; it owes one forget for each.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The inode.
    pub node: NodeId,
    /// Its attributes.
    pub attributes: Attributes,
}

/// A new time for a file.
#[derive(Debug, Clone, Copy)]
pub enum NewTime {
    /// The present.
    Now,
    /// This.
    At(Time),
}

/// What is to change of an inode.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Last read.
    pub accessed: Option<NewTime>,
    /// Last change of content.
    pub modified: Option<NewTime>,
    /// The kernel also says when the status changed: it flushes times that it kept.
    pub status_time: bool,
    /// Set-id bits and file capabilities go, because the size changes.
    pub kill_privileges: bool,
}

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewNode<'a> {
    /// The folder.
    pub parent: NodeId,
    /// The name in it.
    pub name: &'a [u8],
    /// Type and permission bits, the umask not applied yet.
    pub mode: u32,
    /// The caller's umask.
    pub umask: u32,
}

/// How an open file is to be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Comes back with every request on the open file.
    pub handle: u64,
    /// The kernel reads and writes this registered file by itself.
    pub backing: Option<u32>,
}

/// A name in a folder.
#[derive(Debug, Clone, Copy)]
pub struct FolderEntry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The number that programs see.
    pub ino: u64,
    /// The type, as in `d_type`.
    pub kind: u8,
    /// Where the next read goes on.
    pub next: u64,
}

/// Takes the entries of a folder, as many as there is room for.
pub trait FolderSink {
    /// Whether an entry with a name of this length has room.
    fn fits(&self, name_length: usize) -> bool;
    /// Takes an entry; `entry` is what a look-up of it would answer, where that was asked for.
    fn push(&mut self, listed: &FolderEntry<'_>, entry: Option<&Entry>);
}

/// Space on the file system that takes the writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Space {
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks for users without privilege.
    pub available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub free_files: u64,
    /// Bytes a block of I/O.
    pub block_size: u32,
    /// Bytes a block of the counts above.
    pub fragment_size: u32,
    /// Longest name in bytes.
    pub name_length: u32,
}

/// What a file system wants of the kernel, and then what it got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent features, as the kernel's own bits")]
pub struct Features {
    /// Written pages are kept and come in large writes.
    pub writeback: bool,
    /// Files may be read and written by the kernel through their backing files.
    pub passthrough: bool,
    /// The kernel checks access control lists.
    pub access_control_lists: bool,
    /// The kernel leaves it to us to clear set-id bits and capabilities on writes.
    pub kill_privileges: bool,
}

/// What the file system may do to the kernel's side.
pub trait Kernel: Send + Sync {
    /// Registers a file for passthrough.
    ///
    /// # Errors
    /// Those of the ioctl.
    fn open_backing(&self, file: BorrowedFd<'_>) -> Answer<u32>;
    /// Gives the number of [`open_backing`](Self::open_backing) back.
    fn close_backing(&self, number: u32);
    /// The attributes that are cached of an inode are no longer true.
    fn forget_attributes(&self, node: NodeId);
    /// The whole content of a file, which the kernel may keep: it need not ask for that then. Nobody may write the file meanwhile.
    ///
    /// # Errors
    /// Those of writing to the device; the kernel asks for the content then.
    fn keep_content(&self, node: NodeId, content: &[u8]) -> Answer<()>;
    /// Inodes that nobody uses may be forgotten (Linux 6.18).
    ///
    /// # Errors
    /// `EINVAL` where the kernel does not know the notice.
    fn prune(&self, nodes: &[NodeId]) -> Answer<()>;
}

/// A file system, called from many threads at once.
#[allow(missing_docs, reason = "each is the system call of its name")]
#[allow(clippy::missing_errors_doc, reason = "each answers the errors of the system call of its name")]
pub trait FileSystem: Send + Sync + 'static {
    fn wishes(&self) -> Features;
    /// Called once, before all others.
    fn start(&self, granted: Features, kernel: Arc<dyn Kernel>);

    /// Called once, after all others: the mount is gone.
    fn end(&self);

    fn lookup(&self, parent: NodeId, name: &[u8]) -> Answer<Option<Entry>>;
    fn forget(&self, node: NodeId, lookups: u64);
    fn attributes(&self, node: NodeId) -> Answer<Attributes>;
    /// Also answers the time of birth, where it is known.
    fn extended_attributes_of_stat(&self, node: NodeId) -> Answer<(Attributes, Option<Time>)>;
    fn set_attributes(&self, node: NodeId, changes: &Changes) -> Answer<Attributes>;
    fn read_link(&self, node: NodeId) -> Answer<Vec<u8>>;

    fn make_node(&self, caller: Caller, new: &NewNode<'_>, device: u32) -> Answer<Entry>;
    fn make_folder(&self, caller: Caller, new: &NewNode<'_>) -> Answer<Entry>;
    fn make_link(&self, caller: Caller, new: &NewNode<'_>, target: &[u8]) -> Answer<Entry>;
    fn create(&self, caller: Caller, new: &NewNode<'_>, flags: u32) -> Answer<(Entry, Opened)>;
    fn make_unnamed(&self, caller: Caller, new: &NewNode<'_>, flags: u32) -> Answer<(Entry, Opened)>;
    fn link(&self, node: NodeId, parent: NodeId, name: &[u8]) -> Answer<Entry>;
    fn unlink(&self, parent: NodeId, name: &[u8]) -> Answer<()>;
    fn remove_folder(&self, parent: NodeId, name: &[u8]) -> Answer<()>;
    fn rename(&self, from: (NodeId, &[u8]), to: (NodeId, &[u8]), flags: u32) -> Answer<()>;

    /// `ENOSYS` says that files need no opening, once and for all. `O_TRUNC` comes as a change of the size afterwards.
    fn open(&self, node: NodeId, flags: u32) -> Answer<Opened>;
    fn release(&self, node: NodeId, handle: u64);
    /// Answers how many bytes of `into` were filled; fewer at the end of the file only.
    fn read(&self, node: NodeId, offset: u64, into: &mut [u8]) -> Answer<usize>;
    fn write(&self, node: NodeId, offset: u64, data: &[u8], kill_privileges: bool) -> Answer<usize>;
    fn sync(&self, node: NodeId, data_only: bool) -> Answer<()>;
    fn allocate(&self, node: NodeId, mode: u32, offset: u64, length: u64) -> Answer<()>;
    fn seek(&self, node: NodeId, offset: u64, whence: u32) -> Answer<u64>;
    fn copy_range(&self, from: (NodeId, u64), to: (NodeId, u64), length: u64) -> Answer<usize>;
    fn file_flags(&self, node: NodeId) -> Answer<u32>;
    fn set_file_flags(&self, node: NodeId, flags: u32) -> Answer<()>;

    fn read_folder(&self, node: NodeId, from: u64, plus: bool, sink: &mut dyn FolderSink) -> Answer<()>;
    fn sync_folder(&self, node: NodeId) -> Answer<()>;

    fn xattr(&self, node: NodeId, name: &[u8]) -> Answer<Vec<u8>>;
    fn xattrs(&self, node: NodeId) -> Answer<Vec<u8>>;
    fn set_xattr(&self, node: NodeId, name: &[u8], value: &[u8], flags: u32, kill_group: bool) -> Answer<()>;
    fn remove_xattr(&self, node: NodeId, name: &[u8]) -> Answer<()>;

    fn space(&self) -> Answer<Space>;
}
