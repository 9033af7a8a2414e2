//! The union as a file system: what is asked of it, handed to the module that does it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{FileType, OFlags};

use super::Union;
use super::attributes::device_from_number;
use super::create::What;
use super::files::Use;
use super::node::Place;
use crate::options::IoMode;
use crate::request::{
    Answer, Attributes, Caller, Changes, Entry, Errno, Features, FileSystem, FolderSink, Kernel, NewNode,
    NodeId, Opened, ROOT, Space, Time,
};

impl FileSystem for Union {
    fn wishes(&self) -> Features {
        let mode = self.io_mode();
        Features {
            writeback: mode != IoMode::Passthrough && self.layers.has_upper,
            passthrough: mode == IoMode::Passthrough && self.layers.has_upper,
            access_control_lists: !self.options.no_access_control_lists && !self.options.no_xattrs,
            kill_privileges: true,
        }
    }

    fn start(&self, granted: Features, kernel: Arc<dyn Kernel>) {
        self.passthrough.store(granted.passthrough, Ordering::Relaxed);
        if self.kernel.set(kernel).is_err() {
            tracing::error!("a union was started twice");
        }
    }

    fn end(&self) {
        self.stop_trimming();
    }

    fn lookup(&self, parent: NodeId, name: &[u8]) -> Answer<Option<Entry>> {
        self.look_up(parent, name)
    }

    fn forget(&self, node: NodeId, lookups: u64) {
        if node != ROOT
            && let Ok(node) = self.table.get(node)
        {
            self.table.release(&node, lookups);
            self.close_backing_of_forgotten(&node);
            self.note_loss();
        }
    }

    fn attributes(&self, node: NodeId) -> Answer<Attributes> {
        self.attributes_of(&self.table.get(node)?)
    }

    fn extended_attributes_of_stat(&self, node: NodeId) -> Answer<(Attributes, Option<Time>)> {
        let node = self.table.get(node)?;
        Ok((self.attributes_of(&node)?, self.born(&node)?))
    }

    fn set_attributes(&self, node: NodeId, changes: &Changes) -> Answer<Attributes> {
        self.change(&self.table.get(node)?, changes)
    }

    fn read_link(&self, node: NodeId) -> Answer<Vec<u8>> {
        self.link_target(node)
    }

    fn make_node(&self, caller: Caller, new: &NewNode<'_>, device: u32) -> Answer<Entry> {
        let what = match FileType::from_raw_mode(new.mode) {
            FileType::RegularFile => What::File,
            kind => What::Special(kind, device_from_number(device)),
        };
        Ok(self.make(caller, new, what)?.entry())
    }

    fn make_folder(&self, caller: Caller, new: &NewNode<'_>) -> Answer<Entry> {
        Ok(self.make(caller, new, What::Folder)?.entry())
    }

    fn make_link(&self, caller: Caller, new: &NewNode<'_>, target: &[u8]) -> Answer<Entry> {
        Ok(self.make(caller, new, What::Link(target))?.entry())
    }

    fn create(&self, caller: Caller, new: &NewNode<'_>, flags: u32) -> Answer<(Entry, Opened)> {
        if self.io_mode() == IoMode::NoOpen {
            // The kernel makes the file with one request then, and has none to release.
            return Err(Errno::NOSYS);
        }
        let held = self.make(caller, new, What::File)?;
        let using = Use { flags: OFlags::from_bits_retain(flags), made_with: Some(new.mode) };
        let opened = self.opened(&held.node, using).inspect_err(|_| self.table.release(&held.node, 1))?;
        Ok((held.entry(), opened))
    }

    fn make_unnamed(&self, caller: Caller, new: &NewNode<'_>, flags: u32) -> Answer<(Entry, Opened)> {
        let held = self.make_unnamed_file(caller, new)?;
        let using = Use { flags: OFlags::from_bits_retain(flags), made_with: Some(new.mode) };
        let opened = self.opened(&held.node, using).inspect_err(|_| self.table.release(&held.node, 1))?;
        Ok((held.entry(), opened))
    }

    fn link(&self, node: NodeId, parent: NodeId, name: &[u8]) -> Answer<Entry> {
        Ok(self.add_link(node, parent, name)?.entry())
    }

