//! Making files, folders, links and devices.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use plywood_tree::markers::WHITEOUT_PREFIX;
use plywood_tree::resolve::Node as RealNode;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use smallvec::{SmallVec, smallvec};

use super::Union;
use super::folder::{Folder, Inheritance, Shown};
use super::formats::attribute;
use super::lookup::{Held, real_parent};
use super::node::{Name, Place, State};
use super::override_stat::{self, Overridden};
use super::real::Real;
use super::work::Work;
use crate::request::{Answer, Caller, NewNode};

/// What is made.
#[derive(Clone, Copy)]
pub(super) enum What<'a> {
    /// A regular file that stays open.
    File,
    Folder,
    Link(&'a [u8]),
    /// A device, pipe or socket.
    Special(FileType, u64),
}

impl What<'_> {
    fn kind(self) -> FileType {
        match self {
            Self::File => FileType::RegularFile,
            Self::Folder => FileType::Directory,
            Self::Link(_) => FileType::Symlink,
            Self::Special(kind, _) => kind,
        }
    }
}

impl Union {
    /// Refuses names that would mean something else in a layer.
    pub(super) fn check_name(&self, name: &[u8]) -> Answer<()> {
        if name.len() > 255 {
            return Err(Errno::NAMETOOLONG);
        }
        let reserved = self.options.names_as_whiteouts && name.starts_with(WHITEOUT_PREFIX);
        if reserved { Err(Errno::INVAL) } else { Ok(()) }
    }

    pub(super) fn make(&self, caller: Caller, new: &NewNode<'_>, what: What<'_>) -> Answer<Held> {
        self.check_name(new.name)?;
        // In the upper layer it would hide what is below.
        if matches!(what, What::Special(FileType::CharacterDevice, 0)) {
            return Err(Errno::PERM);
        }
        let parent = self.table.get(new.parent)?;
        let work = self.work()?;
        self.copy_up(&parent, 0)?;
        let mut folder = self.filled(&parent)?;
        if folder.removed {
            return Err(Errno::NOENT);
        }
        let at = folder.find(new.name);
        if at.is_some_and(|index| folder.entry(index).live) {
            return Err(Errno::EXIST);
        }
        let whiteout = at.is_some_and(|index| folder.entry(index).whiteout);
        let upper = real_parent(&parent, 0)?;
        let opened = upper.open(&self.folders)?;
        let making = Making { caller, new, what, inherits: Self::inheritance(&opened, &mut folder)? };
        let file = if whiteout {
            self.make_over_whiteout(work, &making, &opened)?
        } else {
            self.make_real(&making, opened.as_fd(), new.name)?
        };
        let stat = self.real_stat(&*opened, new.name, 0)?;
        let name = Name::new(&parent, new.name);
        let place = match what {
            What::Folder => Place::Merged(vec![upper.child(new.name)].into()),
            _ => Place::In { folder: upper, name: Arc::clone(&name.name) },
        };
        Ok(self.enter_new(&mut folder, name, place, what.kind(), &stat, file))
    }

    fn enter_new(
        &self,
        folder: &mut Folder,
        name: Name,
        place: Place,
        kind: FileType,
        stat: &Stat,
        file: Option<OwnedFd>,
    ) -> Held {
        let ino = self.layers.number(0, stat.st_ino);
        let shown = Arc::clone(&name.name);
        let state = State { names: smallvec![name], ino, place, hidden_links: 0, objects: SmallVec::new() };
        let held = self.enter(kind, state, stat);
        if kind == FileType::Directory
            && let Ok(own) = held.node.folder()
        {
            // It is known to hold nothing.
            own.lock().loaded = true;
        }
        folder.put(&shown, Shown { node: held.node.id, ino: stat.st_ino, layer: 0, kind });
        if let Some(file) = file
            && let Err(error) = self.keep_new(&held.node, file)
        {
            tracing::debug!(%error, "a new file is opened again");
        }
        held
    }

    /// What the upper part of a folder passes on to what is made in it.
    fn inheritance(upper: &OwnedFd, folder: &mut Folder) -> Answer<Inheritance> {
        if let Some(known) = folder.inheritance {
            return Ok(known);
        }
        let stat = rustix::fs::fstat(upper)?;
        let real = Real::Named(RealNode::itself(upper.as_fd()));
        let list = real.find_xattr(b"system.posix_acl_default")?;
        let group = (stat.st_mode & 0o2000 != 0).then_some(stat.st_gid);
        let found = Inheritance { access_control_list: list.is_some(), group };
        folder.inheritance = Some(found);
        Ok(found)
    }

