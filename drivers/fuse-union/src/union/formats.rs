//! What layers say about themselves in attributes: whiteouts, opaque and moved folders, origins.
//!
//! The forms are those of the kernel's overlayfs (Documentation/filesystems/overlayfs.rst, Linux 6.18), under both of its
//! prefixes, and the one of fuse-overlayfs.

use std::os::fd::{AsFd, OwnedFd};

use plywood_tree::resolve::Node as RealNode;
use plywood_tree::{Namespace, xattr};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::request::Answer;

/// What the attributes of a real folder say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Nothing below it shows through.
    pub(super) opaque: bool,
    /// Files in it may be whiteouts by an attribute.
    pub(super) attribute_whiteouts: bool,
    /// Where the layers below have their parts of it.
    pub(super) redirect: Option<Vec<u8>>,
    /// Files in it may have their numbers from elsewhere.
    pub(super) impure: bool,
}

const OPAQUE: [&[u8]; 3] = [b"trusted.overlay.opaque", b"user.overlay.opaque", b"user.fuseoverlayfs.opaque"];
const REDIRECT: [&[u8]; 2] = [b"trusted.overlay.redirect", b"user.overlay.redirect"];
const IMPURE: [&[u8]; 2] = [b"trusted.overlay.impure", b"user.overlay.impure"];
const WHITEOUT: [&[u8]; 2] = [b"trusted.overlay.whiteout", b"user.overlay.whiteout"];
const ORIGIN: [&[u8]; 2] = [b"trusted.overlay.origin", b"user.overlay.origin"];

/// An attribute of overlayfs' own, in the namespace that we write.
pub(super) fn attribute(namespace: Namespace, name: &str) -> Vec<u8> {
    [namespace.prefix(), name.as_bytes()].concat()
}

