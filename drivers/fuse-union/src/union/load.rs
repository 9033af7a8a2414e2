//! Filling a folder from its layers.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use plywood_tree::markers::{AUFS_PREFIX, OPAQUE_MARKER, WHITEOUT_PREFIX};
use plywood_tree::resolve::Node as RealNode;
use rustix::fs::{FileType, RawDir, SeekFrom};
use rustix::io::Errno;

use super::Union;
use super::folder::{Entry, Folder};
use super::formats::{self, Marks};
use super::node::{Node, Place};
use super::real_folder::{LayerNumber, RealFolder};
use crate::options::Redirects;
use crate::request::Answer;

/// Bytes of one list of names.
const LIST_BYTES: usize = 16 << 10;

/// What a layer has at a name.
#[derive(Clone, Copy)]
enum Listed {
    Whiteout,
    Object { kind: FileType, ino: u64 },
}

/// How far an entry is decided, while deeper layers are still to come.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Deeper layers do not show through.
    closed: bool,
    /// It is known whether something is below.
    below_known: bool,
}

/// A folder that is being filled.
struct Loading<'a> {
    folder: &'a mut Folder,
    progress: Vec<Progress>,
    layer: LayerNumber,
    upper: bool,
}

impl Union {
    /// Fills a folder, unless it is filled. The lock of the folder is held.
    pub(super) fn load(&self, node: &Arc<Node>, folder: &mut Folder) -> Answer<()> {
        if folder.loaded {
            return Ok(());
        }
        // What an attempt that failed left.
        folder.clear();
        let before = node.real_folders()?;
        let mut sources = before.to_vec();
        let mut loading = Loading { folder, progress: Vec::new(), layer: 0, upper: false };
        let mut done = 0;
        while let Some(real) = sources.get(done).cloned() {
            loading.layer = real.layer;
            loading.upper = self.layers.is_upper(real.layer);
            let marks = self.load_layer(&real, &mut loading)?;
            done += 1;
            if marks.opaque {
                sources.truncate(done);
            } else if let Some(redirect) = &marks.redirect
                && self.options.redirects != Redirects::Off
            {
                sources.truncate(done);
                let moved = self.redirected(node, &real, redirect)?;
                for part in &moved {
                    self.note_moved(node, part);
                }
                sources.extend(moved);
            }
        }
        let undecided = loading.finish();
        tracing::trace!(node = node.id, layers = done, undecided, "folder filled");
        if sources.len() != before.len()
            || sources.iter().zip(before.iter()).any(|(new, old)| !Arc::ptr_eq(new, old))
        {
            node.state.write().place = Place::Merged(sources.into());
        }
        Ok(())
    }

    /// Lists one layer's part of a folder, and answers what it says about itself.
    fn load_layer(&self, real: &Arc<RealFolder>, loading: &mut Loading<'_>) -> Answer<Marks> {
        let opened = real.open(&self.folders)?;
        let mut marks = formats::marks(&opened)?;
        if loading.upper {
            loading.folder.impure = marks.impure;
        }
        let mut hidden = Vec::new();
        match self.list(&opened, &marks, loading, &mut hidden) {
            // The descriptor only names the folder.
            Err(Errno::BADF) => {
                let listing = real.open_to_list(&self.folders)?;
                self.list(&listing, &marks, loading, &mut hidden)?;
            }
            other => other?,
        }
        for name in hidden {
            if name == OPAQUE_MARKER {
                marks.opaque = true;
            } else {
                loading.hide_below(&name[WHITEOUT_PREFIX.len()..]);
            }
        }
        Ok(marks)
    }

