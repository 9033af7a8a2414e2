//! A store damaged by hand: the check finds it, the repair restores it, and nothing that is sound is touched.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::world::{DRIVERS, State, World, run};

/// One way to damage a store.
struct Damage {
    name: &'static str,
    /// Does it to the layer with the folder given: the middle one of the image `app`.
    make: fn(&World, &Layer),
    /// Whether the store can restore it by itself.
    by_itself: bool,
}

/// A layer on disk.
struct Layer {
    id: String,
    folder: PathBuf,
    /// The tree in it.
    tree: PathBuf,
    recipe: PathBuf,
}

impl Layer {
    fn of(world: &World, id: &str) -> Self {
        let folder = world.root().join(world.driver).join(id);
        let tree = folder.join(if world.driver == "overlay2" { "diff" } else { "root" });
        Self { id: id.to_owned(), folder, tree, recipe: world.root().join("recipes").join(id) }
    }

    fn file(&self) -> PathBuf {
        self.tree.join("data/large")
    }
}

/// Statements on the store's database, as somebody with a shell makes them.
fn change_content(layer: &Layer) {
    let times = fs::metadata(layer.file()).unwrap().modified().unwrap();
    let mut content = fs::read(layer.file()).unwrap();
    content[150_000] ^= 1;
    fs::write(layer.file(), content).unwrap();
    File::options().write(true).open(layer.file()).unwrap().set_modified(times).unwrap();
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "a file is gone",
        make: |_, layer| fs::remove_file(layer.file()).unwrap(),
        by_itself: false,
    },
    Damage { name: "one bit of a file is another", make: |_, layer| change_content(layer), by_itself: false },
    Damage {
        name: "a file is empty",
        make: |_, layer| File::options().write(true).open(layer.file()).unwrap().set_len(0).unwrap(),
        by_itself: false,
    },
    Damage {
        name: "a file has another mode",
        make: |_, layer| fs::set_permissions(layer.file(), PermissionsExt::from_mode(0o666)).unwrap(),
        by_itself: true,
    },
    Damage {
        name: "a file has another owner",
        make: |_, layer| chown(layer.file(), Some(5), Some(5)).unwrap(),
        by_itself: true,
    },
    Damage {
        name: "a file has another attribute",
        make: |_, layer| {
            let file = layer.tree.join("bin/implied");
            drop(run(Command::new("setfattr").args(["-n", "user.mark", "-v", "other"]).arg(file)));
        },
        by_itself: true,
    },
    Damage {
        name: "a file has another time",
        make: |_, layer| {
            let time = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5));
            File::options().write(true).open(layer.file()).unwrap().set_times(time).unwrap();
        },
        by_itself: true,
    },
    Damage {
        name: "a folder has another mode",
        make: |_, layer| {
            fs::set_permissions(layer.tree.join("data"), PermissionsExt::from_mode(0o755)).unwrap();
        },
        by_itself: true,
    },
    Damage {
        name: "there is a file more",
        make: |_, layer| fs::write(layer.tree.join("data/more"), "more").unwrap(),
        by_itself: true,
    },
    Damage {
        name: "a file is a link",
        make: |_, layer| {
            fs::remove_file(layer.file()).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", layer.file()).unwrap();
        },
        by_itself: false,
    },
    Damage {
        name: "a link is a copy",
        make: |_, layer| {
            let path = layer.tree.join("etc/linked");
            let content = fs::read(&path).unwrap();
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, content).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        },
        by_itself: true,
    },
    Damage {
        name: "the folder is gone",
        make: |_, layer| fs::remove_dir_all(&layer.folder).unwrap(),
        by_itself: false,
    },
    Damage {
        name: "the tree is gone",
        make: |_, layer| fs::remove_dir_all(&layer.tree).unwrap(),
        by_itself: false,
    },
    Damage {
        name: "the layer is not sealed any more",
        make: |_, layer| fs::remove_file(layer.folder.join("sealed")).unwrap(),
        by_itself: true,
    },
    Damage {
        name: "the recipe is gone",
        make: |_, layer| fs::remove_file(&layer.recipe).unwrap(),
        by_itself: false,
    },
    Damage {
        name: "the recipe is empty",
        make: |_, layer| fs::write(&layer.recipe, "").unwrap(),
        by_itself: false,
    },
    Damage {
        name: "the recipe is another",
        make: |_, layer| {
            let mut recipe = fs::read(&layer.recipe).unwrap();
            let middle = recipe.len() / 2;
            recipe[middle] ^= 0x10;
            fs::write(&layer.recipe, recipe).unwrap();
        },
        by_itself: false,
    },
    Damage {
        name: "the row is gone",
        make: |world, layer| {
            world.sql(&format!("PRAGMA foreign_keys = OFF; DELETE FROM layers WHERE id = '{}'", layer.id));
        },
        by_itself: true,
    },
    Damage {
        name: "the image lacks a layer",
        make: |world, layer| world.sql(&format!("DELETE FROM image_layers WHERE layer = '{}'", layer.id)),
        by_itself: true,
    },
    Damage {
        name: "the parent is another",
        make: |world, layer| {
            world.sql(&format!("UPDATE layers SET parent = NULL WHERE parent = '{}'", layer.id));
        },
        by_itself: true,
    },
    Damage {
        name: "the folder of links is gone",
        make: |world, _| drop(fs::remove_dir_all(world.root().join("overlay2/l"))),
        by_itself: true,
    },
];

