//! Copy-up: what is in a lower layer gets a copy in the upper one before it changes.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use plywood_tree::file;
use plywood_tree::resolve::Node as RealNode;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::Union;
use super::folder::Folder;
use super::formats::{self, attribute};
use super::lookup::real_parent;
use super::node::{Name, Node, Place};
use super::override_stat::{self, Overridden};
use super::real::Real;
use super::real_folder::RealFolder;
use super::work::Work;
use crate::request::Answer;

/// A copy without a place in the merged tree yet.
enum Staged {
    /// A file that has no name.
    Unnamed(OwnedFd),
    /// A name in the work folder.
    Named(String),
}

impl Union {
    /// Copies an inode up, unless it is in the upper layer. Of a file's content only the first `length` bytes are needed.
    ///
    /// Everybody else goes on meanwhile: only who wants to write the same file waits.
    pub(super) fn copy_up(&self, node: &Arc<Node>, length: u64) -> Answer<()> {
        if self.is_upper(node) {
            return Ok(());
        }
        let work = self.work()?;
        if node.is_folder() {
            return self.copy_up_folder(node);
        }
        let _copying = node.copying.lock();
        if self.is_upper(node) {
            return Ok(());
        }
        let Place::In { folder, name } = node.place() else { return Err(Errno::STALE) };
        let opened = folder.open(&self.folders)?;
        let source = RealNode { folder: opened.as_fd(), name: &name };
        let raw = source.stat()?;
        let staged = Self::stage_copy(work, source, &raw, length)?;
        let described = self.describe_copy(work, node, &staged, source, folder.layer);
        if let Err(error) = described.and_then(|()| self.publish(work, node, &staged)) {
            if let Staged::Named(name) = &staged {
                work.discard(name);
            }
            return Err(error);
        }
        if let Staged::Unnamed(file) = staged {
            self.keep_new(node, file)?;
        }
        if raw.st_nlink > 1 {
            self.link_group_up(node, (folder.layer, raw.st_ino))?;
        }
        Ok(())
    }