    fn list(
        &self,
        opened: &OwnedFd,
        marks: &Marks,
        loading: &mut Loading<'_>,
        hidden: &mut Vec<Vec<u8>>,
    ) -> Answer<()> {
        rustix::fs::seek(opened, SeekFrom::Start(0))?;
        let mut buffer = [MaybeUninit::uninit(); LIST_BYTES];
        let mut list = RawDir::new(opened, &mut buffer);
        while let Some(entry) = list.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if self.options.names_as_whiteouts && name.starts_with(WHITEOUT_PREFIX) {
                // What else AUFS kept is for nobody.
                if name == OPAQUE_MARKER || !name.starts_with(AUFS_PREFIX) {
                    hidden.push(name.to_vec());
                }
                continue;
            }
            let listed = listed(opened, name, entry.file_type(), entry.ino(), marks)?;
            loading.take(name, listed);
        }
        Ok(())
    }
}

/// Tells a whiteout from other things; the list alone does for most types.
fn listed(folder: &OwnedFd, name: &[u8], kind: FileType, ino: u64, marks: &Marks) -> Answer<Listed> {
    let node = RealNode { folder: folder.as_fd(), name };
    let mut kind = kind;
    if matches!(kind, FileType::CharacterDevice | FileType::Unknown) {
        let stat = node.stat()?;
        kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            return Ok(Listed::Whiteout);
        }
    }
    if kind == FileType::RegularFile && marks.attribute_whiteouts && formats::is_attribute_whiteout(node)? {
        return Ok(Listed::Whiteout);
    }
    Ok(Listed::Object { kind, ino })
}

impl Loading<'_> {
    /// Takes what the layer has at a name; layers above were there before.
    fn take(&mut self, name: &[u8], listed: Listed) {
        let Some(index) = self.folder.find(name) else { return self.add(name, listed) };
        let (layer, progress) = (self.layer, &mut self.progress[index]);
        let entry = self.folder.entry_mut(index);
        if !progress.below_known {
            progress.below_known = true;
            entry.below = matches!(listed, Listed::Object { .. });
            // A merged folder goes by the number of its part below, so that copying it up changes nothing.
            if let Listed::Object { kind: FileType::Directory, ino } = listed
                && entry.kind == FileType::Directory
                && !progress.closed
            {
                entry.ino = ino;
            }
        }
        if progress.closed {
            return;
        }
        match listed {
            Listed::Object { kind: FileType::Directory, .. } if entry.live => {
                let mut merged = entry.merged.take().map_or_else(|| vec![entry.layer], Vec::from);
                merged.push(layer);
                entry.merged = Some(merged.into());
            }
            _ => progress.closed = true,
        }
    }

    fn add(&mut self, name: &[u8], listed: Listed) {
        let (live, kind, ino) = match listed {
            Listed::Whiteout => (false, FileType::Unknown, 0),
            Listed::Object { kind, ino } => (true, kind, ino),
        };
        self.folder.add(Entry {
            name: name.into(),
            node: 0,
            ino,
            layer: self.layer,
            merged: None,
            kind,
            live,
            whiteout: self.upper && !live,
            below: live && !self.upper,
        });
        self.progress.push(Progress { closed: kind != FileType::Directory, below_known: !self.upper });
    }

    /// A whiteout by a name of its own hides what deeper layers have, not what its own layer has.
    fn hide_below(&mut self, name: &[u8]) {
        if let Some(index) = self.folder.find(name) {
            self.progress[index] = Progress { closed: true, below_known: true };
            return;
        }
        self.add(name, Listed::Whiteout);
        let index = self.progress.len() - 1;
        // It is not at the name itself, which is free.
        self.folder.entry_mut(index).whiteout = false;
        self.progress[index].below_known = true;
    }

    /// Forgets names that nothing shows and nothing hides. Answers how many entries there were.
    fn finish(self) -> usize {
        let count = self.progress.len();
        for index in 0..count {
            let entry = self.folder.entry(index);
            if !entry.live && !entry.whiteout {
                let name = entry.name.clone();
                self.folder.entry_mut(index).below = false;
                self.folder.remove(&name, false);
            }
        }
        self.folder.loaded = true;
        count
    }
}
