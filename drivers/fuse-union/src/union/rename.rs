//! Renaming and exchanging.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use parking_lot::MutexGuard;
use rustix::fs::{AtFlags, FileType, RenameFlags};
use rustix::io::Errno;

use super::Union;
use super::folder::{Folder, Shown};
use super::lookup::real_parent;
use super::node::{Name, Node, Place};
use super::real_folder::RealFolder;
use super::remove::{dispose, has_whiteout};
use super::work::Work;
use crate::options::Redirects;
use crate::request::{Answer, NodeId};

/// One end of a rename.
struct End<'a> {
    parent: Arc<Node>,
    name: &'a [u8],
    /// What has the name, with a reference of ours.
    node: Option<Arc<Node>>,
}

/// The locks of both folders; there may be only one.
struct Locked<'a> {
    from: MutexGuard<'a, Folder>,
    to: Option<MutexGuard<'a, Folder>>,
}

impl Locked<'_> {
    fn to(&mut self) -> &mut Folder {
        self.to.as_deref_mut().unwrap_or(&mut self.from)
    }
}

/// The upper parts of both folders.
struct Uppers {
    from: (Arc<RealFolder>, Arc<OwnedFd>),
    to: (Arc<RealFolder>, Arc<OwnedFd>),
}

impl Union {
    pub(super) fn rename_name(&self, from: (NodeId, &[u8]), to: (NodeId, &[u8]), flags: u32) -> Answer<()> {
        let flags = RenameFlags::from_bits_retain(flags);
        self.check_name(to.1)?;
        if !(RenameFlags::NOREPLACE | RenameFlags::EXCHANGE).contains(flags) {
            return Err(Errno::INVAL);
        }
        self.work()?;
        let source = self.end(from)?;
        let target = self.end(to);
        let renamed = match &target {
            Ok(target) => self.rename_ends(&source, target, flags),
            Err(error) => Err(*error),
        };
        for node in target.ok().and_then(|end| end.node).iter().chain(&source.node) {
            self.table.release(node, 1);
        }
        renamed
    }

