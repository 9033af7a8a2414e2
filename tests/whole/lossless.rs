//! `save` gives back every layer's tar byte for byte, whatever wrote it.

use std::path::PathBuf;
use std::process::Command;

use crate::world::{World, succeed, tool};

/// Tars of every format that GNU tar and Python write, with duplicates and sparse files.
fn odd_layers(world: &World) -> Vec<PathBuf> {
    let tree = world.path("tree-to-pack");
    std::fs::create_dir_all(tree.join("d").join("n".repeat(120))).unwrap();
    std::fs::write(tree.join("d/file"), vec![1; 70_000]).unwrap();
    let holes = std::fs::File::create(tree.join("d/holes")).unwrap();
    holes.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, &[9; 5000], 1 << 20).unwrap();
    std::fs::hard_link(tree.join("d/file"), tree.join("d/link")).unwrap();
    let mut layers = Vec::new();
    for options in [
        &["--format=gnu", "-S"][..],
        &["--format=oldgnu", "-S"],
        &["--format=pax", "-S", "--sparse-version=0.0"],
        &["--format=pax", "-S", "--sparse-version=0.1"],
        &["--format=pax", "-S", "--sparse-version=1.0", "--pax-option=comment=x"],
        &["--format=ustar", "--exclude=nnn*"],
        &["--format=v7", "--exclude=nnn*"],
    ] {
        let tar = world.path(&format!("odd-{}.tar", layers.len()));
        // Packed twice in one archive: every file has a later double.
        succeed(
            Command::new("tar")
                .args(options)
                .arg("-C")
                .arg(&tree)
                .arg("-cf")
                .arg(&tar)
                .args(["d", "d/file", "d/holes"]),
        );
        layers.push(tar);
    }
    let python = world.path("python.tar");
    let script = "import io,sys,tarfile\nt=tarfile.open(sys.argv[1],'w',format=tarfile.PAX_FORMAT)\n\
                  for i in range(3):\n m=tarfile.TarInfo('same'); m.size=10+i; m.mtime=1.5+i; t.addfile(m,io.BytesIO(b'x'*m.size))\n\
                  m=tarfile.TarInfo('dir/'); m.type=tarfile.DIRTYPE; t.addfile(m)\n\
                  m=tarfile.TarInfo('dir'); m.size=3; t.addfile(m,io.BytesIO(b'abc'))\n\
                  t.close(); open(sys.argv[1],'ab').write(b'trailing bytes that nobody asked for')";
    succeed(Command::new("python3").args(["-c", script]).arg(&python));
    layers.push(python);
    layers
}

#[test]
fn saved_and_loaded_into_an_empty_store_every_layer_is_the_same_bytes() {
    let world = World::new();
    let layers = odd_layers(&world);
    let mut arguments = vec![world.path("layout"), "odd".into(), "gzip".into()];
    arguments.extend(layers.iter().cloned());
    let diff_ids = tool("make-layout", &arguments);
    for driver in ["overlay2", "vfs"] {
        let store = format!("first-{driver}");
        let source = format!("oci:{}:odd", world.path("layout").display());
        world.run(&store, driver, ["pull", "-q", &source, "--name", "odd"]);
        for format in ["docker-archive", "oci-archive"] {
            let file = world.path(&format!("{driver}-{format}.tar")).display().to_string();
            world.run(&store, driver, ["save", "-q", "--format", format, "-o", &file, "odd"]);
            let second = format!("second-{driver}-{format}");
            world.run(&second, driver, ["load", "-q", "-i", &file]);
            let listed = world.run(&second, driver, ["inspect", "odd"]);
            for diff_id in diff_ids.lines() {
                assert!(listed.contains(diff_id), "{driver}, {format}: {diff_id} is not in {listed}");
            }
            world.run(&second, driver, ["check"]);
        }
    }
}
