//! Where something is copied from or to: a path in a container's tree, or one of this machine.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Context;
use plywood_tree::resolve::{Node, open_in_root};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::exit::Absent;
use crate::show;

/// Links followed at most, as the kernel has it (`MAXSYMLINKS`, include/linux/namei.h).
const MOST_LINKS: usize = 40;

/// The tree that a path belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tree<'a> {
    /// A container's: no name in it leads out.
    Container(BorrowedFd<'a>),
    /// This machine's, where the caller's own paths are followed as the kernel does.
    Host,
}

/// A path in a tree.
#[derive(Debug, Clone)]
pub(crate) struct Spot<'a> {
    pub(crate) tree: Tree<'a>,
    /// Absolute, without a slash at its end; the root is `/`.
    pub(crate) path: Vec<u8>,
    /// It was typed with a slash at its end: only a folder is meant.
    pub(crate) must_be_folder: bool,
    /// It was typed with `/.` at its end: what is in the folder is meant.
    pub(crate) only_content: bool,
}

/// What is at a spot, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    Folder,
    Leaf,
}

impl Tree<'_> {
    /// Opens a folder, following links as far as the tree goes.
    pub(crate) fn open_folder(self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        self.open(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    fn open(self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match self {
            Self::Container(root) => open_in_root(root, relative(path), flags),
            Self::Host => rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()),
        }
    }
}

impl<'a> Spot<'a> {
    /// A path in a container, which begins at its root whether it is typed with a slash or not.
    pub(crate) fn in_container(root: BorrowedFd<'a>, typed: &[u8]) -> Self {
        let (must_be_folder, only_content) = endings(typed);
        let path = normalised(typed);
        let only_content = only_content || path == b"/";
        Self { tree: Tree::Container(root), path, must_be_folder, only_content }
    }

    /// A path of this machine.
    pub(crate) fn on_host(typed: &Path) -> anyhow::Result<Self> {
        let (must_be_folder, only_content) = endings(typed.as_os_str().as_bytes());
        // Leaves `..` in place, which only the kernel can follow through links.
        let path = std::path::absolute(typed).with_context(|| format!("resolve {}", typed.display()))?;
        let mut path = path.into_os_string().into_encoded_bytes();
        while path.len() > 1 && path.ends_with(b"/") {
            path.pop();
        }
        let only_content = only_content || path == b"/";
        Ok(Self { tree: Tree::Host, path, must_be_folder, only_content })
    }

    /// The path for messages.
    pub(crate) fn shown(&self) -> String {
        show::path(&self.path)
    }

    /// The folder's path and the name in it; the root, and what ends in `..`, are `.` in themselves.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        let slash = self.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        match &self.path[slash + 1..] {
            b"" | b".." => (&self.path, b"."),
            name => (if slash == 0 { b"/" } else { &self.path[..slash] }, name),
        }
    }

    /// What is there, links followed.
    pub(crate) fn there(&self) -> anyhow::Result<There> {
        match self.tree.open(&self.path, OFlags::PATH) {
            Ok(opened) => {
                let stat = rustix::fs::fstat(&opened).map_err(std::io::Error::from)?;
                let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                Ok(if is_folder { There::Folder } else { There::Leaf })
            }
            Err(Errno::NOENT) => Ok(There::Nothing),
            Err(error) => {
                Err(std::io::Error::from(error)).with_context(|| format!("look up {}", self.shown()))
            }
        }
    }

    /// Opens the folder that it is in, and looks it up there, not following it.
    pub(crate) fn find(&self) -> anyhow::Result<(OwnedFd, Stat)> {
        let (parent, name) = self.split();
        let opened = self.tree.open_folder(parent).and_then(|folder| {
            let stat = Node { folder: folder.as_fd(), name }.stat()?;
            Ok((folder, stat))
        });
        match opened {
            Err(Errno::NOENT) => Err(Absent(format!("there is no {}", self.shown())).into()),
            other => other.map_err(std::io::Error::from).with_context(|| format!("look up {}", self.shown())),
        }
    }

    /// The spot that a link leads to at the end; itself where it is none.
    pub(crate) fn followed(mut self) -> anyhow::Result<Self> {
        for _ in 0..MOST_LINKS {
            let (folder, stat) = self.find()?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                return Ok(self);
            }
            let (parent, name) = self.split();
            let link = rustix::fs::readlinkat(&folder, name, Vec::new()).map_err(std::io::Error::from)?;
            let joined = if link.as_bytes().starts_with(b"/") {
                link.into_bytes()
            } else {
                [parent, b"/", link.as_bytes()].concat()
            };
            self.path = match self.tree {
                Tree::Container(_) => normalised(&joined),
                Tree::Host => joined,
            };
        }
        let looping = std::io::Error::from(Errno::LOOP);
        Err(looping).with_context(|| format!("follow {}", self.shown()))
    }
}

/// Takes every slash off the front, so that not even a kernel without `RESOLVE_IN_ROOT` would be given an absolute path.
fn relative(path: &[u8]) -> &[u8] {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    &path[slashes..]
}

fn endings(typed: &[u8]) -> (bool, bool) {
    (typed.ends_with(b"/"), typed == b"." || typed.ends_with(b"/."))
}

/// Takes `.`, `..` and double slashes out of a path, as a container's `..` cannot lead out of it.
fn normalised(path: &[u8]) -> Vec<u8> {
    let mut components: Vec<&[u8]> = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    [b"/", components.join(&b"/"[..]).as_slice()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn container_paths_begin_at_the_root_and_stay_below_it() {
        for (typed, path) in
            [("a/./b//c/", "/a/b/c"), ("/../../x", "/x"), ("/", "/"), ("a/../..", "/"), ("etc/.", "/etc")]
        {
            assert_eq!(normalised(typed.as_bytes()), path.as_bytes(), "{typed}");
        }
    }

    #[test]
    fn no_absolute_path_is_opened_in_a_container() {
        for (path, opened) in [("/", ""), ("//", ""), ("//etc", "etc"), ("/a//b", "a//b")] {
            assert_eq!(relative(path.as_bytes()), opened.as_bytes(), "{path}");
        }
    }

    #[test]
    fn a_path_is_split_for_its_folder_and_name() {
        let split = |path: &str| {
            let spot = Spot::on_host(Path::new(path)).unwrap();
            let (folder, name) = spot.split();
            (String::from_utf8_lossy(folder).into_owned(), String::from_utf8_lossy(name).into_owned())
        };
        assert_eq!(split("/a/b/"), ("/a".to_owned(), "b".to_owned()));
        assert_eq!(split("/a"), ("/".to_owned(), "a".to_owned()));
        assert_eq!(split("/"), ("/".to_owned(), ".".to_owned()));
        assert_eq!(split("/a/.."), ("/a/..".to_owned(), ".".to_owned()));
    }
}