    fn end<'a>(&self, (parent, name): (NodeId, &'a [u8])) -> Answer<End<'a>> {
        let parent = self.table.get(parent)?;
        let node = {
            let mut folder = self.filled(&parent)?;
            match folder.find_live(name) {
                Some(index) => Some(self.hold(&parent, &mut folder, index)?.node),
                None => None,
            }
        };
        Ok(End { parent, name, node })
    }

    fn rename_ends(&self, source: &End<'_>, target: &End<'_>, flags: RenameFlags) -> Answer<()> {
        let moving = source.node.as_ref().ok_or(Errno::NOENT)?;
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        match &target.node {
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EXIST),
            None if exchange => return Err(Errno::NOENT),
            Some(other) if other.id == moving.id => return Ok(()),
            Some(other) if !exchange => check_types(moving, other)?,
            _ => {}
        }
        self.make_movable(moving)?;
        if let Some(other) = target.node.as_ref().filter(|_| exchange) {
            self.make_movable(other)?;
        }
        self.copy_up(&source.parent, 0)?;
        self.copy_up(&target.parent, 0)?;
        let mut locked = self.lock_both(&source.parent, &target.parent)?;
        // Between the look-up and the lock the kernel lets nobody in; what is not as it was is a race that it lost.
        let is_there = |folder: &Folder, end: &End<'_>| {
            let at = folder.find_live(end.name).map(|index| folder.entry(index).node);
            at == end.node.as_ref().map(|node| node.id)
        };
        if !is_there(&locked.from, source) || !is_there(locked.to(), target) || locked.to().removed {
            return Err(Errno::NOENT);
        }
        let uppers = self.uppers(source, target)?;
        if exchange {
            self.exchange(source, target, &mut locked, &uppers)
        } else {
            self.replace(source, target, &mut locked, &uppers)
        }
    }

    /// Brings an inode into the upper layer, and a folder into a form that can have another name.
    fn make_movable(&self, node: &Arc<Node>) -> Answer<()> {
        if node.is_folder() {
            drop(self.filled(node)?);
            let parts = node.real_folders()?;
            let lower = parts.iter().any(|part| !self.layers.is_upper(part.layer));
            if lower && self.options.redirects != Redirects::On {
                return Err(Errno::XDEV);
            }
        }
        self.copy_up(node, u64::MAX)
    }

    fn lock_both<'a>(&self, from: &'a Arc<Node>, to: &'a Arc<Node>) -> Answer<Locked<'a>> {
        if from.id == to.id {
            return Ok(Locked { from: self.filled(from)?, to: None });
        }
        if from.id < to.id {
            let first = self.filled(from)?;
            return Ok(Locked { from: first, to: Some(self.filled(to)?) });
        }
        let first = self.filled(to)?;
        Ok(Locked { from: self.filled(from)?, to: Some(first) })
    }

    fn uppers(&self, source: &End<'_>, target: &End<'_>) -> Answer<Uppers> {
        let open = |end: &End<'_>| {
            let upper = real_parent(&end.parent, 0)?;
            let opened = upper.open(&self.folders)?;
            Answer::Ok((upper, opened))
        };
        Ok(Uppers { from: open(source)?, to: open(target)? })
    }

    fn replace(
        &self,
        source: &End<'_>,
        target: &End<'_>,
        locked: &mut Locked<'_>,
        uppers: &Uppers,
    ) -> Answer<()> {
        let (work, moving) = (self.work()?, source.node.as_ref().ok_or(Errno::NOENT)?);
        let below =
            |folder: &Folder, name: &[u8]| folder.find(name).is_some_and(|index| folder.entry(index).below);
        let leaves_whiteout = below(&locked.from, source.name);
        let onto_below = below(locked.to(), target.name);
        if moving.is_folder() {
            self.prepare_folder(moving, onto_below)?;
        }
        let replaced_upper = match &target.node {
            Some(other) => self.prepare_target(other, target, &uppers.to.1)?,
            None => false,
        };
        let at = locked.to().find(target.name);
        let whiteout = has_whiteout(locked.to(), at);
        let swap = moving.is_folder() && (whiteout || replaced_upper);
        Self::rename_real(work, source, target, uppers, (swap, leaves_whiteout))?;
        locked.from.remove(source.name, leaves_whiteout);
        self.settle_target(target, replaced_upper)?;
        self.settle_moved(moving, source, target, locked, &uppers.to.0)
    }

    /// Does it on the file system. With `swap` the two names are exchanged first: a folder cannot replace a whiteout, or a
    /// folder that only looks empty.
    fn rename_real(
        work: &Work,
        source: &End<'_>,
        target: &End<'_>,
        uppers: &Uppers,
        (swap, leaves_whiteout): (bool, bool),
    ) -> Answer<()> {
        let (from, to) = (&*uppers.from.1, &*uppers.to.1);
        if swap {
            rustix::fs::renameat_with(from, source.name, to, target.name, RenameFlags::EXCHANGE)?;
            let stat = rustix::fs::statat(from, source.name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return dispose(work, from, source.name, leaves_whiteout);
            }
            // The whiteout of the target came here.
            return if leaves_whiteout {
                Ok(())
            } else {
                rustix::fs::unlinkat(from, source.name, AtFlags::empty())
            };
        }
        if !leaves_whiteout {
            return rustix::fs::renameat(from, source.name, to, target.name);
        }
        if work.keeps_devices() {
            match rustix::fs::renameat_with(from, source.name, to, target.name, RenameFlags::WHITEOUT) {
                Err(Errno::INVAL | Errno::PERM | Errno::NOSYS) => {}
                other => return other,
            }
        }
        rustix::fs::renameat(from, source.name, to, target.name)?;
        work.add_whiteout(from.as_fd(), source.name)
    }

    /// Keeps what is replaced reachable for who has it open. Answers whether it is in the upper layer.
    fn prepare_target(&self, other: &Arc<Node>, target: &End<'_>, opened: &OwnedFd) -> Answer<bool> {
        let upper = self.is_upper(other);
        if other.is_folder() {
            self.empty_folder(other)?;
        } else if upper {
            Self::keep_reachable(other, &target.parent, target.name, opened)?;
        }
        Ok(upper)
    }

    fn settle_target(&self, target: &End<'_>, upper: bool) -> Answer<()> {
        match &target.node {
            Some(other) if other.is_folder() => self.forget_folder(other, &target.parent, target.name),
            Some(other) => {
                self.forget_leaf(other, &target.parent, target.name, upper);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Tells the layers below where a folder's parts are, or that it has none.
    fn prepare_folder(&self, node: &Arc<Node>, onto_below: bool) -> Answer<()> {
        let parts = node.real_folders()?;
        if parts.len() > 1 || onto_below {
            self.write_redirect(node)?;
        }
        for part in parts.iter().skip(1) {
            self.note_moved(node, part);
        }
        Ok(())
    }

    fn settle_moved(
        &self,
        node: &Arc<Node>,
        source: &End<'_>,
        target: &End<'_>,
        locked: &mut Locked<'_>,
        upper: &Arc<RealFolder>,
    ) -> Answer<()> {
        let stat = self.place_at(node, source, target, upper)?;
        let has_origin = self.layers.number(0, stat) != node.state.read().ino;
        let shown = Shown { node: node.id, ino: stat, layer: 0, kind: node.kind };
        let folder = locked.to();
        folder.put(target.name, shown);
        if has_origin && !node.is_folder() {
            self.mark_impure(upper, folder)?;
        }
        Ok(())
    }

    /// Notes where an inode is now, and answers its real number.
    fn place_at(
        &self,
        node: &Arc<Node>,
        from: &End<'_>,
        to: &End<'_>,
        upper: &Arc<RealFolder>,
    ) -> Answer<u64> {
        let name = Name::new(&to.parent, to.name);
        let parts = if node.is_folder() { Some(node.real_folders()?) } else { None };
        match parts.as_ref().and_then(|parts| parts.first()) {
            Some(first) => first.moved(upper, to.name),
            None => {
                node.state.write().place =
                    Place::In { folder: Arc::clone(upper), name: Arc::clone(&name.name) };
            }
        }
        Self::add_name(node, name);
        self.drop_name(node, &from.parent, from.name);
        let opened = upper.open(&self.folders)?;
        Ok(rustix::fs::statat(&*opened, to.name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino)
    }

    fn exchange(
        &self,
        source: &End<'_>,
        target: &End<'_>,
        locked: &mut Locked<'_>,
        uppers: &Uppers,
    ) -> Answer<()> {
        let (Some(one), Some(other)) = (&source.node, &target.node) else { return Err(Errno::NOENT) };
        for node in [one, other].into_iter().filter(|node| node.is_folder()) {
            // Both places may have something below.
            self.prepare_folder(node, true)?;
        }
        let (from, to) = (&*uppers.from.1, &*uppers.to.1);
        rustix::fs::renameat_with(from, source.name, to, target.name, RenameFlags::EXCHANGE)?;
        self.settle_moved(one, source, target, locked, &uppers.to.0)?;
        let number = self.place_at(other, target, source, &uppers.from.0)?;
        let has_origin = self.layers.number(0, number) != other.state.read().ino;
        locked.from.put(source.name, Shown { node: other.id, ino: number, layer: 0, kind: other.kind });
        if has_origin && !other.is_folder() {
            self.mark_impure(&uppers.from.0, &mut locked.from)?;
        }
        Ok(())
    }
}

fn check_types(moving: &Node, other: &Node) -> Answer<()> {
    match (moving.is_folder(), other.is_folder()) {
        (true, false) => Err(Errno::NOTDIR),
        (false, true) => Err(Errno::ISDIR),
        _ => Ok(()),
    }
}