/// Reads the marks of an open folder. Most have no attributes at all, which one call tells.
pub(super) fn marks(folder: &OwnedFd) -> Answer<Marks> {
    let mut marks = Marks::default();
    let mut buffer = [0_u8; 1024];
    let length = match rustix::fs::flistxattr(folder, &mut buffer[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(marks),
        // A long list, or a descriptor that only names the folder: each is asked for.
        Err(_) => return marks_one_by_one(folder),
    };
    let node = RealNode::itself(folder.as_fd());
    for name in buffer[..length].split(|byte| *byte == 0) {
        read_mark(node, name, &mut marks)?;
    }
    Ok(marks)
}

fn marks_one_by_one(folder: &OwnedFd) -> Answer<Marks> {
    let mut marks = Marks::default();
    let node = RealNode::itself(folder.as_fd());
    for name in OPAQUE.iter().chain(&REDIRECT).chain(&IMPURE) {
        read_mark(node, name, &mut marks)?;
    }
    Ok(marks)
}

fn read_mark(node: RealNode<'_>, name: &[u8], marks: &mut Marks) -> Answer<()> {
    let value = || xattr::read(node, name);
    if OPAQUE.contains(&name) {
        let value = value()?;
        marks.opaque |= value.as_deref() == Some(b"y");
        marks.attribute_whiteouts |= value.as_deref() == Some(b"x");
    } else if REDIRECT.contains(&name) {
        marks.redirect = value()?.or(marks.redirect.take());
    } else if IMPURE.contains(&name) {
        marks.impure |= value()?.is_some();
    }
    Ok(())
}

/// Whether a file in a folder with such whiteouts is one.
pub(super) fn is_attribute_whiteout(node: RealNode<'_>) -> Answer<bool> {
    for name in WHITEOUT {
        if xattr::read(node, name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name under which programs see an attribute that a layer has; nothing for those of the layers' own.
pub(super) fn shown(name: &[u8]) -> Option<Vec<u8>> {
    for namespace in [Namespace::Trusted, Namespace::User] {
        if let Some(inner) = name.strip_prefix(namespace.escaped_prefix()) {
            return Some([namespace.prefix(), inner].concat());
        }
        if name.starts_with(namespace.prefix()) {
            return None;
        }
    }
    let own = name.starts_with(b"user.fuseoverlayfs.")
        || name.starts_with(b"security.fuseoverlayfs.")
        || name == b"user.containers.override_stat";
    (!own).then(|| name.to_vec())
}

/// Whether an attribute belongs to the layer and not to the file.
pub(super) fn is_layers_own(name: &[u8]) -> bool {
    shown(name).is_none()
}

/// The name under which an attribute that a program names is kept: what overlayfs would take as its own is escaped.
pub(super) fn kept(name: &[u8]) -> Option<Vec<u8>> {
    for namespace in [Namespace::Trusted, Namespace::User] {
        if let Some(inner) = name.strip_prefix(namespace.prefix()) {
            return Some([namespace.escaped_prefix(), inner].concat());
        }
    }
    shown(name)
}

/// The kernel's `struct ovl_fb`: version, magic, length, flags, type and UUID before the handle (fs/overlayfs/overlayfs.h).
const ORIGIN_MAGIC: u8 = 0xfb;
const ORIGIN_HEADER: usize = 21;

/// The value of `overlay.origin` for a file of a lower layer; nothing where the file system has no handles.
pub(super) fn origin(node: RealNode<'_>, uuid: [u8; 16]) -> Option<Vec<u8>> {
    let name = std::ffi::CString::new(node.name).ok()?;
    let handle = plywood_sys::file_handle::of(node.folder, &name).ok()?;
    let length = u8::try_from(ORIGIN_HEADER + handle.bytes.len()).ok()?;
    let kind = u8::try_from(handle.kind).ok()?;
    // Big-endian machines say so in the first bit of the flags.
    let flags = u8::from(cfg!(target_endian = "big"));
    let mut value = vec![0, ORIGIN_MAGIC, length, flags, kind];
    value.extend_from_slice(&uuid);
    value.extend_from_slice(&handle.bytes);
    Some(value)
}

/// The inode number of a copied-up file's origin, where its handle says it.
pub(super) fn origin_number(node: RealNode<'_>) -> Answer<Option<u64>> {
    for name in ORIGIN {
        if let Some(value) = xattr::read(node, name)? {
            return Ok(number_in_handle(&value));
        }
    }
    Ok(None)
}

/// Handles of known layouts (`enum fid_type`): 32 bits and a generation (ext4), 64 bits and one (xfs), tmpfs' own.
fn number_in_handle(value: &[u8]) -> Option<u64> {
    let (header, handle) = value.split_at_checked(ORIGIN_HEADER)?;
    let word = |index: usize| -> Option<u64> {
        let bytes = handle.get(index * 4..index * 4 + 4)?;
        Some(u64::from(u32::from_ne_bytes(bytes.try_into().ok()?)))
    };
    match (header[1], header[4], handle.len()) {
        (ORIGIN_MAGIC, 0x01, 8) => word(0),
        (ORIGIN_MAGIC, 0x01, 12) => Some(word(1)? | (word(2)? << 32)),
        (ORIGIN_MAGIC, 0x81, 12..) => Some(word(0)? | (word(1)? << 32)),
        _ => None,
    }
}

/// The type of a file in a mode.
pub(super) fn kind_of(mode: u32) -> FileType {
    FileType::from_raw_mode(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_layers_are_hidden_and_those_of_programs_escaped() {
        for name in
            [&b"trusted.overlay.opaque"[..], b"user.overlay.x", b"user.a", b"trusted.overlay.overlay.y"]
        {
            let stored = kept(name).unwrap();
            assert_eq!(shown(&stored).as_deref(), Some(name));
        }
        for own in [&b"trusted.overlay.opaque"[..], b"user.overlay.origin", b"user.fuseoverlayfs.opaque"] {
            assert_eq!(shown(own), None);
        }
        assert_eq!(kept(b"user.containers.override_stat"), None);
    }

    #[test]
    fn an_origin_gives_its_number_back() {
        let folder = tempfile::tempdir().unwrap();
        let opened = plywood_tree::resolve::open_root(folder.path()).unwrap();
        plywood_tree::folder::make(opened.as_fd(), b"x", 0o755).unwrap();
        let node = RealNode::new(&opened, b"x");
        let value = origin(node, [7; 16]).unwrap();
        assert_eq!((value[1], usize::from(value[2])), (ORIGIN_MAGIC, value.len()));
        assert_eq!(number_in_handle(&value), Some(node.stat().unwrap().st_ino));
    }
}
