//! Short names for layers: links in a folder of their own, so that many layers fit into one mount option.
//!
//! `mount(2)` takes one page of options. An engine that mounts by itself has no other way, and 128 layers with 32 digits each are more
//! than that. Links are made when they are asked for, and go with their layer.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plywood_graphdriver::{DriverError, DriverResult, LayerId};
use plywood_tree::home::Home;
use plywood_tree::upper_layers::DIFF;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// The folder of the links, in the driver's.
const LINKS: &str = "l";
/// Digits of the short name; 48 bits of a random id, so that among 100,000 layers two are alike with a probability of 1 to 50,000.
const SHORT: usize = 8;
/// The digits (RFC 4648, section 5): none of them means anything in a mount option.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The folder of links.
#[derive(Debug)]
pub(crate) struct Links {
    folder: OwnedFd,
    path: PathBuf,
}

impl Links {
    /// Opens the folder, making it where it is not there.
    pub(crate) fn open(home: &Home) -> DriverResult<Self> {
        let path = home.path().join(LINKS);
        let failed = |error: Errno| DriverError::system("open the folder of links", error).at(&path);
        let root = plywood_tree::resolve::open_root(home.path())?;
        match rustix::fs::mkdirat(&root, LINKS, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&root, LINKS, flags, Mode::empty()).map_err(failed)?;
        Ok(Self { folder, path })
    }

    /// A short path of the layer's own files.
    pub(crate) fn path_of(&self, id: &LayerId) -> DriverResult<PathBuf> {
        let target = target_of(id);
        let whole = digits(id);
        // The second is for one whose short name another layer has.
        for name in [&whole[..SHORT], &whole] {
            match rustix::fs::symlinkat(&target, &self.folder, name) {
                Ok(()) => return Ok(self.path.join(name)),
                Err(Errno::EXIST) if self.leads_to(name, &target)? => return Ok(self.path.join(name)),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(DriverError::system("make link", error).at(self.path.join(name))),
            }
        }
        let reason = "links of that name lead elsewhere";
        Err(DriverError::new(plywood_graphdriver::ErrorKind::Corrupt, "make link", reason).at(&self.path))
    }

    /// Where an engine mounted the layer by a link: the mount table then has the link's name and not the id.
    pub(crate) fn mounted_at(&self, id: &LayerId) -> DriverResult<Option<PathBuf>> {
        let target = target_of(id);
        let whole = digits(id);
        let mut links = Vec::new();
        for name in [&whole[..SHORT], &whole] {
            if self.leads_to(name, &target)? {
                links.push(format!("/{LINKS}/{name}"));
            }
        }
        if links.is_empty() {
            return Ok(None);
        }
        let mounts = plywood_sys::mountinfo::read()
            .map_err(|error| DriverError::system("read mounts", error).at(&self.path))?;
        let folders = |options: &str| {
            options.split([',', ':']).any(|folder| links.iter().any(|link| folder.ends_with(link.as_str())))
        };
        Ok(mounts.into_iter().find(|mount| folders(&mount.options)).map(|mount| mount.target))
    }

    /// Removes the links of a layer; absent is `Ok`.
    pub(crate) fn remove(&self, id: &LayerId) -> DriverResult<()> {
        let target = target_of(id);
        let whole = digits(id);
        for name in [&whole[..SHORT], &whole] {
            if self.leads_to(name, &target)? {
                rustix::fs::unlinkat(&self.folder, name, AtFlags::empty())
                    .map_err(|error| DriverError::system("remove link", error).at(self.path.join(name)))?;
            }
        }
        Ok(())
    }

    fn leads_to(&self, name: &str, target: &Path) -> DriverResult<bool> {
        match rustix::fs::readlinkat(&self.folder, name, Vec::new()) {
            Ok(found) => Ok(found.as_bytes() == target.as_os_str().as_bytes()),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(DriverError::system("read link", error).at(self.path.join(name))),
        }
    }
}

/// What the links of a layer lead to.
fn target_of(id: &LayerId) -> PathBuf {
    Path::new("..").join(id.as_str()).join(DIFF)
}

/// The id in digits of six bits: 22 of them.
fn digits(id: &LayerId) -> String {
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    for digit in id.as_str().bytes() {
        bits = (bits << 4) | char::from(digit).to_digit(16).unwrap_or_default();
        count += 4;
        if count >= 6 {
            count -= 6;
            text.push(char::from(DIGITS[(bits >> count) as usize & 63]));
        }
    }
    text.push(char::from(DIGITS[(bits << (6 - count)) as usize & 63]));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn links() -> (tempfile::TempDir, Links) {
        let folder = tempfile::tempdir().unwrap();
        let links = Links::open(&Home::open(folder.path()).unwrap()).unwrap();
        (folder, links)
    }

    #[test]
    fn names_are_those_of_base64url() {
        // Python: base64.urlsafe_b64encode(bytes(range(0xf0, 0x100))).rstrip(b"=")
        let id = LayerId::from_bytes(std::array::from_fn(|index| 0xf0 + u8::try_from(index).unwrap()));
        assert_eq!(digits(&id), "8PHy8_T19vf4-fr7_P3-_w");
    }

    #[test]
    fn a_link_is_made_once_and_goes() {
        let (_folder, links) = links();
        let id = LayerId::from_bytes([7; 16]);
        let path = links.path_of(&id).unwrap();
        assert_eq!(path.file_name().unwrap().len(), SHORT);
        assert_eq!(links.path_of(&id).unwrap(), path);
        assert!(links.leads_to("BwcHBwcH", &target_of(&id)).unwrap());
        links.remove(&id).unwrap();
        links.remove(&id).unwrap();
        assert!(!links.leads_to("BwcHBwcH", &target_of(&id)).unwrap());
    }

    #[test]
    fn two_layers_that_begin_alike_have_two_names() {
        let (_folder, links) = links();
        let (mut one, mut other) = ([7; 16], [7; 16]);
        (one[15], other[15]) = (1, 2);
        let (one, other) = (LayerId::from_bytes(one), LayerId::from_bytes(other));
        let (first, second) = (links.path_of(&one).unwrap(), links.path_of(&other).unwrap());
        assert_ne!(first, second);
        assert_eq!(links.path_of(&other).unwrap(), second);
        links.remove(&other).unwrap();
        assert_eq!(links.path_of(&one).unwrap(), first);
        assert!(links.leads_to(first.file_name().unwrap().to_str().unwrap(), &target_of(&one)).unwrap());
    }
}
