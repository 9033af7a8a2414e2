//! What is copied, as a tar.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use anyhow::Context;
use plywood::archive::tar::{Entry, Kind, Limits, Segment, TarReader, TarWriter};
use plywood_tree::resolve::Node;
use plywood_tree::{export, file, metadata, xattr};
use rustix::fs::{FileType, Stat};

use crate::transfer::spot::Spot;

/// Bytes copied at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes what is at a spot as a tar, in which it is called `name`; an empty name is the tar's root. A link is written
/// as a link.
///
/// # Errors
/// `Absent` where nothing is there; those of reading and writing.
pub(crate) fn write(spot: &Spot<'_>, name: &[u8], out: &mut dyn Write) -> anyhow::Result<()> {
    let (parent, stat) = spot.find()?;
    let (_, own_name) = spot.split();
    let node = Node { folder: parent.as_fd(), name: own_name };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let folder =
            node.open_folder().map_err(io::Error::from).with_context(|| format!("open {}", spot.shown()))?;
        return write_folder(&folder, name, out);
    }
    write_leaf(node, &stat, name, out).with_context(|| format!("read {}", spot.shown()))
}

/// The tree's own tar begins at its root; here it gets a name.
fn write_folder(folder: &OwnedFd, name: &[u8], out: &mut dyn Write) -> anyhow::Result<()> {
    if name.is_empty() {
        export::export(folder.as_fd(), out)?;
        return Ok(());
    }
    let (reader, writer) = io::pipe()?;
    std::thread::scope(|scope| {
        let exporting = scope.spawn(move || {
            let mut writer = writer;
            export::export(folder.as_fd(), &mut writer)
        });
        let renamed = rename(reader, name, out);
        match exporting.join() {
            // The other end's failure is the cause, unless it only saw that this one ended.
            Ok(Err(error)) if !super::is_broken_pipe(&error) => Err(error.into()),
            Ok(_) => renamed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn rename(tar: impl io::Read, name: &[u8], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut reader = TarReader::new(BufReader::with_capacity(BUFFER_BYTES, tar), unlimited(), ());
    let mut writer = TarWriter::new(out);
    while let Some(mut entry) = reader.next_entry()? {
        entry.path = below(name, &entry.path);
        if let Kind::HardLink { target } = &mut entry.kind {
            *target = below(name, target);
        }
        writer.append(&entry)?;
        loop {
            let payload = reader.payload()?;
            if payload.is_empty() {
                break;
            }
            writer.write_payload(payload)?;
            let length = payload.len();
            reader.consume(length);
        }
    }
    reader.finish()?;
    writer.finish()?;
    Ok(())
}

fn below(name: &[u8], path: &[u8]) -> Vec<u8> {
    let inner = path.strip_prefix(b"./").unwrap_or(path);
    [name, b"/", inner].concat()
}

/// The tars of one's own trees are as large as these are.
pub(crate) fn unlimited() -> Limits {
    Limits { entries: u64::MAX, ..Limits::default() }
}

fn write_leaf(node: Node<'_>, stat: &Stat, name: &[u8], out: &mut dyn Write) -> anyhow::Result<()> {
    let described = metadata::Metadata::of(stat);
    let mut entry = Entry {
        mode: described.mode,
        uid: described.uid,
        gid: described.gid,
        modified: described.modified,
        xattrs: xattr::read_all(node).map_err(io::Error::from)?,
        ..Entry::new(name, kind(node, stat)?)
    };
    let mut writer = TarWriter::new(out);
    if entry.kind == Kind::Regular {
        let content = File::from(file::open_readable(node).map_err(io::Error::from)?);
        entry.size_bytes = u64::try_from(stat.st_size).unwrap_or_default();
        let segments = file::data_segments(content.as_fd(), entry.size_bytes)?;
        if segments != [Segment { offset: 0, length: entry.size_bytes }] && entry.size_bytes > 0 {
            entry.sparse = Some(segments.clone());
        }
        writer.append(&entry)?;
        segments.iter().try_for_each(|segment| write_segment(&content, segment, &mut writer))?;
    } else {
        writer.append(&entry)?;
    }
    writer.finish()?;
    Ok(())
}

fn kind(node: Node<'_>, stat: &Stat) -> anyhow::Result<Kind> {
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::Regular,
        FileType::Symlink => {
            let target =
                rustix::fs::readlinkat(node.folder, node.name, Vec::new()).map_err(io::Error::from)?;
            Kind::Symlink { target: target.into_bytes() }
        }
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        _ => anyhow::bail!("sockets cannot be copied"),
    })
}

fn write_segment<W: Write>(content: &File, segment: &Segment, writer: &mut TarWriter<W>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut offset, end) = (segment.offset, segment.offset + segment.length);
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        let length = content.read_at(&mut buffer[..wanted], offset)?;
        if length == 0 {
            let reason = "the file became shorter while it was read";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
        }
        writer.write_payload(&buffer[..length])?;
        offset += length as u64;
    }
    Ok(())
}
