//! The merged view of a stack of layers, looked at without a mount.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use plywood_graphdriver::DriverResult;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::fail::Attempt;
use crate::folder::{self, Permit};
use crate::markers::Markers;
use crate::metadata::{file_type, is_folder};
use crate::path;
use crate::resolve::{Node, open_folder};

/// How many folders' layers are remembered.
const REMEMBERED_FOLDERS: usize = 4096;

/// Sealed layers, the topmost first, and what they show together.
///
/// Links are not followed: a path names what the merged tree has right there.
#[derive(Debug)]
pub struct Stack {
    layers: Vec<OwnedFd>,
    markers: Markers,
    /// For a folder of the merged tree, the layers that contribute to it.
    contributing: HashMap<Vec<u8>, Rc<[usize]>>,
}

/// Something that a stack shows.
#[derive(Debug)]
pub struct Found {
    /// The folder that holds it, in the layer that shows it.
    pub folder: OwnedFd,
    /// Its name there; `.` for the root.
    pub name: Vec<u8>,
    /// What it is. Of a merged folder, what the topmost layer says.
    pub stat: Stat,
    _permit: Permit,
}

impl Found {
    /// The node in the layer that shows it.
    #[must_use]
    pub fn node(&self) -> Node<'_> {
        Node::new(&self.folder, &self.name)
    }
}

impl Stack {
    /// A stack of the roots of layers, the topmost first.
    #[must_use]
    pub fn new(layers: Vec<OwnedFd>, markers: Markers) -> Self {
        Self { layers, markers, contributing: HashMap::new() }
    }

    /// Whether there is no layer in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The form of the deletions in its layers.
    #[must_use]
    pub fn markers(&self) -> Markers {
        self.markers
    }

    /// What the merged tree has at a clean path.
    ///
    /// # Errors
    /// Those of reading the layers.
    pub fn find(&mut self, cleaned: &[u8]) -> DriverResult<Option<Found>> {
        let Some((parent, name)) = path::split(cleaned) else { return self.find_root() };
        for layer in self.contributing(parent)?.iter() {
            let Some(opened) = self.open(*layer, parent)? else { continue };
            let permit = Permit::hold(opened.as_fd()).attempt("open", parent)?;
            let node = Node::new(&opened, name);
            if self.markers.hides(node).attempt("look up whiteout", cleaned)? {
                return Ok(None);
            }
            if let Some(stat) = node.find().attempt("look up", cleaned)? {
                let name = name.to_vec();
                return Ok(Some(Found { folder: opened, name, stat, _permit: permit }));
            }
        }
        Ok(None)
    }

    fn find_root(&mut self) -> DriverResult<Option<Found>> {
        let Some(layer) = self.layers.first() else { return Ok(None) };
        let opened = open_folder(layer.as_fd(), b"").attempt("open layer", b"")?;
        let stat = rustix::fs::fstat(&opened).attempt("look up", b"")?;
        let permit = Permit::hold(opened.as_fd()).attempt("open layer", b"")?;
        Ok(Some(Found { folder: opened, name: b".".to_vec(), stat, _permit: permit }))
    }

    /// A clean path with the links on the way to its last component resolved inside the merged tree. What is not there stays as
    /// it is.
    ///
    /// # Errors
    /// Those of reading the layers, and `InvalidInput` for a loop of links.
    pub fn canonical(&mut self, cleaned: &[u8]) -> DriverResult<Vec<u8>> {
        path::follow(cleaned, &mut |at| self.link_at(at))
    }

    /// The target of the symlink that the merged tree has at a path, or nothing where it has something else.
    ///
    /// # Errors
    /// Those of reading the layers.
    pub fn link_at(&mut self, cleaned: &[u8]) -> DriverResult<Option<Vec<u8>>> {
        let is_link = |found: &Found| file_type(&found.stat) == FileType::Symlink;
        let Some(found) = self.find(cleaned)?.filter(is_link) else { return Ok(None) };
        let target =
            rustix::fs::readlinkat(&found.folder, &found.name, Vec::new()).attempt("read link", cleaned)?;
        Ok(Some(target.into_bytes()))
    }

    /// The names in a folder of the merged tree, sorted; none where there is no such folder.
    ///
    /// # Errors
    /// Those of reading the layers.
    pub fn list(&mut self, cleaned: &[u8]) -> DriverResult<Vec<Vec<u8>>> {
        let mut shown = BTreeSet::new();
        let mut hidden = BTreeSet::new();
        for layer in self.contributing(cleaned)?.iter() {
            let Some(opened) = self.open(*layer, cleaned)? else { continue };
            let _permit = Permit::hold(opened.as_fd()).attempt("open", cleaned)?;
            let mut whiteouts = Vec::new();
            for name in folder::names(opened.as_fd()).attempt("list", cleaned)? {
                if self.markers.is_marker_name(&name) {
                    continue;
                }
                if self.markers.hides(Node::new(&opened, &name)).attempt("look up whiteout", cleaned)? {
                    whiteouts.push(name);
                } else if !hidden.contains(&name) {
                    shown.insert(name);
                }
            }
            if self.markers == Markers::Oci {
                whiteouts.extend(folder::whiteouts(opened.as_fd()).attempt("list", cleaned)?);
            }
            hidden.extend(whiteouts);
        }
        Ok(shown.into_iter().collect())
    }

    /// The layers that show something in a folder, topmost first; none where the merged tree has no folder there.
    fn contributing(&mut self, cleaned: &[u8]) -> DriverResult<Rc<[usize]>> {
        if let Some(known) = self.contributing.get(cleaned) {
            return Ok(Rc::clone(known));
        }
        let found: Rc<[usize]> = match path::split(cleaned) {
            None => (0..self.layers.len()).collect(),
            Some((parent, name)) => {
                let above = self.contributing(parent)?;
                self.contributing_among(&above, parent, name)?.into()
            }
        };
        if self.contributing.len() >= REMEMBERED_FOLDERS {
            self.contributing.clear();
        }
        self.contributing.insert(cleaned.to_vec(), Rc::clone(&found));
        Ok(found)
    }

    fn contributing_among(&self, above: &[usize], parent: &[u8], name: &[u8]) -> DriverResult<Vec<usize>> {
        let mut found = Vec::new();
        for layer in above {
            let Some(opened) = self.open(*layer, parent)? else { continue };
            let _permit = Permit::hold(opened.as_fd()).attempt("open", parent)?;
            let node = Node::new(&opened, name);
            let hides = self.markers.hides(node).attempt("look up whiteout", name)?;
            match node.find().attempt("look up", name)? {
                Some(stat) if is_folder(&stat) => {
                    found.push(*layer);
                    let inner = node.open_folder().attempt("open", name)?;
                    if hides || self.markers.is_opaque(&inner).attempt("look up opaque", name)? {
                        break;
                    }
                }
                // Whatever is no folder hides the folders below it.
                Some(_) => break,
                None if hides => break,
                None => {}
            }
        }
        Ok(found)
    }

    fn open(&self, layer: usize, cleaned: &[u8]) -> DriverResult<Option<OwnedFd>> {
        match open_folder(self.layers[layer].as_fd(), cleaned) {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error).attempt("open", cleaned),
        }
    }
}
