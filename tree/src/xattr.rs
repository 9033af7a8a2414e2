//! Extended attributes: read, written, and the policy for those that a layer brings.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lremovexattr, lsetxattr};
use rustix::io::Errno;

use crate::markers::Namespace;
use crate::resolve::Node;

/// A name and its value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// The access control lists of a file, as the kernel names them.
pub const POSIX_ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// Labels of this machine's security modules; a layer cannot know them.
const MACHINE_LABELS: [&[u8]; 4] =
    [b"security.selinux", b"security.ima", b"security.evm", b"security.apparmor"];

/// What becomes of an attribute that a layer brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is set under this name.
    Keep(Vec<u8>),
    /// It belongs to another machine, and is left out.
    Drop,
    /// The layer must not get through, for this reason.
    Refuse(&'static str),
}

/// Decides about an attribute that a layer brings. `escape` says that the layer is read by overlayfs, which
/// would take its own attributes as orders: it hides one level, `overlay.overlay.`, from them (Linux 6.7).
#[must_use]
pub fn judge(name: &[u8], value: &[u8], escape: bool) -> Verdict {
    for namespace in [Namespace::Trusted, Namespace::User] {
        if let Some(rest) = name.strip_prefix(namespace.prefix()) {
            return Verdict::Keep(if escape {
                [namespace.escaped_prefix(), rest].concat()
            } else {
                name.to_vec()
            });
        }
    }
    match name {
        b"security.capability" if valid_capability(value) => Verdict::Keep(name.to_vec()),
        b"security.capability" => Verdict::Refuse("security.capability has a value that no kernel wrote"),
        _ if name.starts_with(b"user.") && name.len() > 5 => Verdict::Keep(name.to_vec()),
        _ if POSIX_ACLS.contains(&name) => Verdict::Keep(name.to_vec()),
        _ if name.starts_with(b"trusted.") => {
            Verdict::Refuse("attributes in trusted.* are the machine's own")
        }
        _ if MACHINE_LABELS.contains(&name) => Verdict::Drop,
        _ => Verdict::Drop,
    }
}

/// The name under which a layer carries an attribute found on disk, or `None` for one that no layer carries. `overlay` is the
/// namespace of overlayfs, if it reads the layer: what is there without an escape is its own. The inverse of [`judge`].
#[must_use]
pub fn carried(name: &[u8], overlay: Option<Namespace>) -> Option<Vec<u8>> {
    for namespace in [Namespace::Trusted, Namespace::User] {
        let Some(rest) = name.strip_prefix(namespace.prefix()) else { continue };
        return match (overlay, rest.strip_prefix(b"overlay.")) {
            (None, _) => Some(name.to_vec()),
            (Some(_), Some(inner)) => Some([namespace.prefix(), inner].concat()),
            (Some(own), None) => (own != namespace).then(|| name.to_vec()),
        };
    }
    let kept = name == b"security.capability" || name.starts_with(b"user.") || POSIX_ACLS.contains(&name);
    kept.then(|| name.to_vec())
}

/// The three revisions of `struct vfs_cap_data` (capabilities(7)): 12, 20 and 24 bytes, little-endian.
fn valid_capability(value: &[u8]) -> bool {
    let Some(magic) = value.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) else { return false };
    // All but the revision and the effective bit is reserved.
    let reserved = magic & 0x00ff_fffe;
    let length = match magic >> 24 {
        1 => 12,
        2 => 20,
        3 => 24,
        _ => return false,
    };
    reserved == 0 && value.len() == length
}

