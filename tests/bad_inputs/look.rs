//! What a tree holds, read by paths of the host: every node with all that a test may ask about it.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Files larger than this are told by their size alone.
const CONTENT_BYTES: u64 = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File,
    Link,
    CharDevice,
    BlockDevice,
    Other,
}

/// One node, its link not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    pub owner: (u32, u32),
    pub inode: u64,
    pub names: u64,
    pub size_bytes: u64,
    pub device: u64,
    pub modified: (i64, i64),
    pub changed: (i64, i64),
    pub content: Option<Vec<u8>>,
    pub target: Option<Vec<u8>>,
    pub attributes: BTreeMap<String, Vec<u8>>,
}

impl Look {
    pub fn at(path: &Path) -> Self {
        let stat = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let kind = kind(&stat);
        let readable = kind == Kind::File && stat.size() <= CONTENT_BYTES;
        Self {
            kind,
            mode: stat.mode() & 0o7777,
            owner: (stat.uid(), stat.gid()),
            inode: stat.ino(),
            names: stat.nlink(),
            size_bytes: stat.size(),
            device: stat.rdev(),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
            content: readable.then(|| fs::read(path).unwrap()),
            target: (kind == Kind::Link)
                .then(|| fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()),
            attributes: attributes(path),
        }
    }
}

fn kind(stat: &Metadata) -> Kind {
    let file_type = stat.file_type();
    match file_type {
        _ if file_type.is_dir() => Kind::Folder,
        _ if file_type.is_file() => Kind::File,
        _ if file_type.is_symlink() => Kind::Link,
        _ if file_type.is_char_device() => Kind::CharDevice,
        _ if file_type.is_block_device() => Kind::BlockDevice,
        _ => Kind::Other,
    }
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = vec![0_u8; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut list).unwrap();
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let read = |name: &[u8]| {
        let mut value = vec![0_u8; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
        value.truncate(length);
        Some((String::from_utf8_lossy(name).into_owned(), value))
    };
    names.filter_map(read).collect()
}

/// All nodes of a tree by their paths in it; the root's is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Look>);

impl Tree {
    pub fn of(root: &Path) -> Self {
        let mut found = BTreeMap::new();
        gather(root, String::new(), &mut found);
        Self(found)
    }

    #[track_caller]
    pub fn at(&self, path: &str) -> &Look {
        self.0.get(path).unwrap_or_else(|| panic!("no {path:?} among {:?}", self.paths()))
    }

    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// The content of a regular file.
    #[track_caller]
    pub fn content(&self, path: &str) -> &[u8] {
        self.at(path).content.as_deref().unwrap_or_else(|| panic!("{path:?} is no small file"))
    }

    /// Every path but the root's.
    pub fn paths(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).filter(|path| !path.is_empty()).collect()
    }
}

fn gather(path: &Path, shown: String, found: &mut BTreeMap<String, Look>) {
    let look = Look::at(path);
    if look.kind == Kind::Folder {
        for entry in fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name();
            // Overlayfs lists whiteouts of folders that it need not merge, and then knows nothing of them.
            if fs::symlink_metadata(path.join(&name)).is_err_and(|error| error.kind() == ErrorKind::NotFound)
            {
                continue;
            }
            let name_shown = name.to_string_lossy();
            let inner =
                if shown.is_empty() { name_shown.into_owned() } else { format!("{shown}/{name_shown}") };
            gather(&path.join(&name), inner, found);
        }
    }
    found.insert(shown, look);
}
