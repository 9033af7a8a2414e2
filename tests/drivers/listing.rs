//! A tree as lines, one an entry: path, type, mode, owner, time, and what is in it.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use plywood_tree::resolve::{Node, open_root};
use plywood_tree::xattr;

/// Lists everything below a folder and the folder itself, sorted.
pub fn list(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    walk(root, root, &mut HashMap::new(), &mut lines);
    lines
}

/// The lines whose path begins with `prefix`, without their times: for cases about other things.
pub fn below<'a>(lines: &'a [String], prefix: &str) -> Vec<&'a str> {
    lines
        .iter()
        .filter(|line| line.starts_with(prefix))
        .map(|line| line.split(" @").next().unwrap())
        .collect()
}

fn walk(root: &Path, at: &Path, inodes: &mut HashMap<u64, String>, lines: &mut Vec<String>) {
    let metadata = at.symlink_metadata().unwrap();
    let shown = at.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
    let content = content(at, &metadata, &shown, inodes);
    let mode = metadata.mode() & 0o7777;
    let (uid, gid) = (metadata.uid(), metadata.gid());
    let xattrs = xattrs(at);
    let time = format!("@{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    lines.push(format!("/{shown} {content} {mode:o} {uid}:{gid}{xattrs} {time}"));
    if metadata.is_dir() {
        let mut inner: Vec<_> = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect();
        inner.sort();
        for path in inner {
            walk(root, &path, inodes, lines);
        }
    }
}

fn content(at: &Path, metadata: &Metadata, shown: &str, inodes: &mut HashMap<u64, String>) -> String {
    let kind = metadata.file_type();
    if !kind.is_dir() && metadata.nlink() > 1 {
        if let Some(first) = inodes.get(&metadata.ino()) {
            return format!("same as /{first}");
        }
        inodes.insert(metadata.ino(), shown.to_owned());
    }
    match () {
        () if kind.is_dir() => "folder".to_owned(),
        () if kind.is_symlink() => {
            format!("-> {}", std::fs::read_link(at).unwrap().as_os_str().as_bytes().escape_ascii())
        }
        () if kind.is_file() && metadata.len() > 4096 => {
            format!("file of {} in {} blocks", metadata.len(), metadata.blocks())
        }
        () if kind.is_file() => format!("file '{}'", std::fs::read(at).unwrap().escape_ascii()),
        () if kind.is_fifo() => "fifo".to_owned(),
        () if kind.is_block_device() => format!("block device {}", metadata.rdev()),
        () if kind.is_char_device() => format!("character device {}", metadata.rdev()),
        () => "socket".to_owned(),
    }
}

fn xattrs(at: &Path) -> String {
    let Some((parent, name)) = at.parent().zip(at.file_name()) else { return String::new() };
    let folder = open_root(parent).unwrap();
    let all = xattr::read_all(Node::new(&folder, name.as_bytes())).unwrap();
    let shown =
        |(name, value): (Vec<u8>, Vec<u8>)| format!(" {}={}", name.escape_ascii(), value.escape_ascii());
    all.into_iter().map(shown).collect()
}
