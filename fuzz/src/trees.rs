//! Trees compared by all that a layer carries.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::look::{Kind, Look};

/// A node without what every copy has anew: inode, status time, and a folder's own size and count of names.
#[derive(Debug, PartialEq, Eq)]
pub struct Carried {
    look: Look,
    /// The first path of the same file.
    same_as: OsString,
}

/// Every node by its path.
pub type Tree = BTreeMap<OsString, Carried>;

/// Reads the tree at `root`.
pub fn read(root: &Path) -> Tree {
    let mut looks = BTreeMap::new();
    gather(root, &OsString::new(), &mut looks);
    let mut first: BTreeMap<u64, OsString> = BTreeMap::new();
    let mut tree = Tree::new();
    for (path, mut look) in looks {
        let same_as = first.entry(look.inode).or_insert_with(|| path.clone()).clone();
        (look.inode, look.changed) = (0, (0, 0));
        look.attributes =
            look.attributes.into_iter().map(|(name, value)| (plain_name(&name), value)).collect();
        if look.kind == Kind::Folder {
            (look.size_bytes, look.names) = (0, 0);
        }
        tree.insert(path, Carried { look, same_as });
    }
    tree
}

/// A mount of overlay2 shows the escape of one of the two namespaces (docs/adr/0006-attributes-of-overlayfs.md).
fn plain_name(name: &str) -> String {
    name.replacen(".overlay.overlay.", ".overlay.", 1)
}

/// The tree with link counts that leave out names of lower layers which this tree hides: overlayfs without its index shows the count that
/// the lower layer's inode has, whatever became of the other names (Documentation/filesystems/overlayfs.rst, "Index"). A count below
/// that of the names to be seen stays as it is.
pub fn without_hidden_names(mut tree: Tree) -> Tree {
    let mut seen: BTreeMap<OsString, u64> = BTreeMap::new();
    for node in tree.values() {
        *seen.entry(node.same_as.clone()).or_default() += 1;
    }
    for node in tree.values_mut().filter(|node| node.look.kind != Kind::Folder) {
        node.look.names = node.look.names.min(seen[&node.same_as]);
    }
    tree
}

fn gather(folder: &Path, shown: &OsString, looks: &mut BTreeMap<OsString, Look>) {
    let look = Look::at(folder);
    if look.kind == Kind::Folder {
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name();
            let mut inner = shown.clone();
            inner.push("/");
            inner.push(&name);
            gather(&folder.join(&name), &inner, looks);
        }
    }
    looks.insert(shown.clone(), look);
}

/// Compares two trees, and tells the first difference.
#[track_caller]
pub fn assert_equal(one: &Tree, other: &Tree, what: &str) {
    for (path, node) in one {
        assert_eq!(Some(node), other.get(path), "{what}: {}", path.display());
    }
    let added: Vec<_> = other.keys().filter(|path| !one.contains_key(*path)).collect();
    assert!(added.is_empty(), "{what}: added {added:?}");
}
