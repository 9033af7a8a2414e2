//! The folders that entries go into: found, followed, and made where the tar only implies them.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use plywood_graphdriver::DriverResult;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::fail::{Attempt, refuse};
use crate::markers::{Markers, WHITEOUT_PREFIX};
use crate::metadata::file_type;
use crate::pending::Pending;
use crate::resolve::{Node, open_folder};
use crate::stack::Stack;
use crate::{folder, path};

/// How many open folders are kept.
const OPEN_FOLDERS: usize = 192;

/// An open folder of the layer.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) folder: OwnedFd,
    /// Its clean path in the layer, with no link in it.
    pub(super) path: Vec<u8>,
}

/// Opens folders of the layer by the paths that entries give.
#[derive(Debug)]
pub(super) struct Parents {
    root: Rc<Parent>,
    markers: Markers,
    below: Option<Stack>,
    open: HashMap<Vec<u8>, Rc<Parent>>,
}

/// One step of a walk: a folder, and whether the layers below show through it.
#[derive(Debug)]
struct Step {
    at: Rc<Parent>,
    shows_below: bool,
}

impl Parents {
    pub(super) fn new(root: OwnedFd, markers: Markers, below: Option<Stack>) -> Self {
        let root = Rc::new(Parent { folder: root, path: Vec::new() });
        Self { root, markers, below, open: HashMap::new() }
    }

    pub(super) fn root(&self) -> Rc<Parent> {
        Rc::clone(&self.root)
    }

    /// Forgets all open folders: after one of them, or a link, was replaced.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// Opens the folder at a clean path that an entry gave, following links inside the layer and making what is missing.
    pub(super) fn folder(&mut self, requested: &[u8], pending: &mut Pending<'_>) -> DriverResult<Rc<Parent>> {
        if let Some(parent) = self.known(requested)? {
            return Ok(parent);
        }
        let parent = self.walk(requested, pending)?;
        // A link below gives way as soon as this layer has the name: only what this layer has is remembered.
        if self.below.is_none() {
            self.remember(requested, &parent);
        }
        Ok(parent)
    }

    /// Opens the folder at a clean path where all of it is there and no link in it.
    pub(super) fn known(&mut self, requested: &[u8]) -> DriverResult<Option<Rc<Parent>>> {
        if requested.is_empty() {
            return Ok(Some(self.root()));
        }
        if let Some(parent) = self.open.get(requested) {
            return Ok(Some(Rc::clone(parent)));
        }
        match open_folder(self.root.folder.as_fd(), requested) {
            Ok(opened) => {
                let parent = Rc::new(Parent { folder: opened, path: requested.to_vec() });
                self.remember(requested, &parent);
                Ok(Some(parent))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error).attempt("open parent", requested),
        }
    }

    /// A clean path with the links on the way to its last component resolved inside the layer, and where the layers below
    /// are known, inside them. What is not there stays as it is.
    pub(super) fn canonical(&mut self, requested: &[u8]) -> DriverResult<Vec<u8>> {
        path::follow(requested, &mut |cleaned| self.link_at(cleaned))
    }

    /// The target of the symlink at a path without links before it, or nothing where something else is there.
    fn link_at(&mut self, cleaned: &[u8]) -> DriverResult<Option<Vec<u8>>> {
        let (parent, name) = path::split(cleaned).unwrap_or((b"", b"."));
        if let Some(folder) = self.known(parent)? {
            let node = Node::new(&folder.folder, name);
            if let Some(stat) = node.find().attempt("look up", cleaned)? {
                if file_type(&stat) != FileType::Symlink {
                    return Ok(None);
                }
                let target = rustix::fs::readlinkat(node.folder, node.name, Vec::new())
                    .attempt("read link", cleaned)?;
                return Ok(Some(target.into_bytes()));
            }
        }
        self.below.as_mut().map_or(Ok(None), |below| below.link_at(cleaned))
    }

    fn remember(&mut self, requested: &[u8], parent: &Rc<Parent>) {
        if self.open.len() >= OPEN_FOLDERS {
            self.open.clear();
        }
        self.open.insert(requested.to_vec(), Rc::clone(parent));
    }