/// The store: `base`, `app` whose middle layer is damaged, `other` on the same base, and a container on `app`.
fn template(driver: &'static str) -> World {
    let world = World::new(driver);
    world.make_layout();
    for name in ["base", "app", "other"] {
        world.pull(name);
    }
    world.ok(&["create", "app", "--name", "work"]);
    world
}

fn middle_layer(state: &State) -> String {
    let app = state.images.values().find(|(names, _)| names[0].contains("app")).unwrap();
    app.1[1].clone()
}

#[test]
fn whatever_is_damaged_is_found_and_restored() {
    let _alone = crate::alone();
    for driver in DRIVERS {
        let template = template(driver);
        let before = template.recovered();
        let damaged = middle_layer(&before);
        for damage in DAMAGES {
            for with_source in [false, true] {
                if !with_source && !damage.by_itself {
                    named_and_kept(&template, damage, &damaged);
                    continue;
                }
                let world = template.copy();
                (damage.make)(&world, &Layer::of(&world, &damaged));
                let what = format!("{driver}, {}, with a source: {with_source}", damage.name);
                let found = world.command(["check"]).output().unwrap();
                let heals_alone = damage.name.contains("links");
                let code = i32::from(!heals_alone);
                assert_eq!(
                    found.status.code(),
                    Some(code),
                    "{what}: {}",
                    String::from_utf8_lossy(&found.stderr)
                );
                let source = format!("oci:{}", world.path("layout").display());
                let mut arguments = vec!["check", "--repair"];
                if with_source {
                    arguments.extend(["--from", &source]);
                }
                let repaired = world.command(&arguments).output().unwrap();
                let said = String::from_utf8_lossy(&repaired.stdout).into_owned();
                world.ok(&["gc"]);
                let after = world.recovered();
                assert!(repaired.status.code() == Some(0) || said.contains("in no record"), "{what}: {said}");
                assert_eq!(after.shape(), before.shape(), "{what}: {said}");
                for (id, facts) in &before.layers {
                    assert!(
                        *id == damaged || after.layers.contains_key(id),
                        "{what}: a sound layer was made anew: {facts:?}"
                    );
                }
            }
        }
        println!("{driver}: {} damages found and restored", DAMAGES.len());
    }
}

/// What cannot be restored is named, nothing is made on it, and the other images are as they were.
fn named_and_kept(template: &World, damage: &Damage, damaged: &str) {
    let world = template.copy();
    (damage.make)(&world, &Layer::of(&world, damaged));
    let output = world.command(["check", "--repair"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{}: {said}", damage.name);
    assert!(said.contains("cannot be restored"), "{}: {said}", damage.name);
    for command in [&["create", "app"][..], &["mount", "app"]] {
        let refused = world.command(command).output().unwrap();
        let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && reason.contains("damaged"),
            "{}: {command:?}: {reason}",
            damage.name
        );
    }
    for sound in ["base", "other"] {
        world.ok(&["create", sound]);
    }
}

#[test]
fn a_database_that_is_an_older_copy_gets_its_layers_back() {
    let _alone = crate::alone();
    for driver in DRIVERS {
        let world = World::new(driver);
        world.make_layout();
        world.pull("base");
        let older = fs::read(world.root().join("plywood.db")).unwrap();
        world.pull("app");
        world.ok(&["rmi", "base"]);
        fs::write(world.root().join("plywood.db"), older).unwrap();
        // The older records know the base, and nothing of the two layers on it.
        assert_eq!(world.command(["check"]).output().unwrap().status.code(), Some(1));
        world.pull("app");
        world.ok(&["gc"]);
        let state = world.recovered();
        assert_eq!((state.images.len(), state.layers.len()), (2, 3), "{driver}");
    }
}

#[test]
fn what_is_left_over_is_collected_and_told_before() {
    let _alone = crate::alone();
    for driver in DRIVERS {
        let world = World::new(driver);
        world.make_layout();
        world.pull("base");
        let before = world.recovered();
        let stray = world.root().join(driver).join("ab".repeat(16));
        let tree = stray.join(if driver == "overlay2" { "diff" } else { "root" });
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("file"), vec![1; 50_000]).unwrap();
        fs::write(world.root().join("recipes").join("cd".repeat(16)), "left").unwrap();
        let point = world.root().join("mnt").join("ef".repeat(16));
        fs::create_dir(&point).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&point));
        assert_eq!(world.command(["check"]).output().unwrap().status.code(), Some(1));
        assert!(world.mounts().is_empty(), "a mount that no record knows is taken down");
        let would = world.command(["gc", "--dry-run"]).output().unwrap();
        let said = String::from_utf8_lossy(&would.stderr).into_owned();
        assert!(said.contains("1 layers, 1 recipes") && !said.contains(" 0 B"), "{said}");
        assert!(stray.exists());
        let did = world.command(["gc"]).output().unwrap();
        let did = String::from_utf8_lossy(&did.stderr).into_owned();
        assert_eq!(did.replace("freed", "would free"), said);
        assert_eq!(world.recovered(), before);
    }
}
