//! The entries of a tar, put into a folder that others may be changing at the same time.

use std::io::{self, BufRead};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context;
use plywood::Skipped;
use plywood::archive::tar::{Entry, Kind, TarReader, Timestamp};
use plywood_tree::metadata::times;
use plywood_tree::path;
use plywood_tree::resolve::{Node, open_folder};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::exit::UsageError;
use crate::show;
use crate::transfer::Keeping;
use crate::transfer::leaf::{self, Leaf};
use crate::transfer::spot::{Spot, Tree};

/// Places entries below a folder.
#[derive(Debug)]
pub(crate) struct Placer<'a> {
    target: Spot<'a>,
    /// The target itself.
    base: OwnedFd,
    /// The folder used last, as entries come sorted.
    last: Option<(Vec<u8>, OwnedFd)>,
    keeping: Keeping,
    /// Folders that were made, and what they get once they are full.
    made: Vec<MadeFolder>,
    skipped: Skipped,
}

#[derive(Debug)]
struct MadeFolder {
    path: Vec<u8>,
    mode: u32,
    modified: Timestamp,
}

impl<'a> Placer<'a> {
    /// Opens the folder.
    pub(crate) fn new(target: &Spot<'a>, keeping: Keeping) -> anyhow::Result<Self> {
        let base = target.tree.open_folder(&target.path).map_err(io::Error::from);
        let base = base.with_context(|| format!("open {}", target.shown()))?;
        let (made, skipped) = (Vec::new(), Skipped::default());
        Ok(Self { target: target.clone(), base, last: None, keeping, made, skipped })
    }

    /// Places one entry.
    ///
    /// # Errors
    /// `UsageError` where a file is in a folder's place or the reverse; those of the tar and of writing.
    pub(crate) fn entry<R: BufRead>(
        &mut self,
        entry: &Entry,
        tar: &mut TarReader<R, ()>,
    ) -> anyhow::Result<()> {
        let cleaned = path::clean(&entry.path)?;
        let Some((parent, name)) = path::split(&cleaned) else { return Ok(()) };
        if let Kind::CharDevice { .. } | Kind::BlockDevice { .. } = entry.kind
            && self.is_outside()
            && !self.keeping.everything
        {
            self.skipped.devices += 1;
            return Ok(());
        }
        let folder = self.folder(parent)?;
        let node = Node { folder: folder.as_fd(), name };
        let there = node.find().map_err(io::Error::from)?.map(|stat| FileType::from_raw_mode(stat.st_mode));
        match (&entry.kind, there) {
            (Kind::Directory, Some(FileType::Directory)) => Ok(()),
            // What comes below is resolved through it, inside the container.
            (Kind::Directory, Some(FileType::Symlink)) if !self.is_outside() => {
                self.folder(&cleaned).map(drop)
            }
            (Kind::Directory, Some(_)) => {
                Err(in_the_way(&cleaned, "is no folder, and a folder cannot replace it"))
            }
            (Kind::Directory, None) => self.make_folder(node, entry, cleaned.clone()),
            (_, Some(FileType::Directory)) => {
                Err(in_the_way(&cleaned, "is a folder, and a file cannot replace it"))
            }
            (Kind::HardLink { target }, _) => self.link(target, node),
            _ => leaf::place(self.leaf(entry), node, tar, &mut self.skipped),
        }
    }

    /// Gives the folders that were made their modes and times, the innermost first.
    pub(crate) fn finish(mut self) -> anyhow::Result<Skipped> {
        for made in std::mem::take(&mut self.made).into_iter().rev() {
            let (parent, name) = path::split(&made.path).unwrap_or((b"", b"."));
            let folder = self.folder(parent)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let described = Node { folder: folder.as_fd(), name }.open(flags).and_then(|opened| {
                rustix::fs::fchmod(&opened, Mode::from_raw_mode(made.mode))?;
                rustix::fs::futimens(&opened, &times(made.modified))
            });
            described
                .map_err(io::Error::from)
                .with_context(|| format!("describe {}", show::path(&made.path)))?;
        }
        Ok(self.skipped)
    }

    fn is_outside(&self) -> bool {
        matches!(self.target.tree, Tree::Host)
    }

    /// What a leaf becomes here.
    fn leaf<'e>(&self, entry: &'e Entry) -> Leaf<'e> {
        Leaf {
            entry,
            owner: self.owner(entry),
            mode: self.mode(entry),
            all_xattrs: !self.is_outside() || self.keeping.everything,
        }
    }

    fn owner(&self, entry: &Entry) -> Option<(u32, u32)> {
        match (self.keeping.may_change_owners, self.keeping.everything, self.is_outside()) {
            (true, true, _) => Some((entry.uid, entry.gid)),
            (true, false, false) => Some((0, 0)),
            _ => None,
        }
    }

    /// A program of an image that nobody trusts must not run here as the caller.
    fn mode(&self, entry: &Entry) -> u32 {
        if self.is_outside() && !self.keeping.everything { entry.mode & 0o1777 } else { entry.mode }
    }

    fn make_folder(&mut self, node: Node<'_>, entry: &Entry, path: Vec<u8>) -> anyhow::Result<()> {
        rustix::fs::mkdirat(node.folder, node.name, Mode::RWXU).map_err(io::Error::from)?;
        let opened = node.open(OFlags::RDONLY | OFlags::DIRECTORY).map_err(io::Error::from)?;
        let leaf = self.leaf(entry);
        leaf::own(&opened, leaf.owner)?;
        leaf::set_xattrs(&opened, leaf, &mut self.skipped)?;
        self.made.push(MadeFolder { path, mode: leaf.mode, modified: entry.modified });
        Ok(())
    }

    fn link(&mut self, target: &[u8], node: Node<'_>) -> anyhow::Result<()> {
        let cleaned = path::clean(target)?;
        let Some((parent, name)) = path::split(&cleaned) else {
            return Err(in_the_way(&cleaned, "is a folder, and cannot be linked to"));
        };
        let folder = self.folder(parent)?;
        leaf::link(Node { folder: folder.as_fd(), name }, node)
    }

    /// Opens a folder below the target, and makes it where it is missing.
    fn folder(&mut self, path: &[u8]) -> anyhow::Result<OwnedFd> {
        if let Some((known, folder)) = &self.last
            && known == path
        {
            return Ok(folder.try_clone()?);
        }
        let opened = match self.open(path) {
            Err(Errno::NOENT) => {
                let (parent, name) = path::split(path).unwrap_or((b"", b"."));
                let above = self.folder(parent)?;
                match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(io::Error::from(error).into()),
                }
                self.open(path)
            }
            other => other,
        };
        let opened = match opened {
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(in_the_way(path, "is no folder, and is not followed"));
            }
            other => other.map_err(io::Error::from).with_context(|| format!("open {}", show::path(path)))?,
        };
        self.last = Some((path.to_vec(), opened.try_clone()?));
        Ok(opened)
    }

    /// In a container links are followed inside of it; outside nothing that a container named is followed.
    fn open(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        match self.target.tree {
            Tree::Container(_) => {
                self.target.tree.open_folder(&[self.target.path.as_slice(), b"/", path].concat())
            }
            Tree::Host => open_folder(self.base.as_fd(), path),
        }
    }
}

fn in_the_way(path: &[u8], reason: &str) -> anyhow::Error {
    UsageError(format!("{} {reason}", show::path(path))).into()
}
