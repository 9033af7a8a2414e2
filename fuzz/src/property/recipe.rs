//! Tars rebuilt from recipes, whole ones and damaged ones.

use std::cell::OnceCell;
use std::io::{self, Read, Write};

use plywood_archive::digest::{Digest, Hasher};

use crate::bytes::Bytes;
use crate::memory;
use crate::stage::{Layer, Stage};

/// Bytes in front of the tar that say how the recipe is damaged.
pub const HEAD_BYTES: usize = 16;
/// The magic and the version, in front of the recipe's one zstd frame (docs/design/recipe.md).
const FRAME_START: usize = 9;
/// Where a rebuilt tar is cut off: a damaged recipe may ask for any number of zeros.
const MOST_BYTES: u64 = 16 << 20;
/// What rebuilding may hold: buffers, one structure block, and displaced contents' places.
const MEMORY_BYTES: usize = 8 << 20;

thread_local! {
    static STAGE: OnceCell<Stage> = const { OnceCell::new() };
}

/// Every tar that is taken is rebuilt byte for byte; with a damaged recipe there is an error, or another digest is answered for
/// what was written, or the same tar comes out.
pub fn check(input: &[u8]) {
    let mut head = Bytes::new(input);
    let damage = head.take(HEAD_BYTES).to_vec();
    let tar = head.rest();
    STAGE.with(|stage| {
        let stage = stage.get_or_init(Stage::vfs);
        if let Ok(layer) = stage.unpack(Vec::new(), tar) {
            let mut rebuilt = Vec::new();
            let measured = stage.rebuild(&layer, &layer.recipe, &mut rebuilt);
            let measured =
                measured.unwrap_or_else(|error| panic!("a tar that was taken does not rebuild: {error}"));
            assert!(rebuilt == tar, "another tar comes out than went in");
            assert_eq!((measured.digest, measured.size_bytes), (Digest::of(tar), tar.len() as u64));
            check_damaged(stage, &layer, &damage);
        }
        stage.remove_all();
    });
}

fn check_damaged(stage: &Stage, layer: &Layer, damage: &[u8]) {
    for recipe in [damaged(&layer.recipe, damage), damaged_inside(&layer.recipe, damage)] {
        let mut out = Cut::default();
        let answer = memory::at_most(MEMORY_BYTES, || stage.rebuild(layer, &recipe, &mut out));
        if let Ok(measured) = answer {
            assert_eq!(measured.size_bytes, out.bytes, "another size is answered than was written");
            assert_eq!(measured.digest, out.hasher.finish(), "another digest is answered than was written");
        }
    }
}

/// Four changes, each a place and what is done there.
fn damaged(recipe: &[u8], damage: &[u8]) -> Vec<u8> {
    let mut recipe = recipe.to_vec();
    let mut bytes = Bytes::new(damage);
    for _ in 0..4 {
        let (place, action, value) = (usize::from(bytes.half()), bytes.byte(), bytes.byte());
        let place = place % (recipe.len() + 1);
        match action % 6 {
            0 => {}
            1 => recipe.truncate(place),
            2 => recipe.insert(place, value),
            3 if place < recipe.len() => drop(recipe.remove(place)),
            4 => recipe.splice(place..place, [value | 0x80; 9].into_iter().chain([1])).for_each(drop),
            _ => {
                if let Some(byte) = recipe.get_mut(place) {
                    *byte ^= value;
                }
            }
        }
    }
    recipe
}

/// The same on what the frame holds, packed again: past zstd's own checks.
fn damaged_inside(recipe: &[u8], damage: &[u8]) -> Vec<u8> {
    let (head, frame) = recipe.split_at(FRAME_START);
    let mut operations = Vec::new();
    zstd::stream::read::Decoder::new(frame).unwrap().read_to_end(&mut operations).unwrap();
    let packed = zstd::bulk::compress(&damaged(&operations, damage), 1).unwrap();
    [head, &packed].concat()
}

/// Hashes what is written, and takes no more than some.
#[derive(Default)]
struct Cut {
    hasher: Hasher,
    bytes: u64,
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes > MOST_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
