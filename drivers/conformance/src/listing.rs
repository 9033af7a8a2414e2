//! A tree written down whole: as items to compare, as lines to read, as one hash.
//!
//! It is read by calls of its own, not by those of `plywood-tree`, which it judges.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use plywood_archive::digest::{Digest, Hasher};
use plywood_archive::tar::{Segment, Timestamp};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

/// Content up to this size is shown; more is hashed.
const SHOWN_BYTES: usize = 4096;

/// Of a file past this size only what is not zero is read: its holes may be far larger than any disk.
const HUGE_BYTES: u64 = 1 << 32;

/// What a node is, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A folder.
    Folder,
    /// A file with one name, or the first name of one with several.
    File {
        /// Its size, holes included.
        size_bytes: u64,
        /// The hash of its content.
        digest: Digest,
        /// Its content, of files up to 4 KiB.
        content: Option<Vec<u8>>,
    },
    /// A further name of the inode that this path names first, in the order of the listing.
    SameAs(Vec<u8>),
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device and its number.
    CharacterDevice(u64),
    /// A block device and its number.
    BlockDevice(u64),
}

/// One name in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Item {
    /// The path below the root, without a leading slash; empty for the root.
    pub path: Vec<u8>,
    /// What it is.
    pub node: Node,
    /// Permission, setuid, setgid and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The time of last modification.
    pub modified: Timestamp,
    /// Every extended attribute that can be read, sorted by name; access control lists and capabilities are among them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A tree, the root first, each folder followed by what is in it, sorted by the bytes of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing(pub Vec<Item>);

impl Listing {
    /// Reads the tree below a folder, the folder itself included.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, root, flags, Mode::empty()).unwrap();
        let stat = rustix::fs::fstat(&folder).unwrap();
        let mut walk = Walk { items: Vec::new(), inodes: HashMap::new() };
        walk.item(folder.as_fd(), b".", Vec::new(), &stat);
        walk.folder(&folder, b"");
        Self(walk.items)
    }

    /// The item at a path without a leading slash.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Item> {
        self.0.iter().find(|item| item.path == path.as_bytes())
    }

    /// One line an item: path, what it is, mode, owner, attributes, time.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// A hash of everything in it: equal for equal trees.
    #[must_use]
    pub fn tree_hash(&self) -> Digest {
        let mut hasher = Hasher::new();
        for item in &self.0 {
            hasher.update(item.to_string().as_bytes());
            if let Node::File { digest, .. } = &item.node {
                hasher.update(digest.hex().as_bytes());
            }
            hasher.update(b"\n");
        }
        hasher.finish()
    }
}

/// Lists everything below a folder and the folder itself, as lines.
#[must_use]
pub fn list(root: &Path) -> Vec<String> {
    Listing::of(root).lines()
}

/// The lines whose path begins with `prefix`, without their times: for cases about other things.
#[must_use]
pub fn below<'a>(lines: &'a [String], prefix: &str) -> Vec<&'a str> {
    lines
        .iter()
        .filter(|line| line.starts_with(prefix))
        .map(|line| line.split(" @").next().unwrap())
        .collect()
}

/// Checks that two trees are the same, and shows the lines that are not.
pub fn assert_same(found: &[String], expected: &[String], what: &str) {
    let only = |here: &[String], there: &[String], sign: char| {
        let lines = here.iter().filter(|line| !there.contains(line));
        lines.map(|line| format!("\n{sign} {line}")).collect::<Vec<_>>().concat()
    };
    let differing = only(expected, found, '-') + &only(found, expected, '+');
    assert!(found == expected, "{what}:{differing}");
}

/// The ranges of a file that hold data, as the file system tells them.
#[must_use]
pub fn segments(path: &Path) -> Vec<Segment> {
    segments_of(&File::open(path).unwrap())
}

fn segments_of(file: &File) -> Vec<Segment> {
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(data) => {
                let hole = rustix::fs::seek(file, SeekFrom::Hole(data)).unwrap();
                found.push(Segment { offset: data, length: hole - data });
                offset = hole;
            }
            Err(Errno::NXIO) => return found,
            Err(error) => panic!("where the data is: {error}"),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "/{} {} {:o} {}:{}",
            self.path.escape_ascii(),
            self.node,
            self.mode,
            self.uid,
            self.gid
        )?;
        for (name, value) in &self.xattrs {
            write!(formatter, " {}={}", name.escape_ascii(), value.escape_ascii())?;
        }
        write!(formatter, " @{}.{:09}", self.modified.seconds, self.modified.nanoseconds)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => formatter.write_str("folder"),
            Self::File { content: Some(content), .. } => {
                write!(formatter, "file '{}'", content.escape_ascii())
            }
            Self::File { size_bytes, digest, .. } => {
                write!(formatter, "file of {size_bytes}, {}", &digest.hex()[..12])
            }
            Self::SameAs(first) => write!(formatter, "same as /{}", first.escape_ascii()),
            Self::Symlink(target) => write!(formatter, "-> {}", target.escape_ascii()),
            Self::Fifo => formatter.write_str("fifo"),
            Self::Socket => formatter.write_str("socket"),
            Self::CharacterDevice(number) => write!(formatter, "character device {number}"),
            Self::BlockDevice(number) => write!(formatter, "block device {number}"),
        }
    }
}