/// The path by which the `l*xattr` calls reach a node without a name of the host's being joined: they exist in no `*at`
/// form before Linux 6.13.
fn through_descriptor(node: Node<'_>) -> CString {
    let mut path = format!("/proc/self/fd/{}/", node.folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(node.name);
    // A single component of a kernel's folder holds no NUL; one that did would name nothing.
    CString::new(path).unwrap_or_default()
}

/// Reads every attribute of a node, sorted by name. File systems without attributes have none.
///
/// # Errors
/// Those of `llistxattr(2)` and `lgetxattr(2)`.
pub fn read_all(node: Node<'_>) -> rustix::io::Result<Vec<Xattr>> {
    let path = through_descriptor(node);
    let mut found = Vec::new();
    for name in names(&path)? {
        match value(&path, &name) {
            Ok(value) => found.push((name, value)),
            // Removed meanwhile, or not ours to see.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort();
    Ok(found)
}

/// Reads one attribute; `None` where it is not there.
///
/// # Errors
/// Those of `lgetxattr(2)`.
pub fn read(node: Node<'_>, name: &[u8]) -> rustix::io::Result<Option<Vec<u8>>> {
    match value(&through_descriptor(node), name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

fn names(path: &CString) -> rustix::io::Result<Vec<Vec<u8>>> {
    // Most nodes have a short list or none, and one call then does.
    let mut buffer = [0_u8; 512];
    let list = match llistxattr(path, &mut buffer) {
        Ok(length) => buffer[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut large = vec![0_u8; 64 << 10];
            let length = llistxattr(path, &mut large)?;
            large.truncate(length);
            large
        }
        Err(Errno::OPNOTSUPP) => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

fn value(path: &CString, name: &[u8]) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = [0_u8; 256];
    match lgetxattr(path, name, &mut buffer) {
        Ok(length) => Ok(buffer[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0_u8; 64 << 10];
            let length = lgetxattr(path, name, &mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}

/// Sets an attribute on a node, not following a link.
///
/// # Errors
/// Those of `lsetxattr(2)`.
pub fn set(node: Node<'_>, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
    lsetxattr(through_descriptor(node), name, value, XattrFlags::empty())
}

/// Removes an attribute; one that is not there is removed already.
///
/// # Errors
/// Those of `lremovexattr(2)`.
pub fn remove(node: Node<'_>, name: &[u8]) -> rustix::io::Result<()> {
    match lremovexattr(through_descriptor(node), name) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_escapes_keeps_drops_and_refuses() {
        let keep = |name: &[u8]| Verdict::Keep(name.to_vec());
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(judge(b"user.x", b"", true), keep(b"user.x"));
        assert_eq!(judge(b"trusted.overlay.opaque", b"y", true), keep(b"trusted.overlay.overlay.opaque"));
        assert_eq!(judge(b"user.overlay.opaque", b"y", true), keep(b"user.overlay.overlay.opaque"));
        assert_eq!(judge(b"trusted.overlay.opaque", b"y", false), keep(b"trusted.overlay.opaque"));
        assert_eq!(judge(b"security.capability", &capability, true), keep(b"security.capability"));
        assert!(matches!(judge(b"security.capability", &capability[..19], true), Verdict::Refuse(_)));
        assert!(matches!(judge(b"security.capability", b"", true), Verdict::Refuse(_)));
        assert!(matches!(judge(b"trusted.other", b"", true), Verdict::Refuse(_)));
        for label in MACHINE_LABELS {
            assert_eq!(judge(label, b"x", true), Verdict::Drop);
        }
    }

    #[test]
    fn what_the_policy_keeps_is_carried_back_under_its_first_name() {
        for overlay in [None, Some(Namespace::Trusted), Some(Namespace::User)] {
            for name in [
                &b"user.x"[..],
                b"trusted.overlay.opaque",
                b"user.overlay.overlay.y",
                b"system.posix_acl_access",
            ] {
                let Verdict::Keep(stored) = judge(name, b"", overlay.is_some()) else { continue };
                assert_eq!(carried(&stored, overlay).as_deref(), Some(name));
            }
        }
        assert_eq!(carried(b"trusted.overlay.origin", Some(Namespace::Trusted)), None);
        assert_eq!(
            carried(b"user.overlay.origin", Some(Namespace::Trusted)).as_deref(),
            Some(&b"user.overlay.origin"[..])
        );
        assert_eq!(carried(b"security.selinux", None), None);
    }
}