    fn unlink(&self, parent: NodeId, name: &[u8]) -> Answer<()> {
        self.remove_leaf(parent, name)
    }

    fn remove_folder(&self, parent: NodeId, name: &[u8]) -> Answer<()> {
        self.remove_merged_folder(parent, name)
    }

    fn rename(&self, from: (NodeId, &[u8]), to: (NodeId, &[u8]), flags: u32) -> Answer<()> {
        self.rename_name(from, to, flags)
    }

    fn open(&self, node: NodeId, flags: u32) -> Answer<Opened> {
        self.open_file(&self.table.get(node)?, flags)
    }

    fn release(&self, node: NodeId, handle: u64) {
        if let Ok(node) = self.table.get(node) {
            self.release_file(&node, handle);
        }
    }

    fn read(&self, node: NodeId, offset: u64, into: &mut [u8]) -> Answer<usize> {
        self.read_file(&self.table.get(node)?, offset, into)
    }

    fn write(&self, node: NodeId, offset: u64, data: &[u8], kill_privileges: bool) -> Answer<usize> {
        self.write_file(&self.table.get(node)?, offset, data, kill_privileges)
    }

    fn sync(&self, node: NodeId, data_only: bool) -> Answer<()> {
        self.sync_file(&self.table.get(node)?, data_only)
    }

    fn allocate(&self, node: NodeId, mode: u32, offset: u64, length: u64) -> Answer<()> {
        self.allocate_file(&self.table.get(node)?, mode, offset, length)
    }

    fn seek(&self, node: NodeId, offset: u64, whence: u32) -> Answer<u64> {
        self.seek_file(&self.table.get(node)?, offset, whence)
    }

    fn copy_range(&self, from: (NodeId, u64), to: (NodeId, u64), length: u64) -> Answer<usize> {
        let (source, target) = (self.table.get(from.0)?, self.table.get(to.0)?);
        self.copy_file_range((&source, from.1), (&target, to.1), length)
    }

    fn file_flags(&self, node: NodeId) -> Answer<u32> {
        self.flags_of(&self.table.get(node)?)
    }

    fn set_file_flags(&self, node: NodeId, flags: u32) -> Answer<()> {
        self.set_flags_of(&self.table.get(node)?, flags)
    }

    fn read_folder(&self, node: NodeId, from: u64, plus: bool, sink: &mut dyn FolderSink) -> Answer<()> {
        self.list_folder(node, from, plus, sink)
    }

    fn sync_folder(&self, node: NodeId) -> Answer<()> {
        let node = self.table.get(node)?;
        if self.options.volatile || !self.is_upper(&node) {
            return Ok(());
        }
        let Place::Merged(folders) = node.place() else { return Err(Errno::NOTDIR) };
        let opened = folders.first().ok_or(Errno::STALE)?.open(&self.folders)?;
        rustix::fs::fsync(&*opened)
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Answer<Vec<u8>> {
        self.get_xattr(&self.table.get(node)?, name)
    }

    fn xattrs(&self, node: NodeId) -> Answer<Vec<u8>> {
        self.list_xattrs(&self.table.get(node)?)
    }

    fn set_xattr(&self, node: NodeId, name: &[u8], value: &[u8], flags: u32, kill_group: bool) -> Answer<()> {
        self.put_xattr(&self.table.get(node)?, name, value, flags, kill_group)
    }

    fn remove_xattr(&self, node: NodeId, name: &[u8]) -> Answer<()> {
        self.drop_xattr(&self.table.get(node)?, name)
    }

    #[allow(clippy::cast_possible_truncation, reason = "block sizes and lengths of names are small")]
    fn space(&self) -> Answer<Space> {
        let root = self.layers.layer(0).root.open(&self.folders)?;
        let found = rustix::fs::fstatvfs(&*root)?;
        Ok(Space {
            blocks: found.f_blocks,
            free: found.f_bfree,
            available: found.f_bavail,
            files: found.f_files,
            free_files: found.f_ffree,
            block_size: found.f_bsize as u32,
            fragment_size: found.f_frsize as u32,
            name_length: found.f_namemax as u32,
        })
    }
}