    /// Goes down component by component, as the kernel would inside this root.
    fn walk(&mut self, requested: &[u8], pending: &mut Pending<'_>) -> DriverResult<Rc<Parent>> {
        let mut steps = vec![Step { at: self.root(), shows_below: true }];
        let mut ahead: VecDeque<Vec<u8>> = path::components(requested).collect();
        let mut links = 0;
        while let Some(component) = ahead.pop_front() {
            if component == b".." {
                if steps.len() > 1 {
                    steps.pop();
                }
                continue;
            }
            let Some(step) = steps.last() else { break };
            match self.advance(&Step { at: Rc::clone(&step.at), ..*step }, &component, pending)? {
                Advance::Into(next) => steps.push(next),
                Advance::Link(target) => {
                    links += 1;
                    if links > path::MOST_LINKS {
                        return Err(refuse("apply", requested, "its parent is a loop of symlinks (ELOOP)"));
                    }
                    if target.first() == Some(&b'/') {
                        steps.truncate(1);
                    }
                    for component in path::components(&target).collect::<Vec<_>>().into_iter().rev() {
                        ahead.push_front(component);
                    }
                }
            }
        }
        Ok(steps.pop().map_or_else(|| self.root(), |step| step.at))
    }

    fn advance(&mut self, from: &Step, component: &[u8], pending: &mut Pending<'_>) -> DriverResult<Advance> {
        let shown = path::join(&from.at.path, component);
        let node = Node::new(&from.at.folder, component);
        let Some(stat) = node.find().attempt("look up parent", &shown)? else {
            return self.missing(from, component, shown, pending);
        };
        match file_type(&stat) {
            FileType::Directory => {
                let opened = node.open_folder().attempt("open parent", &shown)?;
                // Only those who look below need to know.
                let shows = from.shows_below
                    && (self.below.is_none()
                        || !self.markers.is_opaque(&opened).attempt("look up opaque", &shown)?);
                Ok(into(opened, shown, shows))
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(node.folder, node.name, Vec::new())
                    .attempt("read link", &shown)?;
                Ok(Advance::Link(target.into_bytes()))
            }
            _ if self.markers.is_whiteout_device(&stat) => {
                rustix::fs::unlinkat(node.folder, node.name, rustix::fs::AtFlags::empty())
                    .attempt("replace whiteout", &shown)?;
                self.make_opaque(from, component, shown, pending)
            }
            _ => Err(refuse("apply", &shown, "a parent of the entry is not a folder")),
        }
    }

    /// A component that this layer does not have.
    fn missing(
        &mut self,
        from: &Step,
        component: &[u8],
        shown: Vec<u8>,
        pending: &mut Pending<'_>,
    ) -> DriverResult<Advance> {
        // By its own name an entry does not get here, but a link may lead here.
        if component.starts_with(WHITEOUT_PREFIX) {
            let reason =
                "a link leads into a folder whose name begins with '.wh.', which is reserved for whiteouts";
            return Err(refuse("apply", &shown, reason));
        }
        let node = Node::new(&from.at.folder, component);
        if self.markers.remove_whiteout(node).attempt("replace whiteout", &shown)? {
            return self.make_opaque(from, component, shown, pending);
        }
        if from.shows_below
            && let Some(below) = &mut self.below
            && let Some(target) = below.link_at(&shown)?
        {
            return Ok(Advance::Link(target));
        }
        let opened = folder::make(node.folder, component, 0o755).attempt("make parent", &shown)?;
        pending.implied(&shown)?;
        Ok(into(opened, shown, from.shows_below))
    }

    /// A folder that this layer deleted before: nothing below shows through it.
    fn make_opaque(
        &mut self,
        from: &Step,
        component: &[u8],
        shown: Vec<u8>,
        pending: &mut Pending<'_>,
    ) -> DriverResult<Advance> {
        let opened = folder::make(from.at.folder.as_fd(), component, 0o755).attempt("make parent", &shown)?;
        self.markers.make_opaque(&opened).attempt("make opaque", &shown)?;
        pending.fresh(&shown)?;
        Ok(into(opened, shown, false))
    }
}

enum Advance {
    Into(Step),
    Link(Vec<u8>),
}

fn into(opened: OwnedFd, path: Vec<u8>, shows_below: bool) -> Advance {
    Advance::Into(Step { at: Rc::new(Parent { folder: opened, path }), shows_below })
}
