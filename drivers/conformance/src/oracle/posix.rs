//! What each operation does to a tree in memory, and why it fails: what POSIX and Linux say, and nothing of any driver.

use std::collections::BTreeMap;

use plywood_archive::tar::Timestamp;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::operation::{Act, Attribute, Operation, Special, Text, Times, split};
use super::tree::{Content, HardLinks, Inode, Number, Tree, What};

/// The bits that a change of owner may take: setuid, setgid, and the group's execution that makes setgid one.
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o010;

impl Tree {
    /// Does an operation at a time.
    ///
    /// # Errors
    /// What the system call answers; nothing was changed then.
    pub fn perform(
        &mut self,
        operation: &Operation<Vec<u8>>,
        now: Timestamp,
        links: HardLinks,
    ) -> Result<(), Errno> {
        let mut doing = Doing { tree: self, now, links };
        doing.act(&operation.act)?;
        doing.times(operation);
        Ok(())
    }
}

struct Doing<'a> {
    tree: &'a mut Tree,
    now: Timestamp,
    links: HardLinks,
}

impl Doing<'_> {
    fn act(&mut self, act: &Act<Vec<u8>>) -> Result<(), Errno> {
        match act {
            Act::Create { at, mode, text } => self.make(at, What::File(Content::new(text.bytes())), *mode),
            Act::Write { at, text } => self.write(at, |_| text.bytes()),
            Act::Overwrite { at, offset, byte } => self.write(at, |old| overwritten(old, *offset, *byte)),
            Act::Append { at, text } => self.append(at, *text),
            Act::Truncate { at, size_bytes } => self.write(at, |old| resized(old, *size_bytes)),
            Act::Replace { at } => self.replace(at),
            Act::Unlink { at } => self.unlink(at),
            Act::Mkdir { at, mode } => self.make(at, What::Folder(BTreeMap::new()), *mode),
            Act::Rmdir { at } => self.rmdir(at),
            Act::RemoveTree { at } => self.remove_tree(at),
            Act::Remake { at } => self.remake(at),
            Act::Rename { from, to } => self.rename(from, to),
            Act::Link { from, to } => self.link(from, to),
            Act::Symlink { at, target } => self.make(at, What::Symlink(target.bytes().to_vec()), 0o777),
            Act::Mknod { at, special, mode } => self.make(at, device(*special), *mode),
            Act::Chmod { at, mode } => self.chmod(at, *mode),
            Act::Chown { at, uid, gid } => self.chown(at, *uid, *gid),
            Act::SetXattr { at, attribute, value } => self.set_xattr(at, *attribute, *value),
            Act::RemoveXattr { at, attribute } => self.remove_xattr(at, *attribute),
            Act::Touch { at } => self.own(at).map(drop),
        }
    }

    fn times(&mut self, operation: &Operation<Vec<u8>>) {
        let touched = operation.act.touched();
        let folders = touched.names.iter().filter_map(|name| split(name)).map(|(folder, _)| (folder, false));
        for (path, new) in touched.node.into_iter().chain(folders) {
            if new || operation.times == Times::Set {
                let number = self.tree.find(path).expect("what was touched is there");
                self.tree.inode_mut(number).modified = self.now;
            }
        }
    }

    /// Finds what is to be changed and makes it the layer's own. The root may be.
    fn own(&mut self, path: &[u8]) -> Result<Number, Errno> {
        let number = self.tree.find(path)?;
        Ok(match self.tree.place(path) {
            Ok((folder, name)) => self.tree.own(folder, name, self.links),
            Err(_) => number,
        })
    }

    fn make(&mut self, at: &[u8], what: What, mode: u32) -> Result<(), Errno> {
        let (folder, name) = self.tree.place(at)?;
        if self.tree.child(folder, name).is_some() {
            return Err(Errno::EXIST);
        }
        let parent = self.tree.inode(folder);
        let inherited = if parent.mode & SET_GROUP_ID == 0 { 0 } else { parent.gid };
        let made = Inode { gid: inherited, ..Inode::new(what, mode, self.now) };
        self.tree.add(folder, name, made);
        Ok(())
    }

    /// Gives a file new content; writing takes its capabilities away.
    fn write(&mut self, at: &[u8], change: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<(), Errno> {
        let number = self.tree.find(at)?;
        let content = match &self.tree.inode(number).what {
            What::File(content) => Content::new(change(content.bytes())),
            What::Folder(_) => return Err(Errno::ISDIR),
            What::Symlink(_) => return Err(Errno::LOOP),
            _ => return Err(Errno::NXIO),
        };
        let number = self.own(at)?;
        let inode = self.tree.inode_mut(number);
        inode.what = What::File(content);
        inode.xattrs.remove(Attribute::Capability.name());
        Ok(())
    }

    fn append(&mut self, at: &[u8], text: Text) -> Result<(), Errno> {
        let capability = Attribute::Capability.name();
        let kept = self.tree.find(at).ok().and_then(|it| self.tree.inode(it).xattrs.get(capability).cloned());
        self.write(at, |old| [old, &text.bytes()].concat())?;
        // Nothing written is no write.
        if let (Text::Empty, Some(kept)) = (text, kept) {
            let number = self.tree.find(at)?;
            self.tree.inode_mut(number).xattrs.insert(capability.to_vec(), kept);
        }
        Ok(())
    }

    fn replace(&mut self, at: &[u8]) -> Result<(), Errno> {
        let old = self.tree.inode(self.tree.find(at)?);
        match old.what {
            What::File(_) => {}
            What::Folder(_) => return Err(Errno::ISDIR),
            What::Symlink(_) => return Err(Errno::LOOP),
            _ => return Err(Errno::NXIO),
        }
        let copy = Inode { names: 1, inherited: false, ..old.clone() };
        let (folder, name) = self.tree.place(at)?;
        self.tree.remove(folder, name);
        self.tree.add(folder, name, copy);
        Ok(())
    }

    fn unlink(&mut self, at: &[u8]) -> Result<(), Errno> {
        let (folder, name) = self.tree.place(at)?;
        let number = self.tree.child(folder, name).ok_or(Errno::NOENT)?;
        if self.tree.inode(number).is_folder() {
            return Err(Errno::ISDIR);
        }
        self.tree.remove(folder, name);
        Ok(())
    }

    fn rmdir(&mut self, at: &[u8]) -> Result<(), Errno> {
        let (folder, name) = self.tree.place(at)?;
        let number = self.tree.child(folder, name).ok_or(Errno::NOENT)?;
        match &self.tree.inode(number).what {
            What::Folder(entries) if entries.is_empty() => {}
            What::Folder(_) => return Err(Errno::NOTEMPTY),
            _ => return Err(Errno::NOTDIR),
        }
        self.tree.remove(folder, name);
        Ok(())
    }

    fn remove_tree(&mut self, at: &[u8]) -> Result<(), Errno> {
        let (folder, name) = self.tree.place(at)?;
        self.tree.child(folder, name).ok_or(Errno::NOENT)?;
        self.tree.remove(folder, name);
        Ok(())
    }

    fn remake(&mut self, at: &[u8]) -> Result<(), Errno> {
        let (folder, name) = self.tree.place(at)?;
        let number = self.tree.child(folder, name).ok_or(Errno::NOENT)?;
        if !self.tree.inode(number).is_folder() {
            return Err(Errno::NOTDIR);
        }
        self.tree.remove(folder, name);
        self.make(at, What::Folder(BTreeMap::new()), REMADE_MODE)
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let (source, target) = (self.tree.place(from)?, self.tree.place(to)?);
        let moved = self.tree.child(source.0, source.1).ok_or(Errno::NOENT)?;
        if is_below(to, from) {
            return Err(Errno::INVAL);
        }
        let there = self.tree.child(target.0, target.1);
        if is_below(from, to) {
            return Err(Errno::NOTEMPTY);
        }
        if let Some(there) = there {
            let breaks = self.links == HardLinks::Broken && self.tree.inode(moved).inherited;
            if there == moved && (from == to || !breaks) {
                return Ok(());
            }
            self.check_replaceable(moved, there)?;
        }
        self.own_leaves(source.0, source.1);
        self.tree.remove(target.0, target.1);
        self.tree.rename(source, target);
        Ok(())
    }

    fn check_replaceable(&self, moved: Number, there: Number) -> Result<(), Errno> {
        let (moved, there) = (self.tree.inode(moved), self.tree.inode(there));
        match (moved.is_folder(), &there.what) {
            (true, What::Folder(entries)) if entries.is_empty() => Ok(()),
            (true, What::Folder(_)) => Err(Errno::NOTEMPTY),
            (true, _) => Err(Errno::NOTDIR),
            (false, What::Folder(_)) => Err(Errno::ISDIR),
            (false, _) => Ok(()),
        }
    }

    /// What is moved is copied up, and of a folder all that is in it.
    fn own_leaves(&mut self, folder: Number, name: &[u8]) {
        let number = self.tree.own(folder, name, self.links);
        let inside: Vec<Vec<u8>> =
            self.tree.entries(number).map(|entries| entries.keys().cloned().collect()).unwrap_or_default();
        for inner in inside {
            self.own_leaves(number, &inner);
        }
    }

    fn link(&mut self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let source = self.tree.find(from)?;
        let (folder, name) = self.tree.place(to)?;
        if self.tree.child(folder, name).is_some() {
            return Err(Errno::EXIST);
        }
        if self.tree.inode(source).is_folder() {
            return Err(Errno::PERM);
        }
        let number = self.own(from)?;
        self.tree.link(folder, name, number);
        Ok(())
    }

    fn chmod(&mut self, at: &[u8], mode: u32) -> Result<(), Errno> {
        let number = self.tree.find(at)?;
        if matches!(self.tree.inode(number).what, What::Symlink(_)) {
            return Err(Errno::OPNOTSUPP);
        }
        let number = self.own(at)?;
        self.tree.inode_mut(number).mode = mode;
        Ok(())
    }

    /// Takes setuid and the like from all but folders, even where root asks (`chown_common`, fs/open.c).
    fn chown(&mut self, at: &[u8], uid: u32, gid: u32) -> Result<(), Errno> {
        let number = self.own(at)?;
        let inode = self.tree.inode_mut(number);
        (inode.uid, inode.gid) = (uid, gid);
        if !inode.is_folder() {
            inode.mode &= !SET_USER_ID;
            if inode.mode & GROUP_EXECUTES != 0 {
                inode.mode &= !SET_GROUP_ID;
            }
            inode.xattrs.remove(Attribute::Capability.name());
        }
        Ok(())
    }

    fn set_xattr(&mut self, at: &[u8], attribute: Attribute, value: u8) -> Result<(), Errno> {
        let number = self.tree.find(at)?;
        check_xattr(attribute, file_type(&self.tree.inode(number).what))?;
        let number = self.own(at)?;
        self.tree.inode_mut(number).xattrs.insert(attribute.name().to_vec(), attribute.value(value));
        Ok(())
    }

    fn remove_xattr(&mut self, at: &[u8], attribute: Attribute) -> Result<(), Errno> {
        let number = self.tree.find(at)?;
        check_xattr(attribute, file_type(&self.tree.inode(number).what))?;
        if !self.tree.inode(number).xattrs.contains_key(attribute.name()) {
            return Err(Errno::NODATA);
        }
        let number = self.own(at)?;
        self.tree.inode_mut(number).xattrs.remove(attribute.name());
        Ok(())
    }
}