struct Walk {
    items: Vec<Item>,
    /// The first path of each inode with several names.
    inodes: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk {
    fn folder(&mut self, folder: &OwnedFd, shown: &[u8]) {
        for name in names(folder) {
            let path = if shown.is_empty() { name.clone() } else { [shown, b"/", &name].concat() };
            let stat = rustix::fs::statat(folder, &*name, AtFlags::SYMLINK_NOFOLLOW)
                .unwrap_or_else(|error| panic!("/{}: {error}", path.escape_ascii()));
            self.item(folder.as_fd(), &name, path.clone(), &stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = rustix::fs::openat(folder, &*name, flags, Mode::empty()).unwrap();
                self.folder(&inner, &path);
            }
        }
    }

    fn item(&mut self, folder: BorrowedFd<'_>, name: &[u8], path: Vec<u8>, stat: &Stat) {
        let node = self.node(folder, name, &path, stat);
        self.items.push(Item {
            path,
            node,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: Timestamp {
                seconds: stat.st_mtime,
                nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap(),
            },
            xattrs: xattrs(folder, name),
        });
    }

    fn node(&mut self, folder: BorrowedFd<'_>, name: &[u8], path: &[u8], stat: &Stat) -> Node {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.inodes.get(&(stat.st_dev, stat.st_ino)) {
                return Node::SameAs(first.clone());
            }
            self.inodes.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        match kind {
            FileType::Directory => Node::Folder,
            FileType::RegularFile => file(folder, name, stat),
            FileType::Symlink => {
                Node::Symlink(rustix::fs::readlinkat(folder, name, Vec::new()).unwrap().into_bytes())
            }
            FileType::Fifo => Node::Fifo,
            FileType::Socket => Node::Socket,
            FileType::CharacterDevice => Node::CharacterDevice(stat.st_rdev),
            FileType::BlockDevice => Node::BlockDevice(stat.st_rdev),
            FileType::Unknown => panic!("/{}: of no known type", path.escape_ascii()),
        }
    }
}

fn names(folder: &OwnedFd) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Dir::read_from(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_bytes().to_vec())
        .filter(|name| name != b"." && name != b"..")
        .collect();
    names.sort();
    names
}

fn file(folder: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Node {
    let size_bytes = u64::try_from(stat.st_size).unwrap();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut opened = File::from(rustix::fs::openat(folder, name, flags, Mode::empty()).unwrap());
    if size_bytes > HUGE_BYTES {
        return Node::File { size_bytes, digest: digest_of_data(&opened), content: None };
    }
    let mut hasher = Hasher::new();
    let mut content = Vec::new();
    // One byte more, to see the end.
    let mut buffer = vec![0; usize::try_from(size_bytes).unwrap().saturating_add(1).min(64 << 10)];
    let mut read_bytes = 0;
    loop {
        let count = opened.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        read_bytes += count as u64;
        if read_bytes <= SHOWN_BYTES as u64 {
            content.extend_from_slice(&buffer[..count]);
        }
    }
    assert_eq!(read_bytes, size_bytes, "{}: stat and read disagree about the size", name.escape_ascii());
    Node::File {
        size_bytes,
        digest: hasher.finish(),
        content: (size_bytes <= SHOWN_BYTES as u64).then_some(content),
    }
}

/// The hash of every block that holds anything but zeros, and of where it is: the same whether the others are holes or not.
fn digest_of_data(file: &File) -> Digest {
    let mut hasher = Hasher::new();
    let mut block = [0; SHOWN_BYTES];
    for segment in segments_of(file) {
        let mut offset = segment.offset - segment.offset % block.len() as u64;
        while offset < segment.offset + segment.length {
            let count = file.read_at(&mut block, offset).unwrap();
            if block[..count].iter().any(|byte| *byte != 0) {
                hasher.update(&offset.to_le_bytes());
                hasher.update(&block[..count]);
            }
            offset += block.len() as u64;
        }
    }
    hasher.finish()
}

fn xattrs(folder: BorrowedFd<'_>, name: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut path = String::new();
    write!(path, "/proc/self/fd/{}/", folder.as_raw_fd()).unwrap();
    let path = [path.as_bytes(), name].concat();
    // Most nodes have none or few: a large buffer takes longer to make than to fill.
    let mut buffer = [0_u8; 1 << 10];
    let mut large = Vec::new();
    let list = match rustix::fs::llistxattr(&*path, &mut buffer[..]) {
        Ok(length) => buffer[..length].to_vec(),
        Err(Errno::RANGE) => {
            large.resize(64 << 10, 0);
            let length = rustix::fs::llistxattr(&*path, &mut large[..]).unwrap();
            large[..length].to_vec()
        }
        Err(Errno::OPNOTSUPP) => Vec::new(),
        Err(error) => panic!("attributes of {}: {error}", name.escape_ascii()),
    };
    let mut found = Vec::new();
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let value = match rustix::fs::lgetxattr(&*path, name, &mut buffer[..]) {
            Ok(length) => buffer[..length].to_vec(),
            Err(Errno::RANGE) => {
                large.resize(64 << 10, 0);
                let length = rustix::fs::lgetxattr(&*path, name, &mut large[..]).unwrap();
                large[..length].to_vec()
            }
            Err(error) => panic!("attribute {}: {error}", name.escape_ascii()),
        };
        found.push((name.to_vec(), value));
    }
    found.sort();
    found
}
