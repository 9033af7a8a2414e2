//! Copies of whole trees, made by several workers: each takes a folder, makes what is in it, and leaves the folders in it to whoever is
//! free. A folder gets its metadata when everything in it is made.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use plywood_graphdriver::{DriverResult, Usage};
use rustix::fs::{AtFlags, FileType, Stat};

use crate::copy::{all_but_labels, copy_leaf, describe};
use crate::fail::Attempt;
use crate::folder::{self, Permit};
use crate::metadata::{file_type, is_folder};
use crate::path;
use crate::resolve::{Node, open_folder};

/// More workers than this only wait for the file system's journal.
const MOST_WORKERS: usize = 4;

/// Copies all that is below one folder, and the folder's own metadata, into an empty one.
///
/// # Errors
/// The first failure met, with its path in the tree; the copy is then incomplete.
pub fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> DriverResult<Usage> {
    Copying::new(to).run(from, to)
}

/// A folder that is being copied.
struct Folder {
    parent: Option<Arc<Folder>>,
    name: Vec<u8>,
    shown: Vec<u8>,
    stat: Stat,
    from: OwnedFd,
    to: OwnedFd,
    /// The folder itself until it is listed, and each folder in it until that is done.
    unfinished: AtomicUsize,
    /// Lets the caller into the source as long as something in it is open.
    _permit: Permit,
}

/// A folder that nobody has begun with.
struct Task {
    parent: Arc<Folder>,
    name: Vec<u8>,
    stat: Stat,
}

#[derive(Default)]
struct Queue {
    /// The last one is taken first, so that few folders are open at once.
    tasks: Vec<Task>,
    /// Workers that may add tasks.
    busy: usize,
    failed: bool,
}

/// How far the one copy is that an inode with several names gets.
enum Linked {
    Underway,
    /// The name it was made under.
    Copied(Vec<u8>),
    /// Whoever made it says why.
    Failed,
}

struct Copying<'a> {
    root: BorrowedFd<'a>,
    queue: Mutex<Queue>,
    changed: Condvar,
    linked: Mutex<HashMap<(u64, u64), Linked>>,
    /// One of them is no longer underway.
    settled: Condvar,
    usage: Mutex<Usage>,
}

impl<'a> Copying<'a> {
    fn new(root: BorrowedFd<'a>) -> Self {
        let queue = Mutex::new(Queue { busy: 1, ..Queue::default() });
        Self {
            root,
            queue,
            changed: Condvar::new(),
            linked: Mutex::default(),
            settled: Condvar::new(),
            usage: Mutex::default(),
        }
    }

