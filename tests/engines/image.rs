//! Images of busybox, made on the spot by tools that know nothing of Plywood.

use std::path::Path;
use std::process::Command;

use crate::engine::{Engine, shown, succeed};

/// Programs of busybox that the tests run.
const PROGRAMS: [&str; 10] = ["cat", "echo", "ls", "mkdir", "rm", "sh", "sleep", "sync", "test", "touch"];

/// Layers of each image.
pub const LAYERS: usize = 3;

/// Makes an image of three layers for `ctr image import`: busybox, `files` files of its own, and deletions. `name` is in them, so that
/// images with other names have no layer in common but the first.
pub fn make(engine: &Engine, name: &str, files: usize) -> String {
    let folder = engine.path(&format!("image-{name}"));
    let layer = |number: usize| folder.join(format!("layer-{number}"));
    for number in 1..=LAYERS {
        std::fs::create_dir_all(layer(number)).unwrap();
    }
    let bin = layer(1).join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox, of Debian's package busybox-static");
    for program in PROGRAMS {
        std::os::unix::fs::symlink("busybox", bin.join(program)).unwrap();
    }
    for path in ["etc", "data", "proc", "sys", "dev", "tmp"] {
        std::fs::create_dir(layer(1).join(path)).unwrap();
    }
    std::fs::write(layer(1).join("etc/deleted"), "to be deleted").unwrap();
    std::fs::create_dir(layer(2).join("data")).unwrap();
    for number in 0..files {
        std::fs::write(layer(2).join(format!("data/file-{number}")), format!("{name} {number}\n").repeat(50))
            .unwrap();
    }
    std::fs::write(layer(2).join("data/name"), name).unwrap();
    std::fs::create_dir(layer(3).join("etc")).unwrap();
    std::fs::write(layer(3).join("etc/.wh.deleted"), "").unwrap();
    let tars: Vec<_> = (1..=LAYERS).map(|number| pack(&layer(number))).collect();

    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools");
    let layout = folder.join("layout");
    let mut command = Command::new(tools.join("make-layout"));
    succeed(command.arg(&layout).arg(format!("localhost/{name}:1")).arg("gzip").args(&tars));
    let archive = folder.join("image.tar");
    succeed(Command::new("tar").arg("-C").arg(&layout).arg("-cf").arg(&archive).arg("."));
    shown(&archive)
}

/// With fixed times, so that the first layer is the same in every image.
fn pack(folder: &Path) -> std::path::PathBuf {
    let tar = folder.with_extension("tar");
    let options = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@1700000000"];
    succeed(Command::new("tar").args(options).arg("-C").arg(folder).arg("-cf").arg(&tar).arg("."));
    tar
}

/// Imports an image under its name.
pub fn import(engine: &Engine, archive: &str) {
    engine.run(&format!("image import % {archive}"));
}