    /// Makes the real object at a free name, with its owner and mode.
    fn make_real(&self, making: &Making<'_>, at: BorrowedFd<'_>, name: &[u8]) -> Answer<Option<OwnedFd>> {
        let mode = Mode::from_raw_mode(making.mode());
        let mut file = None;
        match making.what {
            What::Folder => rustix::fs::mkdirat(at, name, mode)?,
            What::Link(target) => rustix::fs::symlinkat(target, at, name)?,
            What::Special(kind, device) if self.layers.layer(0).override_stat.is_none() => {
                rustix::fs::mknodat(at, name, kind, mode, device)?;
            }
            // One that only stands for a device, too.
            What::File | What::Special(..) => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(at, name, flags, mode)?;
                file = matches!(making.what, What::File).then_some(opened);
            }
        }
        let owned = self.give(making, &Real::Named(RealNode { folder: at, name }));
        owned.inspect_err(|_| remove_quietly(at, name, making.what.kind()))?;
        Ok(file)
    }

    /// Gives what was made to the caller. A new object belongs to us, unless its folder passes its group on.
    fn give(&self, making: &Making<'_>, real: &Real<'_>) -> Answer<()> {
        let Making { caller, new, what, inherits } = making;
        let ids = &self.options.ids;
        if let Some(form) = self.layers.layer(0).override_stat {
            let kind = what.kind();
            if kind == FileType::Symlink {
                return Ok(());
            }
            let device = if let What::Special(kind, device) = what { Some((*kind, *device)) } else { None };
            let uid = ids.kept_user(caller.uid).unwrap_or_default();
            let gid = inherits.group.or_else(|| ids.kept_group(caller.gid)).unwrap_or_default();
            let overridden = Overridden { uid, gid, mode: making.mode(), kind: device };
            return override_stat::write(form, real, &overridden);
        }
        let uid = ids.kept_user(caller.uid).filter(|uid| *uid != self.own.uid);
        let gid = ids.kept_group(caller.gid).filter(|gid| *gid != self.own.gid && inherits.group.is_none());
        if uid.is_none() && gid.is_none() {
            return Ok(());
        }
        match real.set_owner(uid, gid) {
            Err(Errno::PERM | Errno::INVAL) if self.own.uid != 0 => return Ok(()),
            other => other?,
        }
        // A new owner takes set-id bits away.
        if new.mode & 0o6000 != 0 && !matches!(what, What::Link(_) | What::Folder) {
            real.set_mode(making.mode())?;
        }
        Ok(())
    }

    /// Makes the object in the work folder, and puts it in the place of a whiteout at once: else a crash between could show
    /// what was deleted.
    fn make_over_whiteout(
        &self,
        work: &Work,
        making: &Making<'_>,
        opened: &OwnedFd,
    ) -> Answer<Option<OwnedFd>> {
        let staged = work.free_name();
        rustix::fs::mkdirat(work.stage(), &staged, Mode::RWXU)?;
        let made = self.make_staged(work, making, opened, &staged);
        work.discard(&staged);
        made
    }

    fn make_staged(
        &self,
        work: &Work,
        making: &Making<'_>,
        opened: &OwnedFd,
        staged: &str,
    ) -> Answer<Option<OwnedFd>> {
        let stage = RealNode { folder: work.stage(), name: staged.as_bytes() }.open_folder()?;
        // The file system itself works out what the new object gets from its folder: the stage is made like it.
        let real = Real::Named(RealNode::itself(stage.as_fd()));
        if making.inherits.access_control_list {
            let upper = Real::Named(RealNode::itself(opened.as_fd()));
            let name = b"system.posix_acl_default";
            real.set_xattr(name, &upper.xattr(name)?, 0)?;
        }
        if let Some(group) = making.inherits.group {
            real.set_owner(None, Some(group))?;
            real.set_mode(0o2700)?;
        }
        let file = self.make_real(making, stage.as_fd(), b"new")?;
        if !matches!(making.what, What::Folder) {
            rustix::fs::renameat(&stage, "new", opened, making.new.name)?;
            return Ok(file);
        }
        // What the layers below have at the name stays hidden.
        let made = Real::Named(RealNode { folder: stage.as_fd(), name: b"new" });
        made.set_xattr(&attribute(self.namespace(), "opaque"), b"y", 0)?;
        rustix::fs::renameat_with(&stage, "new", opened, making.new.name, RenameFlags::EXCHANGE)?;
        Ok(file)
    }

    /// A file that has no name, on the file system of the upper layer.
    pub(super) fn make_unnamed_file(&self, caller: Caller, new: &NewNode<'_>) -> Answer<Held> {
        let parent = self.table.get(new.parent)?;
        self.work()?;
        self.copy_up(&parent, 0)?;
        let mut folder = self.filled(&parent)?;
        let opened = real_parent(&parent, 0)?.open(&self.folders)?;
        let making =
            Making { caller, new, what: What::File, inherits: Self::inheritance(&opened, &mut folder)? };
        drop(folder);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*opened, ".", flags, Mode::from_raw_mode(making.mode()))?;
        self.give(&making, &Real::open(&file))?;
        let stat = rustix::fs::fstat(&file)?;
        let held = rustix::io::fcntl_dupfd_cloexec(&file, 0)?;
        let state = State {
            names: SmallVec::new(),
            ino: self.layers.number(0, stat.st_ino),
            place: Place::Held { file: Arc::new(held), layer: 0 },
            hidden_links: 0,
            objects: SmallVec::new(),
        };
        let made = self.enter(FileType::RegularFile, state, &stat);
        self.keep_new(&made.node, file)?;
        Ok(made)
    }
}

/// An object on its way.
struct Making<'a> {
    caller: Caller,
    new: &'a NewNode<'a>,
    what: What<'a>,
    inherits: Inheritance,
}

impl Making<'_> {
    /// The mode to make it with. A default access control list of the folder counts instead of the umask.
    fn mode(&self) -> u32 {
        let umask = if self.inherits.access_control_list { 0 } else { self.new.umask };
        self.new.mode & 0o7777 & !umask
    }
}

fn remove_quietly(at: BorrowedFd<'_>, name: &[u8], kind: FileType) {
    let flags = if kind == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    if let Err(error) = rustix::fs::unlinkat(at, name, flags) {
        tracing::warn!(%error, "what could not be given to its owner stays");
    }
}
