//! A three-layer image of this machine's own files: mounted, it is what GNU tar makes of the layers.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{World, first_difference, succeed, tool};

/// Makes three layer tars: real files, more of them with some replaced, and deletions.
fn layers(world: &World) -> Vec<PathBuf> {
    let staging = world.path("staging");
    let (base, more, edits) = (world.path("base.tar"), world.path("more.tar"), world.path("edits.tar"));
    let gnu = |tar: &Path, format: &str, from: &Path, names: &[&str]| {
        succeed(
            Command::new("tar")
                .arg(format!("--format={format}"))
                .args(["--sort=name", "-S", "--xattrs", "-C"])
                .arg(from)
                .arg("-cf")
                .arg(tar)
                .args(names),
        );
    };
    gnu(&base, "pax", Path::new("/"), &["usr/bin", "usr/share/perl5", "etc/alternatives", "var/spool"]);
    std::fs::create_dir_all(staging.join("usr/bin")).unwrap();
    std::fs::create_dir_all(staging.join("usr/share/new")).unwrap();
    std::fs::write(staging.join("usr/bin/perl"), "replaced\n").unwrap();
    let holes = std::fs::File::create(staging.join("usr/share/new/holes")).unwrap();
    holes.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"data", 5 << 20).unwrap();
    std::fs::hard_link(staging.join("usr/bin/perl"), staging.join("usr/share/new/perl")).unwrap();
    gnu(&more, "gnu", &staging, &["usr/bin", "usr/share/new"]);
    let whiteouts = world.path("whiteouts");
    std::fs::create_dir_all(whiteouts.join("usr/share")).unwrap();
    std::fs::create_dir_all(whiteouts.join("etc/alternatives")).unwrap();
    for name in ["usr/share/.wh.perl5", "etc/alternatives/.wh..wh..opq", "etc/alternatives/kept"] {
        std::fs::write(whiteouts.join(name), "").unwrap();
    }
    // No folders: they are implied.
    gnu(
        &edits,
        "ustar",
        &whiteouts,
        &["usr/share/.wh.perl5", "etc/alternatives/.wh..wh..opq", "etc/alternatives/kept"],
    );
    vec![base, more, edits]
}

#[test]
fn the_mounted_tree_is_what_gnu_tar_makes_of_the_layers() {
    let world = World::new();
    let layers = layers(&world);
    let reference = world.path("reference");
    tool("unpack-layers", std::iter::once(&reference).chain(&layers));
    let expected = crate::world::list_tree(&reference);
    assert!(expected.lines().count() > 500, "the machine has few files: {}", expected.lines().count());
    for compression in ["gzip", "zstd", "none"] {
        let layout = world.path(compression);
        let mut arguments = vec![layout.clone(), "app".into(), compression.into()];
        arguments.extend(layers.iter().cloned());
        tool("make-layout", &arguments);
        for driver in ["overlay2", "fuse-union", "vfs"] {
            let store = format!("{driver}-{compression}");
            world.run(
                &store,
                driver,
                ["pull", "-q", &format!("oci:{}:app", layout.display()), "--name", "app"],
            );
            let tree = world.tree_of(&store, driver, "app");
            assert_eq!(first_difference(&expected, &tree), None, "{driver}, {compression}");
            world.run(&store, driver, ["check"]);
        }
    }
}

#[test]
fn a_container_committed_on_one_driver_is_the_same_on_the_other() {
    let world = World::new();
    let layers = layers(&world);
    let layout = world.path("layout");
    let mut arguments = vec![layout.clone(), "app".into(), "gzip".into()];
    arguments.extend(layers);
    tool("make-layout", &arguments);
    for (driver, other) in [("overlay2", "vfs"), ("vfs", "fuse-union"), ("fuse-union", "overlay2")] {
        let from = format!("from-{driver}");
        world.run(&from, driver, ["pull", "-q", &format!("oci:{}:app", layout.display()), "--name", "app"]);
        world.run(&from, driver, ["create", "app", "--name", "work"]);
        let root = PathBuf::from(world.run(&from, driver, ["mount", "work"]).trim());
        std::fs::write(root.join("usr/bin/new"), "new").unwrap();
        std::fs::remove_dir_all(root.join("usr/share/new")).unwrap();
        std::fs::create_dir(root.join("usr/share/new")).unwrap();
        std::fs::set_permissions(root.join("usr"), std::os::unix::fs::PermissionsExt::from_mode(0o711))
            .unwrap();
        let changed = crate::world::list_tree(&root);
        world.run(&from, driver, ["umount", "work"]);
        world.run(&from, driver, ["commit", "-q", "work", "changed"]);
        assert_eq!(
            first_difference(&changed, &world.tree_of(&from, driver, "changed")),
            None,
            "committed on {driver}"
        );
        let pushed = format!("oci:{}:changed", world.path(&format!("pushed-{driver}")).display());
        world.run(&from, driver, ["push", "-q", "changed", &pushed]);
        let to = format!("to-{other}");
        world.run(&to, other, ["pull", "-q", &pushed, "--name", "changed"]);
        assert_eq!(
            first_difference(&changed, &world.tree_of(&to, other, "changed")),
            None,
            "from {driver} to {other}"
        );
    }
}