    fn run(self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> DriverResult<Usage> {
        let stat = Node::itself(from).stat().attempt("look up", b"")?;
        let top = Arc::new(Folder {
            parent: None,
            name: b".".to_vec(),
            shown: Vec::new(),
            stat,
            from: open_folder(from, b"").attempt("open", b"")?,
            to: open_folder(to, b"").attempt("open", b"")?,
            unfinished: AtomicUsize::new(1),
            _permit: Permit::hold(from).attempt("open", b"")?,
        });
        let helpers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS) - 1;
        let first = std::thread::scope(|scope| {
            let helping: Vec<_> = (0..helpers).map(|_| scope.spawn(|| self.work(None))).collect();
            let own = self.work(Some(top));
            // The first error in the order of the workers; the others stopped because of it or met their own.
            helping.into_iter().fold(own, |first, helper| {
                first.and(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        });
        first?;
        Ok(*lock(&self.usage))
    }

    /// Does tasks until there are none left and nobody who may add some. The first worker begins with the root.
    fn work(&self, top: Option<Arc<Folder>>) -> DriverResult<()> {
        let _alarm = Alarm(self);
        let mut usage = Usage::default();
        let mut done = top.map_or(Ok(()), |top| self.stop_on_error(self.fill_folder(&top, &mut usage)));
        while done.is_ok() {
            let Some(task) = self.next() else { break };
            done = self.stop_on_error(self.begin(task, &mut usage));
        }
        let mut total = lock(&self.usage);
        total.inodes += usage.inodes;
        total.size_bytes += usage.size_bytes;
        done
    }

    fn next(&self) -> Option<Task> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.failed {
                return None;
            }
            if let Some(task) = queue.tasks.pop() {
                queue.busy += 1;
                return Some(task);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that a task is done, or that all is over.
    fn stop_on_error(&self, done: DriverResult<()>) -> DriverResult<()> {
        let mut queue = lock(&self.queue);
        queue.busy -= 1;
        queue.failed |= done.is_err();
        if queue.failed || queue.busy == 0 {
            self.changed.notify_all();
        }
        done
    }

    fn begin(&self, task: Task, usage: &mut Usage) -> DriverResult<()> {
        let Task { parent, name, stat } = task;
        let shown = path::join(&parent.shown, &name);
        folder::check_depth(&shown)?;
        let from = Node::new(&parent.from, &name).open_folder().attempt("open", &shown)?;
        let to = folder::make(parent.to.as_fd(), &name, 0o700).attempt("make folder", &shown)?;
        usage.inodes += 1;
        let permit = Permit::hold(from.as_fd()).attempt("open", &shown)?;
        let unfinished = AtomicUsize::new(1);
        let folder =
            Folder { parent: Some(parent), name, shown, stat, from, to, unfinished, _permit: permit };
        self.fill_folder(&Arc::new(folder), usage)
    }

    fn fill_folder(&self, folder: &Arc<Folder>, usage: &mut Usage) -> DriverResult<()> {
        let mut inner = Vec::new();
        for name in folder::names(folder.from.as_fd()).attempt("list", &folder.shown)? {
            let source = Node::new(&folder.from, &name);
            let stat = source.stat().attempt("look up", &path::join(&folder.shown, &name))?;
            if is_folder(&stat) {
                inner.push(Task { parent: Arc::clone(folder), name, stat });
            } else {
                self.leaf(folder, &name, &stat, usage)?;
            }
        }
        if !inner.is_empty() {
            folder.unfinished.fetch_add(inner.len(), Ordering::Relaxed);
            lock(&self.queue).tasks.append(&mut inner);
            self.changed.notify_all();
        }
        finish(folder)
    }

    fn leaf(&self, folder: &Folder, name: &[u8], stat: &Stat, usage: &mut Usage) -> DriverResult<()> {
        let shown = path::join(&folder.shown, name);
        let (source, target) = (Node::new(&folder.from, name), Node::new(&folder.to, name));
        let first_name = if stat.st_nlink > 1 {
            self.linked_leaf(source, target, stat, &shown)?
        } else {
            copy_leaf(source, target, stat, all_but_labels).attempt("copy", &shown)?;
            true
        };
        if first_name {
            usage.inodes += 1;
            if file_type(stat) == FileType::RegularFile {
                usage.size_bytes += u64::try_from(stat.st_size).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Copies a file with several names, or gives its copy one more; answers whether it is the first.
    fn linked_leaf(
        &self,
        source: Node<'_>,
        target: Node<'_>,
        stat: &Stat,
        shown: &[u8],
    ) -> DriverResult<bool> {
        let inode = (stat.st_dev, stat.st_ino);
        let mut linked = lock(&self.linked);
        let first = loop {
            match linked.get(&inode) {
                Some(Linked::Copied(first)) => break first.clone(),
                Some(Linked::Failed) => return Ok(false),
                Some(Linked::Underway) => {
                    linked = self.settled.wait(linked).unwrap_or_else(PoisonError::into_inner);
                }
                None => {
                    linked.insert(inode, Linked::Underway);
                    drop(linked);
                    let mut turn = Turn { copying: self, inode, outcome: Linked::Failed };
                    copy_leaf(source, target, stat, all_but_labels).attempt("copy", shown)?;
                    turn.outcome = Linked::Copied(shown.to_vec());
                    return Ok(true);
                }
            }
        };
        drop(linked);
        self.link(&first, target).attempt("copy hard link", shown)?;
        Ok(false)
    }

    fn link(&self, first: &[u8], target: Node<'_>) -> rustix::io::Result<()> {
        let (parent, name) = path::split(first).unwrap_or((b"", b"."));
        let parent = open_folder(self.root, parent)?;
        rustix::fs::linkat(&parent, name, target.folder, target.name, AtFlags::empty())
    }
}

/// Gives a folder its metadata once everything in it is made, and then perhaps the one that it is in.
fn finish(folder: &Arc<Folder>) -> DriverResult<()> {
    let mut at = folder;
    while at.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
        let (from, to) = match &at.parent {
            Some(parent) => (Node::new(&parent.from, &at.name), Node::new(&parent.to, &at.name)),
            None => (Node::new(&at.from, b"."), Node::new(&at.to, b".")),
        };
        describe(from, to, &at.stat, all_but_labels).attempt("copy metadata", &at.shown)?;
        let Some(parent) = &at.parent else { break };
        at = parent;
    }
    Ok(())
}

/// Wakes the others where a worker panics: they would wait for it for ever.
struct Alarm<'a, 'c>(&'a Copying<'c>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.queue).failed = true;
            self.0.changed.notify_all();
        }
    }
}

/// The making of an inode's copy. Those who wait for it learn how it ended, a panic included.
struct Turn<'a, 'c> {
    copying: &'a Copying<'c>,
    inode: (u64, u64),
    outcome: Linked,
}

impl Drop for Turn<'_, '_> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Linked::Failed);
        lock(&self.copying.linked).insert(self.inode, outcome);
        self.copying.settled.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    #![allow(clippy::disallowed_methods, reason = "tests make trees by paths of their own")]
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::equal::{Side, equal};
    use crate::resolve::open_root;

    /// Several hundred folders, each with files, and names of one inode all over them.
    fn grow(top: &Path) {
        fs::create_dir(top).unwrap();
        fs::write(top.join("first"), "linked").unwrap();
        for number in 0..300 {
            let folder = top.join(format!("a{}/b{}/c{number}", number % 7, number % 31));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("small"), format!("content {number}")).unwrap();
            fs::hard_link(top.join("first"), folder.join("linked")).unwrap();
            symlink("small", folder.join("link")).unwrap();
            fs::set_permissions(&folder, PermissionsExt::from_mode(0o700 + number % 8)).unwrap();
        }
        fs::write(top.join("large"), vec![7; 300_000]).unwrap();
        let sparse = fs::File::create(top.join("sparse")).unwrap();
        sparse.set_len(10 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (10 << 20) - 3).unwrap();
        set_times(top);
    }

