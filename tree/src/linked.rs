//! The names that a stack shows of files that have several.

use std::collections::HashMap;

use plywood_graphdriver::DriverResult;
use rustix::fs::Stat;

use crate::metadata::is_folder;
use crate::stack::Stack;
use crate::{folder, path};

/// All names of each inode with several, those left out that a layer above hides.
#[derive(Debug)]
pub(crate) struct Linked(HashMap<(u64, u64), Vec<Vec<u8>>>);

impl Linked {
    /// Looks at everything that a stack shows.
    ///
    /// # Errors
    /// Those of reading the layers.
    pub(crate) fn read(stack: &mut Stack) -> DriverResult<Self> {
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
    pub(crate) fn others<'a>(&'a self, stat: &Stat, than: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let names = self.0.get(&(stat.st_dev, stat.st_ino)).map(Vec::as_slice).unwrap_or_default();
        names.iter().map(Vec::as_slice).filter(move |name| *name != than)
    }
}