    fn stage_copy(work: &Work, source: RealNode<'_>, stat: &Stat, length: u64) -> Answer<Staged> {
        let name = work.free_name();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let (file, staged) = unnamed(work, name)?;
                let size = u64::try_from(stat.st_size).unwrap_or_default().min(length);
                if size > 0 {
                    let opened = file::open_readable(source)?;
                    file::copy_content(opened.as_fd(), file.as_fd(), size)
                        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
                        .inspect_err(|_| staged.iter().for_each(|name| work.discard(name)))?;
                }
                Ok(staged.map_or(Staged::Unnamed(file), Staged::Named))
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(source.folder, source.name, Vec::new())?;
                rustix::fs::symlinkat(target, work.stage(), &name)?;
                Ok(Staged::Named(name))
            }
            kind => {
                rustix::fs::mknodat(work.stage(), &name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?;
                Ok(Staged::Named(name))
            }
        }
    }

    /// Gives a copy the metadata of what it was copied from, and syncs it.
    fn describe_copy(
        &self,
        work: &Work,
        node: &Arc<Node>,
        staged: &Staged,
        source: RealNode<'_>,
        layer: super::real_folder::LayerNumber,
    ) -> Answer<()> {
        let stat = self.stat(node)?;
        let run = |target: &Real<'_>| self.describe(target, source, &stat, layer);
        match staged {
            Staged::Unnamed(file) => {
                run(&Real::open(file))?;
                if self.options.volatile { Ok(()) } else { rustix::fs::fsync(file) }
            }
            Staged::Named(name) => {
                run(&Real::Named(RealNode { folder: work.stage(), name: name.as_bytes() }))
            }
        }
    }

    /// Gives `target` the metadata that `source`, whose stat is given, shows in the merged tree.
    pub(super) fn describe(
        &self,
        target: &Real<'_>,
        source: RealNode<'_>,
        stat: &Stat,
        layer: super::real_folder::LayerNumber,
    ) -> Answer<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        self.describe_owner(target, stat, kind)?;
        let from = Real::Named(source);
        for name in from.xattr_names()?.split(|byte| *byte == 0) {
            if name.is_empty() || formats::is_layers_own(name) {
                continue;
            }
            let Some(value) = from.find_xattr(name)? else { continue };
            match target.set_xattr(name, &value, 0) {
                // What this file system, or this user, cannot keep.
                Err(Errno::OPNOTSUPP | Errno::PERM) => {}
                other => other?,
            }
        }
        if kind != FileType::Symlink {
            target.set_mode(stat.st_mode)?;
        }
        // Numbers of other file systems would not be told apart from those of this one.
        if self.layers.on_one_file_system(0, layer)
            && let Some(value) = formats::origin(source, self.layers.layer(layer).uuid)
        {
            // Without it the number is another one after the next start: no reason to fail.
            if let Err(error) = target.set_xattr(&attribute(self.namespace(), "origin"), &value, 0) {
                tracing::trace!(%error, "no origin is kept");
            }
        }
        target.set_times(&times(stat))
    }

    fn describe_owner(&self, target: &Real<'_>, stat: &Stat, kind: FileType) -> Answer<()> {
        if let Some(form) = self.layers.layer(0).override_stat {
            if kind == FileType::Symlink {
                return Ok(());
            }
            let other = !matches!(kind, FileType::RegularFile | FileType::Directory);
            let overridden = Overridden {
                uid: stat.st_uid,
                gid: stat.st_gid,
                mode: stat.st_mode & 0o7777,
                kind: other.then_some((kind, stat.st_rdev)),
            };
            return override_stat::write(form, target, &overridden);
        }
        if (stat.st_uid, stat.st_gid) == (self.own.uid, self.own.gid) {
            return Ok(());
        }
        match target.set_owner(Some(stat.st_uid), Some(stat.st_gid)) {
            // Owners that this user cannot give.
            Err(Errno::PERM | Errno::INVAL) if self.own.uid != 0 => Ok(()),
            other => other,
        }
    }

    /// Gives a copy the name of the inode, in the upper part of its folder. One that was removed meanwhile stays without.
    fn publish(&self, work: &Work, node: &Arc<Node>, staged: &Staged) -> Answer<()> {
        loop {
            let Some(name) = node.any_name() else { return Self::publish_unnamed(work, node, staged) };
            self.copy_up(&name.parent, 0)?;
            let mut folder = self.filled(&name.parent)?;
            let still = node.state.read().names.iter().any(|known| known.is(&name.parent, &name.name));
            if !still {
                continue;
            }
            return self.publish_as(work, node, staged, &name, &mut folder);
        }
    }

    fn publish_as(
        &self,
        work: &Work,
        node: &Arc<Node>,
        staged: &Staged,
        name: &Name,
        folder: &mut Folder,
    ) -> Answer<()> {
        let parent = real_parent(&name.parent, 0)?;
        self.keeping_times(&parent, |opened| match staged {
            Staged::Unnamed(file) => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, path, opened, &*name.name, AtFlags::SYMLINK_FOLLOW)
            }
            Staged::Named(staged) => {
                rustix::fs::renameat_with(work.stage(), staged, opened, &*name.name, RenameFlags::NOREPLACE)
            }
        })?;
        self.mark_impure(&parent, folder)?;
        if let Some(index) = folder.find_live(&name.name) {
            folder.entry_mut(index).layer = 0;
        }
        let mut state = node.state.write();
        state.place = Place::In { folder: parent, name: Arc::clone(&name.name) };
        state.hidden_links = 0;
        drop(state);
        node.forget_descriptor();
        Ok(())
    }

    fn publish_unnamed(work: &Work, node: &Arc<Node>, staged: &Staged) -> Answer<()> {
        let file = match staged {
            Staged::Unnamed(file) => rustix::io::fcntl_dupfd_cloexec(file, 0)?,
            Staged::Named(name) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let held = rustix::fs::openat(work.stage(), name, flags, Mode::empty())?;
                rustix::fs::unlinkat(work.stage(), name, AtFlags::empty())?;
                held
            }
        };
        let mut state = node.state.write();
        state.place = Place::Held { file: Arc::new(file), layer: 0 };
        state.hidden_links = 0;
        drop(state);
        node.forget_descriptor();
        Ok(())
    }

    /// Runs something that adds a name to a real folder, and puts the folder's times back: in the merged tree nothing changed.
    pub(super) fn keeping_times(
        &self,
        folder: &Arc<RealFolder>,
        run: impl FnOnce(&OwnedFd) -> Answer<()>,
    ) -> Answer<()> {
        let opened = folder.open(&self.folders)?;
        let stat = rustix::fs::fstat(&*opened)?;
        run(&opened)?;
        Real::Named(RealNode::itself(opened.as_fd())).set_times(&times(&stat))
    }

    /// Notes that a folder's upper part holds files whose numbers are those of their origins.
    pub(super) fn mark_impure(&self, upper: &Arc<RealFolder>, folder: &mut Folder) -> Answer<()> {
        if folder.impure {
            return Ok(());
        }
        let opened = upper.open(&self.folders)?;
        let real = Real::Named(RealNode::itself(opened.as_fd()));
        match real.set_xattr(&attribute(self.namespace(), "impure"), b"y", 0) {
            Ok(()) => folder.impure = true,
            Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// A file without a name; a name of the work folder where the file system has no such files.
fn unnamed(work: &Work, name: String) -> Answer<(OwnedFd, Option<String>)> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(work.stage(), ".", flags | OFlags::TMPFILE, mode) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
            let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            Ok((rustix::fs::openat(work.stage(), &name, flags, mode)?, Some(name)))
        }
        other => Ok((other?, None)),
    }
}

/// The times of a stat.
#[allow(clippy::cast_possible_wrap, clippy::unnecessary_cast, reason = "nanoseconds are below 10^9")]
pub(super) fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as i64 },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as i64 },
    }
}