    fn set_times(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                set_times(&path);
            }
        }
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000, 5);
        fs::File::open(folder).unwrap().set_modified(time).unwrap();
    }

    fn compared(from: &Path, to: &Path) -> bool {
        // Every time counts: nothing is younger than this.
        let made = SystemTime::now() + Duration::from_mins(1);
        let (from, to) = (open_root(from).unwrap(), open_root(to).unwrap());
        equal(Side { root: from.as_fd(), made }, Side { root: to.as_fd(), made }).unwrap()
    }

    #[test]
    fn a_copy_is_equal_and_apart() {
        let top = tempfile::tempdir().unwrap();
        let (from, to) = (top.path().join("from"), top.path().join("to"));
        grow(&from);
        fs::create_dir(&to).unwrap();
        let usage = copy_tree(open_root(&from).unwrap().as_fd(), open_root(&to).unwrap().as_fd()).unwrap();
        assert!(compared(&from, &to));
        // a0..a6, a?/b?, c?, small, link; first, large, sparse. 217 = 7 times 31 pairs, all of which come up.
        assert_eq!(usage.inodes, 7 + 217 + 300 * 3 + 3);
        let one = from.join("first").metadata().unwrap();
        let other = to.join("first").metadata().unwrap();
        assert_ne!(one.ino(), other.ino());
        assert_eq!(other.nlink(), 301);
        assert!(to.join("sparse").metadata().unwrap().blocks() * 512 < 1 << 20, "the hole is kept");
    }

    #[test]
    fn a_failure_is_told_and_ends_all_workers() {
        let top = tempfile::tempdir().unwrap();
        let (from, to) = (top.path().join("from"), top.path().join("to"));
        grow(&from);
        fs::create_dir_all(to.join("a3")).unwrap();
        let error =
            copy_tree(open_root(&from).unwrap().as_fd(), open_root(&to).unwrap().as_fd()).unwrap_err();
        assert!(error.to_string().contains("a3"), "{error}");
    }
}
