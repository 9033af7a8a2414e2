//! Differences, or whole trees, as a tar of the OCI layer format.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use plywood_archive::tar::{Entry, Kind, Segment, TarWriter, Timestamp};
use plywood_graphdriver::{ChangeKind, DriverError, DriverResult, ErrorKind, Usage};
use rustix::fs::{FileType, Stat};

use crate::changes::{Difference, Layer, carried_xattrs, differences};
use crate::fail::Attempt;
use crate::file;
use crate::markers::{Markers, WHITEOUT_PREFIX, whiteout_name};
use crate::metadata::{file_type, modified};
use crate::path;
use crate::resolve::Node;
use crate::stack::Stack;

/// Bytes copied from a file at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes what turns the stack's tree into the layer's: sorted by path, hard links after the name they link to, deletions as
/// whiteouts from the epoch. The same trees always give the same bytes. Sockets are left out, as a tar cannot hold them, and
/// character devices 0:0, as no driver makes them; what they took the place of is deleted.
///
/// # Errors
/// Those of reading the trees and of writing.
pub fn diff(layer: Layer<'_>, below: &mut Stack, out: &mut dyn Write) -> DriverResult<Usage> {
    let markers = match layer {
        Layer::Upper(_, markers) => markers,
        Layer::Whole(..) => Markers::Whole,
    };
    let mut exporting = Exporting {
        writer: TarWriter::new(BufWriter::with_capacity(BUFFER_BYTES, out)),
        markers,
        linked: HashMap::new(),
        usage: Usage::default(),
        buffer: vec![0; BUFFER_BYTES],
    };
    differences(layer, below, &mut |difference| exporting.difference(difference))?;
    let usage = exporting.usage;
    let mut writer = exporting.writer.finish().map_err(|error| DriverError::system("end tar", error))?;
    writer.flush().map_err(|error| DriverError::system("write tar", error))?;
    Ok(usage)
}

/// Writes a whole tree, its root included.
///
/// # Errors
/// As [`diff`].
pub fn export(root: BorrowedFd<'_>, out: &mut dyn Write) -> DriverResult<Usage> {
    diff(Layer::Whole(root, None), &mut Stack::new(Vec::new(), Markers::Whole), out)
}

struct Exporting<'a> {
    writer: TarWriter<BufWriter<&'a mut dyn Write>>,
    markers: Markers,
    /// The path of the first name of an inode with several.
    linked: HashMap<(u64, u64), Vec<u8>>,
    usage: Usage,
    buffer: Vec<u8>,
}