/// Whether files of a type can have an attribute: `user.*` is for files and folders (xattr(7)). Capabilities of what is not
/// executed mean nothing, and are left out of what is tried.
///
/// # Errors
/// `EPERM` and `EINVAL`.
pub fn check_xattr(attribute: Attribute, file_type: FileType) -> Result<(), Errno> {
    let regular = file_type == FileType::RegularFile;
    match attribute {
        Attribute::Capability if !regular => Err(Errno::INVAL),
        _ if regular || file_type == FileType::Directory => Ok(()),
        _ if attribute.name().starts_with(b"user.") => Err(Errno::PERM),
        _ => Ok(()),
    }
}

/// Whether a path is below another one.
fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

fn device(special: Special) -> What {
    match special {
        Special::Fifo => What::Fifo,
        Special::Character => What::Character(special.device()),
        Special::Block => What::Block(special.device()),
    }
}

fn file_type(what: &What) -> FileType {
    match what {
        What::Folder(_) => FileType::Directory,
        What::File(_) => FileType::RegularFile,
        What::Symlink(_) => FileType::Symlink,
        What::Fifo => FileType::Fifo,
        What::Character(_) => FileType::CharacterDevice,
        What::Block(_) => FileType::BlockDevice,
    }
}

/// The mode of what [`Act::Remake`] makes.
pub const REMADE_MODE: u32 = 0o755;

/// How much [`Act::Overwrite`] writes.
pub const OVERWRITTEN_BYTES: usize = 3;

fn overwritten(old: &[u8], offset: u32, byte: u8) -> Vec<u8> {
    let offset = offset as usize;
    let mut new = old.to_vec();
    new.resize(old.len().max(offset + OVERWRITTEN_BYTES), 0);
    new[offset..offset + OVERWRITTEN_BYTES].fill(byte);
    new
}

fn resized(old: &[u8], size_bytes: u32) -> Vec<u8> {
    let mut new = old.to_vec();
    new.resize(size_bytes as usize, 0);
    new
}
