//! The inode table: numbers to inodes, without a lock over all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;
use rustix::io::Errno;

use super::node::{Node, Object};
use crate::request::{Answer, NodeId, ROOT};

/// Parts of the table, each with a lock of its own.
const PARTS: usize = 64;

type Part<K, V> = HashMap<K, V, FxBuildHasher>;

/// All inodes that the kernel knows, or that hold others which it knows.
pub(super) struct Table {
    parts: [RwLock<Part<NodeId, Arc<Node>>>; PARTS],
    /// Inodes that may have more names than are known, by their real objects.
    by_object: [Mutex<Part<Object, NodeId>>; PARTS],
    next: AtomicU64,
    count: AtomicUsize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            parts: std::array::from_fn(|_| RwLock::default()),
            by_object: std::array::from_fn(|_| Mutex::default()),
            next: AtomicU64::new(ROOT),
            count: AtomicUsize::new(0),
        }
    }

    /// A number that was never used.
    pub(super) fn next_id(&self) -> NodeId {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How many inodes there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn part(&self, id: NodeId) -> &RwLock<Part<NodeId, Arc<Node>>> {
        &self.parts[usize::try_from(id).unwrap_or_default() % PARTS]
    }

    /// The part for the object; its lock keeps two names of one object from becoming two inodes.
    pub(super) fn objects(&self, object: Object) -> &Mutex<Part<Object, NodeId>> {
        &self.by_object[usize::try_from(object.1).unwrap_or_default() % PARTS]
    }

    pub(super) fn insert(&self, node: &Arc<Node>) {
        for name in &node.state.read().names {
            name.parent.references.fetch_add(1, Ordering::Relaxed);
        }
        self.part(node.id).write().insert(node.id, Arc::clone(node));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// The inode that a request names.
    pub(super) fn get(&self, id: NodeId) -> Answer<Arc<Node>> {
        self.part(id).read().get(&id).cloned().ok_or(Errno::STALE)
    }

    /// The inode, with one more reference, if it is still there.
    pub(super) fn hold(&self, id: NodeId) -> Option<Arc<Node>> {
        if id == 0 {
            return None;
        }
        let part = self.part(id).read();
        let node = part.get(&id)?;
        node.references.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(node))
    }

    /// Gives references back. With the last one the inode goes, and with it its references on the folders of its names.
    pub(super) fn release(&self, node: &Arc<Node>, count: u64) {
        let mut pending = vec![(Arc::clone(node), count)];
        while let Some((node, count)) = pending.pop() {
            if node.references.fetch_sub(count, Ordering::AcqRel) != count || node.id == ROOT {
                continue;
            }
            let mut part = self.part(node.id).write();
            // A look-up may have come between.
            if node.references.load(Ordering::Acquire) != 0 || part.remove(&node.id).is_none() {
                continue;
            }
            drop(part);
            self.count.fetch_sub(1, Ordering::Relaxed);
            let mut state = node.state.write();
            for object in state.objects.drain(..) {
                let mut objects = self.objects(object).lock();
                if objects.get(&object) == Some(&node.id) {
                    objects.remove(&object);
                }
            }
            pending.extend(state.names.drain(..).map(|name| (name.parent, 1)));
        }
    }

    /// All inodes of one part, those of folders last: they can go when nothing in them is known any more.
    pub(super) fn sample(&self, part: usize) -> Vec<NodeId> {
        let part = self.parts[part % PARTS].read();
        let folders = part.values().filter(|node| node.is_folder() && node.id != ROOT);
        part.values().filter(|node| !node.is_folder()).chain(folders).map(|node| node.id).collect()
    }
}