impl Exporting<'_> {
    fn difference(&mut self, difference: &Difference<'_>) -> DriverResult<()> {
        let at = difference.path;
        let name = path::split(at).map_or(&b""[..], |(_, name)| name);
        if difference.node.is_some() && name.starts_with(WHITEOUT_PREFIX) {
            let reason = "a name that begins with '.wh.' means a deletion in a layer: rename it";
            return Err(DriverError::new(ErrorKind::InvalidInput, "write tar", reason).at(path::display(at)));
        }
        let Some((node, stat)) = difference.node else {
            debug_assert_eq!(difference.kind, ChangeKind::Deleted);
            return self.append(&whiteout(at), at);
        };
        let Some(kind) = self.kind(node, stat, at)? else {
            // What it took the place of is gone all the same.
            return match difference.kind {
                ChangeKind::Modified => self.append(&whiteout(at), at),
                _ => Ok(()),
            };
        };
        let mut entry = Entry {
            path: shown_path(at, stat),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: modified(stat),
            xattrs: Vec::new(),
            kind,
            ..blank()
        };
        if entry.kind == Kind::Regular {
            return self.regular(node, stat, entry, at);
        }
        if !matches!(entry.kind, Kind::HardLink { .. }) {
            entry.xattrs = carried_xattrs(node, self.markers).attempt("read extended attributes", at)?;
            self.usage.inodes += 1;
        }
        self.append(&entry, at)
    }

    /// What the tar calls it; none for what a tar cannot hold.
    fn kind(&mut self, node: Node<'_>, stat: &Stat, at: &[u8]) -> DriverResult<Option<Kind>> {
        let file_type = file_type(stat);
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let whiteout = file_type == FileType::CharacterDevice && (major, minor) == (0, 0);
        if whiteout || file_type == FileType::Socket {
            return Ok(None);
        }
        if file_type != FileType::Directory && stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.linked.get(&inode) {
                return Ok(Some(Kind::HardLink { target: first.clone() }));
            }
            self.linked.insert(inode, at.to_vec());
        }
        Ok(Some(match file_type {
            FileType::RegularFile => Kind::Regular,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(node.folder, node.name, Vec::new()).attempt("read link", at)?;
                Kind::Symlink { target: target.into_bytes() }
            }
            FileType::CharacterDevice => Kind::CharDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            FileType::Fifo => Kind::Fifo,
            _ => return Ok(None),
        }))
    }

    fn regular(&mut self, node: Node<'_>, stat: &Stat, mut entry: Entry, at: &[u8]) -> DriverResult<()> {
        entry.size_bytes = u64::try_from(stat.st_size).unwrap_or_default();
        self.usage.size_bytes += entry.size_bytes;
        self.usage.inodes += 1;
        if entry.size_bytes == 0 {
            entry.xattrs = carried_xattrs(node, self.markers).attempt("read extended attributes", at)?;
            return self.append(&entry, at);
        }
        let opened: OwnedFd = file::open_readable(node).attempt("open", at)?;
        // Most have none, and the open file tells so at once.
        if rustix::fs::flistxattr_query(&opened) != Ok(0) {
            entry.xattrs = carried_xattrs(node, self.markers).attempt("read extended attributes", at)?;
        }
        // Not by `st_blocks`: blocks of attributes and of the map of extents count there, too.
        let segments = file::data_segments(opened.as_fd(), entry.size_bytes).attempt("find holes", at)?;
        if segments != [Segment { offset: 0, length: entry.size_bytes }] {
            entry.sparse = Some(segments.clone());
        }
        self.append(&entry, at)?;
        let content = File::from(opened);
        segments.iter().try_for_each(|segment| self.payload(&content, segment, at))
    }

    fn payload(&mut self, content: &File, segment: &Segment, at: &[u8]) -> DriverResult<()> {
        let (mut offset, end) = (segment.offset, segment.offset + segment.length);
        while offset < end {
            let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(self.buffer.len());
            let length = content.read_at(&mut self.buffer[..wanted], offset).attempt("read", at)?;
            if length == 0 {
                let reason = "the file became shorter while it was read: unmount the container, or pause it, and try again";
                return Err(DriverError::new(ErrorKind::InUse, "read", reason).at(path::display(at)));
            }
            self.writer.write_payload(&self.buffer[..length]).attempt("write tar", at)?;
            offset += length as u64;
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry, at: &[u8]) -> DriverResult<()> {
        self.writer.append(entry).attempt("write tar", at)
    }
}

/// Folders end in a slash, and the root is `./`, as every tar has it.
fn shown_path(at: &[u8], stat: &Stat) -> Vec<u8> {
    match (at.is_empty(), file_type(stat) == FileType::Directory) {
        (true, _) => b"./".to_vec(),
        (false, true) => [at, b"/"].concat(),
        (false, false) => at.to_vec(),
    }
}

fn whiteout(at: &[u8]) -> Entry {
    let (parent, name) = path::split(at).unwrap_or((b"", at));
    Entry { path: path::join(parent, &whiteout_name(name)), ..blank() }
}

fn blank() -> Entry {
    Entry {
        path: Vec::new(),
        kind: Kind::Regular,
        mode: 0,
        uid: 0,
        gid: 0,
        modified: Timestamp { seconds: 0, nanoseconds: 0 },
        size_bytes: 0,
        xattrs: Vec::new(),
        sparse: None,
        position: 0,
        ordinal: 0,
    }
}
