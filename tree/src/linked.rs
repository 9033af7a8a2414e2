//! Files with several names, in a layer and below it: which names became one file, and which no longer are.

use std::collections::HashMap;

use plywood_graphdriver::DriverResult;
use rustix::fs::Stat;

use crate::changes::Layer;
use crate::fail::Attempt;
use crate::markers::Markers;
use crate::metadata::is_folder;
use crate::resolve;
use crate::stack::Stack;
use crate::{folder, path};

/// Compares the names of files. Each side is read when it is first asked about, as that takes a walk over all of it.
pub(crate) struct Links<'a> {
    layer: Layer<'a>,
    here: Option<Linked>,
    below: Option<Linked>,
}

impl<'a> Links<'a> {
    /// Will compare a layer with what is below it.
    pub(crate) fn new(layer: Layer<'a>) -> Self {
        Self { layer, here: None, below: None }
    }

    /// Whether a file that is no folder became one with a name it was not one with, or is no longer one with a name that is still
    /// there. `written` says that the file's own status changed.
    ///
    /// What an upper layer has of it is a file of its own: overlayfs copies it up under one name, be it for nothing, and all
    /// names that the layer has of it came after. Of these it is said even if the layer deletes the other names.
    ///
    /// # Errors
    /// Those of reading the trees.
    pub(crate) fn differ(
        &mut self,
        below: &mut Stack,
        new: &Stat,
        old: &Stat,
        at: &[u8],
        written: bool,
    ) -> DriverResult<bool> {
        match self.layer {
            Layer::Upper(..) if new.st_nlink > 1 => Ok(true),
            Layer::Upper(..) => Ok(old.st_nlink > 1 && self.below(below)?.others(old, at).next().is_some()),
            Layer::Whole(..) => Ok((new.st_nlink > 1 && self.is_joined(below, new, old, at)?)
                || (written && old.st_nlink > 1 && self.is_parted(below, new, old, at)?)),
        }
    }

    fn below(&mut self, below: &mut Stack) -> DriverResult<&Linked> {
        match &mut self.below {
            Some(linked) => Ok(linked),
            unread => Ok(unread.insert(Linked::read(below)?)),
        }
    }

    fn here(&mut self) -> DriverResult<&Linked> {
        match &mut self.here {
            Some(linked) => Ok(linked),
            unread => {
                let root = self.layer.root().try_clone_to_owned().attempt("open layer", b"")?;
                Ok(unread.insert(Linked::read(&mut Stack::new(vec![root], Markers::Whole))?))
            }
        }
    }

    fn is_joined(&mut self, below: &mut Stack, new: &Stat, old: &Stat, at: &[u8]) -> DriverResult<bool> {
        for other in self.here()?.others(new, at) {
            let was_one = below.find(other)?.is_some_and(|found| is_same(&found.stat, old));
            if !was_one {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_parted(&mut self, below: &mut Stack, new: &Stat, old: &Stat, at: &[u8]) -> DriverResult<bool> {
        let root = self.layer.root();
        for other in self.below(below)?.others(old, at) {
            if resolve::find(root, other)?.is_some_and(|there| !is_same(&there, new)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// All names of each inode with several, those left out that a layer above hides.
struct Linked(HashMap<(u64, u64), Vec<Vec<u8>>>);

impl Linked {
    /// Looks at everything that a stack shows.
    ///
    /// # Errors
    /// Those of reading the layers.
    fn read(stack: &mut Stack) -> DriverResult<Self> {
        let mut linked = Self(HashMap::new());
        linked.folder(stack, b"")?;
        Ok(linked)
    }

    fn folder(&mut self, stack: &mut Stack, at: &[u8]) -> DriverResult<()> {
        folder::check_depth(at)?;
        for name in stack.list(at)? {
            let below = path::join(at, &name);
            let Some(found) = stack.find(&below)? else { continue };
            if is_folder(&found.stat) {
                drop(found);
                self.folder(stack, &below)?;
            } else if found.stat.st_nlink > 1 {
                self.0.entry((found.stat.st_dev, found.stat.st_ino)).or_default().push(below);
            }
        }
        Ok(())
    }

    /// The names of an inode but for one of them.
    fn others<'a>(&'a self, stat: &Stat, than: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let names = self.0.get(&(stat.st_dev, stat.st_ino)).map(Vec::as_slice).unwrap_or_default();
        names.iter().map(Vec::as_slice).filter(move |name| *name != than)
    }
}
