//! A layer unpacked into memory with its recipe, and the tar rebuilt from both.

use std::collections::HashMap;
use std::io::{self, BufReader, Cursor, Read};

use plywood_archive::digest::Measured;
use plywood_archive::recipe::{ReadAt, ReadWriteSeek, RecipeError, RecipeTree, Writer, rebuild};
use plywood_archive::tar::{Kind, Limits, Segment, TarReader};

use crate::fixtures::expanded;

#[derive(Default)]
pub struct Tree(pub HashMap<Vec<u8>, Vec<u8>>);

struct Content(Vec<u8>);

impl ReadAt for Content {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let end = start.checked_add(buffer.len()).filter(|end| *end <= self.0.len());
        buffer.copy_from_slice(&self.0[start..end.ok_or(io::ErrorKind::UnexpectedEof)?]);
        Ok(())
    }
}

impl RecipeTree for Tree {
    fn open(&mut self, path: &[u8]) -> io::Result<Box<dyn ReadAt>> {
        let content = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Content(content.clone())))
    }

    fn scratch(&mut self) -> io::Result<Box<dyn ReadWriteSeek>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }
}

/// Unpacks a tar, the later of two entries with one path replacing the earlier. Odd buffers hit odd boundaries.
pub fn unpack(tar: &[u8], buffer_bytes: usize) -> (Tree, Vec<u8>) {
    let recipe = Writer::new(Vec::new()).unwrap();
    let source = BufReader::with_capacity(buffer_bytes, tar);
    let mut reader = TarReader::new(source, Limits::default(), recipe);
    let mut tree = Tree::default();
    while let Some(entry) = reader.next_entry().unwrap() {
        if entry.kind != Kind::Regular {
            continue;
        }
        if entry.path.starts_with(b"not-kept") {
            reader.observe_payload().unwrap();
            continue;
        }
        if let Some(old) = tree.0.remove(&entry.path) {
            reader.observer_mut().displaced(&entry.path, old.len() as u64, &mut &old[..]).unwrap();
        }
        let mut payload = Vec::new();
        loop {
            let count = reader.payload().unwrap().len();
            if count == 0 {
                break;
            }
            payload.extend_from_slice(reader.payload().unwrap());
            reader.consume(count);
        }
        let whole = [Segment { offset: 0, length: entry.size_bytes }];
        let segments = entry.sparse.as_deref().unwrap_or(&whole);
        reader.observer_mut().file(&entry.path, segments).unwrap();
        tree.0.insert(entry.path.clone(), expanded(&entry, &payload));
    }
    let (_, recipe) = reader.finish().unwrap();
    (tree, recipe.finish(Some(Measured::of(tar))).unwrap())
}

pub fn pack(tree: &mut Tree, recipe: &[u8]) -> Result<Vec<u8>, RecipeError> {
    let mut tar = Vec::new();
    let recipe = recipe.to_vec();
    let mut open = || Ok(Box::new(Cursor::new(recipe.clone())) as Box<dyn Read>);
    let measured = rebuild(&mut open, tree, &mut tar)?;
    assert_eq!(measured, Measured::of(&tar));
    Ok(tar)
}

/// Checks that a tar comes back byte for byte.
pub fn check_lossless(tar: &[u8]) {
    for buffer_bytes in [700, 1 << 16] {
        let (mut tree, recipe) = unpack(tar, buffer_bytes);
        assert!(pack(&mut tree, &recipe).unwrap() == tar, "the rebuilt tar differs");
    }
}
