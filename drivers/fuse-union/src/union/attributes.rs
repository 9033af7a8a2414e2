//! What `stat(2)` shows, and changing it.

use std::os::fd::AsFd;
use std::sync::Arc;

use plywood_tree::resolve::Node as RealNode;
use rustix::fs::{AtFlags, FileType, Stat, StatxFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use super::Union;
use super::node::{Node, Place, State};
use super::override_stat::{self, Overridden};
use super::real::Real;
use crate::request::{Answer, Attributes, Changes, NewTime, Time};

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o010;

impl Union {
    /// The attributes of an inode, as they are now.
    pub(super) fn attributes_of(&self, node: &Arc<Node>) -> Answer<Attributes> {
        let stat = self.stat(node)?;
        Ok(self.show(node, &node.state.read(), &stat))
    }

    /// The stat of the real object.
    pub(super) fn stat(&self, node: &Arc<Node>) -> Answer<Stat> {
        match node.place() {
            Place::In { folder, name } => self.real_stat(&*folder.open(&self.folders)?, &name, folder.layer),
            Place::Held { file, layer } => {
                let mut stat = rustix::fs::fstat(&*file)?;
                if let Some(form) = self.layers.layer(layer).override_stat {
                    override_stat::apply(form, &Real::open(&file), &mut stat)?;
                }
                Ok(stat)
            }
            Place::Merged(folders) => {
                let first = folders.first().ok_or(Errno::STALE)?;
                let mut stat = first.stat(&self.folders)?;
                if let Some(form) = self.layers.layer(first.layer).override_stat {
                    let opened = first.open(&self.folders)?;
                    override_stat::apply(form, &Real::Named(RealNode::itself(opened.as_fd())), &mut stat)?;
                }
                Ok(stat)
            }
        }
    }

    /// A real stat as programs see it.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the kernel's own ranges")]
    pub(super) fn show(&self, node: &Node, state: &State, stat: &Stat) -> Attributes {
        Attributes {
            ino: state.ino,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            accessed: Time { seconds: stat.st_atime, nanoseconds: stat.st_atime_nsec as u32 },
            modified: Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 },
            changed: Time { seconds: stat.st_ctime, nanoseconds: stat.st_ctime_nsec as u32 },
            mode: stat.st_mode,
            links: self.links(node, state, stat.st_nlink as u32),
            uid: self.options.ids.shown_user(stat.st_uid),
            gid: self.options.ids.shown_group(stat.st_gid),
            device: device_number(stat.st_rdev),
            block_size: stat.st_blksize as u32,
        }
    }

    /// Nobody knows how many folders a merged one holds before it is filled: it has one link, as with the kernel's overlayfs,
    /// which tells programs not to count.
    fn links(&self, node: &Node, state: &State, real: u32) -> u32 {
        match &state.place {
            Place::Merged(_) if node.id != crate::request::ROOT && state.names.is_empty() => 0,
            Place::Merged(folders) if self.options.static_links || folders.len() > 1 => 1,
            _ => real.saturating_sub(state.hidden_links),
        }
    }

    /// The time at which the real object was made.
    pub(super) fn born(&self, node: &Arc<Node>) -> Answer<Option<Time>> {
        let ask = |folder: &dyn AsFd, name: &[u8], flags| {
            let found = rustix::fs::statx(folder.as_fd(), name, flags, StatxFlags::BTIME)?;
            let known = found.stx_mask & StatxFlags::BTIME.bits() != 0;
            let time = Time { seconds: found.stx_btime.tv_sec, nanoseconds: found.stx_btime.tv_nsec };
            Answer::Ok(known.then_some(time))
        };
        match node.place() {
            Place::In { folder, name } => ask(&folder.open(&self.folders)?, &name, AtFlags::SYMLINK_NOFOLLOW),
            Place::Held { file, .. } => ask(&file, b"", AtFlags::EMPTY_PATH),
            Place::Merged(folders) => {
                ask(&folders.first().ok_or(Errno::STALE)?.open(&self.folders)?, b"", AtFlags::EMPTY_PATH)
            }
        }
    }

    pub(super) fn change(&self, node: &Arc<Node>, changes: &Changes) -> Answer<Attributes> {
        if self.is_flushed_time(node, changes)? {
            return self.attributes_of(node);
        }
        // What is cut off need not be copied.
        self.copy_up(node, changes.size.unwrap_or(u64::MAX))?;
        if let Some(size) = changes.size {
            rustix::fs::ftruncate(&*self.writer(node)?, size)?;
            if changes.kill_privileges {
                self.kill_privileges(node)?;
            }
        }
        self.with_real(node, |real| self.change_real(node, real, changes))?;
        if node.is_folder() {
            // The group and its bit go on to what is made in it.
            node.folder()?.lock().inheritance = None;
        }
        self.attributes_of(node)
    }

    /// The kernel keeps times with the writeback cache, and writes them back after a link was added or removed as well. What is
    /// in a lower layer, or gone, has nothing to keep.
    fn is_flushed_time(&self, node: &Arc<Node>, changes: &Changes) -> Answer<bool> {
        let others = changes.mode.is_some()
            || changes.uid.is_some()
            || changes.gid.is_some()
            || changes.size.is_some()
            || changes.accessed.is_some();
        let Some(NewTime::At(modified)) = changes.modified else { return Ok(false) };
        if others || !changes.status_time || self.is_upper(node) {
            return Ok(false);
        }
        let stat = self.stat(node)?;
        Ok(self.show(node, &node.state.read(), &stat).modified == modified)
    }

    fn change_real(&self, node: &Arc<Node>, real: &Real<'_>, changes: &Changes) -> Answer<()> {
        if self.layers.layer(0).override_stat.is_some() {
            self.change_overridden(node, real, changes)?;
        } else {
            self.change_owner(real, changes)?;
            if let Some(mode) = changes.mode {
                real.set_mode(mode)?;
            }
        }
        if changes.accessed.is_none() && changes.modified.is_none() {
            return Ok(());
        }
        let times = Timestamps {
            last_access: timespec(changes.accessed),
            last_modification: timespec(changes.modified),
        };
        real.set_times(&times)
    }

    fn change_owner(&self, real: &Real<'_>, changes: &Changes) -> Answer<()> {
        let ids = &self.options.ids;
        let map = |given: Option<u32>, squashed: Option<u32>, kept: &dyn Fn(u32) -> Option<u32>| match given {
            // A squashed owner is what it is.
            Some(_) if squashed.is_some() => Ok(None),
            Some(id) => kept(id).map(Some).ok_or(Errno::INVAL),
            None => Ok(None),
        };
        let uid = map(changes.uid, ids.squash_user, &|id| ids.kept_user(id))?;
        let gid = map(changes.gid, ids.squash_group, &|id| ids.kept_group(id))?;
        if uid.is_none() && gid.is_none() {
            return Ok(());
        }
        real.set_owner(uid, gid)
    }

    fn change_overridden(&self, node: &Arc<Node>, real: &Real<'_>, changes: &Changes) -> Answer<()> {
        let Some(form) = self.layers.layer(0).override_stat else { return Ok(()) };
        let now = self.stat(node)?;
        let ids = &self.options.ids;
        let kind = FileType::from_raw_mode(now.st_mode);
        // A real new owner would take set-id bits away.
        let kept = if changes.kill_privileges { without_set_ids(now.st_mode) } else { now.st_mode };
        let overridden = Overridden {
            uid: changes.uid.and_then(|uid| ids.kept_user(uid)).unwrap_or(now.st_uid),
            gid: changes.gid.and_then(|gid| ids.kept_group(gid)).unwrap_or(now.st_gid),
            mode: changes.mode.unwrap_or(kept) & 0o7777,
            kind: (kind != FileType::RegularFile && !node.is_folder()).then_some((kind, now.st_rdev)),
        };
        if kind == FileType::Symlink {
            // Links take no attributes of users.
            return Ok(());
        }
        override_stat::write(form, real, &overridden)
    }

    /// Takes away what a file grants to whoever runs it, because its content changes.
    pub(super) fn kill_privileges(&self, node: &Arc<Node>) -> Answer<()> {
        let mode = self.stat(node)?.st_mode;
        let left = without_set_ids(mode);
        self.with_real(node, |real| {
            if left != mode {
                let changes = Changes { mode: Some(left & 0o7777), ..Changes::default() };
                self.change_real(node, real, &changes)?;
            }
            if real.find_xattr(b"security.capability")?.is_some() {
                real.remove_xattr(b"security.capability")?;
            }
            Ok(())
        })
    }
}

/// A mode without the bits by which programs run as somebody else. Without execution for the group the one of the group means something else.
fn without_set_ids(mode: u32) -> u32 {
    let group = if mode & GROUP_EXECUTES == 0 { 0 } else { SET_GROUP };
    mode & !(SET_USER | group)
}

fn timespec(time: Option<NewTime>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(NewTime::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(NewTime::At(time)) => Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) },
    }
}

/// The kernel's 32 bits of a device number (`new_encode_dev`).
fn device_number(device: u64) -> u32 {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The other way round (`new_decode_dev`).
pub(super) fn device_from_number(number: u32) -> u64 {
    let (major, minor) = ((number & 0xf_ff00) >> 8, (number & 0xff) | ((number >> 12) & 0xf_ff00));
    rustix::fs::makedev(major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_go_both_ways() {
        for (major, minor) in [(0, 0), (8, 1), (259, 300), (4095, 1_048_575)] {
            let device = rustix::fs::makedev(major, minor);
            assert_eq!(device_from_number(device_number(device)), device);
        }
    }
}
