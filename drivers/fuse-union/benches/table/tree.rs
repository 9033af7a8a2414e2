//! Three lower layers: a base, one that replaces and adds, one that removes and adds.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How much there is of everything.
pub struct Size {
    /// Files that the merged tree shows.
    pub files: usize,
    /// Files that are made, and then removed.
    pub made: usize,
    /// Bytes of the large file.
    pub bytes: usize,
}

impl Size {
    pub const WHOLE: Self = Self { files: 20_000, made: 5_000, bytes: 512 << 20 };
    pub const SMALL: Self = Self { files: 300, made: 50, bytes: 4 << 20 };
}

pub struct Tree {
    /// Topmost first.
    pub lower: Vec<PathBuf>,
    /// All files of the merged tree, by their paths from its root, in an order that has nothing to do with where they are.
    pub shuffled: Vec<PathBuf>,
    pub size: Size,
    /// Where runs have their folders.
    pub runs: PathBuf,
}

/// Files of one folder.
const TOGETHER: usize = 11;

impl Tree {
    pub fn make(folder: &Path, size: &Size) -> Self {
        let lower: Vec<PathBuf> = ["top", "middle", "base"].iter().map(|name| folder.join(name)).collect();
        let mut files: Vec<PathBuf> = (0..size.files).map(path).collect();
        let content = [b'x'; 4096];
        for (number, below) in files.iter().enumerate() {
            // Six tenths in the base, of which some are replaced above.
            let layers: &[usize] = match number % 10 {
                0..=4 => &[2],
                5 => &[2, 1],
                6..=7 => &[1],
                _ => &[0],
            };
            for layer in layers {
                let path = lower[*layer].join(below);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                // From 0.5 to 3.5 KiB, as most files of an image.
                let file = fs::File::create(path).unwrap();
                file.write_all_at(&content[..512 + number * 7 % 3072], 0).unwrap();
            }
        }
        shuffle(&mut files);
        let runs = folder.join("runs");
        fs::create_dir(&runs).unwrap();
        rustix::fs::sync();
        let size = Size { files: size.files, made: size.made, bytes: size.bytes };
        Self { lower, shuffled: files, size, runs }
    }
}

fn path(number: usize) -> PathBuf {
    let folder = number / TOGETHER;
    format!("tree/part-{}/folder-{folder}/file-{number}", folder % 20).into()
}

/// The same order each time: a linear congruential generator (Knuth's MMIX).
fn shuffle(files: &mut [PathBuf]) {
    let mut state = 2026_u64;
    for at in (1..files.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap() % (at + 1);
        files.swap(at, other);
    }
}
