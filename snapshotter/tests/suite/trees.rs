//! Trees made, changed and listed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// A change of a tree.
pub type Change = fn(&Path);

pub fn folder(root: &Path, name: &str, mode: u32) {
    let path = root.join(name);
    if !path.exists() {
        fs::create_dir(&path).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn folders(root: &Path, names: &[&str], mode: u32) {
    for name in names {
        folder(root, name, mode);
    }
}

pub fn own_all(root: &Path, names: &[&str], owner: u32) {
    for name in names {
        own(root, name, owner);
    }
}

pub fn file(root: &Path, name: &str, content: &str, mode: u32) {
    let path = root.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn remove(root: &Path, name: &str) {
    let path = root.join(name);
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}

pub fn own(root: &Path, name: &str, owner: u32) {
    lchown(root.join(name), Some(owner), Some(owner)).unwrap();
}

/// Everything below a folder, sorted: name, mode, owners, content.
pub fn list(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list_into(root, root, &mut lines);
    lines.sort();
    lines
}

fn list_into(root: &Path, folder: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let shown = if metadata.is_file() {
            format!("{:?}, {} links", fs::read_to_string(&path).unwrap(), metadata.nlink())
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else {
            String::new()
        };
        lines.push(format!("{name} {:o} {}:{} {shown}", metadata.mode(), metadata.uid(), metadata.gid()));
        if metadata.is_dir() {
            list_into(root, &path, lines);
        }
    }
}
