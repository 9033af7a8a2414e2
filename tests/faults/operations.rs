//! The operations that are broken off at every call, and the stores that each begins with.

use std::fs::File;
use std::io::Cursor;
use std::process::ExitStatus;

use crate::images;
use crate::supervisor::{Call, Verdict, watch};
use crate::world::{World, write_into};

/// One command on a store.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub name: &'static str,
    /// Makes the store that it begins with.
    prepare: fn(&World),
    /// Done after that store was copied: what cannot be copied, such as mounts.
    set_up: fn(&World),
    /// The command line; `{layout}` and `{out}` are filled in.
    arguments: &'static [&'static str],
}

const NOTHING: fn(&World) = |_| {};

/// All operations that the issue names.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "pull",
        prepare: with_base,
        set_up: NOTHING,
        arguments: &["pull", "-q", "oci:{layout}:app", "--name", "app"],
    },
    Operation {
        name: "create",
        prepare: with_base,
        set_up: NOTHING,
        arguments: &["create", "base", "--name", "web"],
    },
    Operation { name: "commit", prepare: with_work, set_up: NOTHING, arguments: &["commit", "work", "made"] },
    Operation {
        name: "diff",
        prepare: with_work,
        set_up: NOTHING,
        arguments: &["diff", "work", "-o", "{out}"],
    },
    Operation { name: "mount", prepare: with_work, set_up: NOTHING, arguments: &["mount", "work"] },
    Operation {
        name: "unmount",
        prepare: with_work,
        set_up: |world| drop(world.ok(&["mount", "work"])),
        arguments: &["umount", "work"],
    },
    Operation { name: "remove", prepare: with_work, set_up: NOTHING, arguments: &["rm", "work"] },
    Operation { name: "remove image", prepare: with_app, set_up: NOTHING, arguments: &["rmi", "app"] },
    Operation { name: "collect", prepare: with_garbage, set_up: NOTHING, arguments: &["gc"] },
    Operation { name: "recover", prepare: half_pulled, set_up: NOTHING, arguments: &["images", "-q"] },
    Operation {
        name: "pull of another image",
        prepare: with_false_layer,
        set_up: NOTHING,
        arguments: &["pull", "-q", "oci:{layout}:app", "--name", "app"],
    },
    Operation {
        name: "make",
        prepare: |_| {},
        set_up: NOTHING,
        arguments: &["create", "scratch", "--name", "first"],
    },
];

/// The operation of that name.
pub fn operation(name: &str) -> Operation {
    *OPERATIONS.iter().find(|operation| operation.name == name).unwrap()
}

fn with_base(world: &World) {
    world.pull("base");
}

/// A container with changes.
fn with_work(world: &World) {
    with_base(world);
    world.ok(&["create", "base", "--name", "work"]);
    let store = world.open();
    write_into(&store, "work", "etc/motd", b"changed\n");
    write_into(&store, "work", "new", &crate::images::noise(5, 100_000));
}

fn with_app(world: &World) {
    with_base(world);
    world.pull("app");
}

/// A layer that nothing needs, as no operation leaves one.
fn with_garbage(world: &World) {
    with_work(world);
    let store = world.open();
    store.apply_layer(None, Box::new(Cursor::new(images::top(20))), &()).unwrap();
    drop(store);
    world.sql("DELETE FROM pins");
}

/// A pull that was killed in the middle.
fn half_pulled(world: &World) {
    with_base(world);
    let mut folders = 0;
    let killed = operation("pull").run_in(world, &mut |call| {
        folders += usize::from(call.name == "mkdirat" && call.path.contains("/data"));
        if folders > 0 && call.name == "write" && call.path.contains("large") {
            Verdict::Kill
        } else {
            Verdict::Go
        }
    });
    assert!(!killed.status.success(), "the pull was to be killed");
}

/// How a run ended.
pub struct Ended {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Operation {
    /// Makes the store that copies are made of.
    pub fn template(&self, driver: &'static str) -> World {
        let world = World::new(driver);
        world.make_layout();
        (self.prepare)(&world);
        world
    }

    /// A copy, ready for the operation.
    pub fn copy(&self, template: &World) -> World {
        let world = template.copy();
        (self.set_up)(&world);
        world
    }

    /// Runs the operation under watch. `decide` hears of every call from the first one on the store on.
    pub fn run_in(&self, world: &World, decide: &mut dyn FnMut(&Call) -> Verdict) -> Ended {
        let (layout, out) = (world.path("layout"), world.path("out"));
        let fill = |word: &&str| {
            word.replace("{layout}", layout.to_str().unwrap()).replace("{out}", out.to_str().unwrap())
        };
        let stderr = world.path("stderr");
        let mut command = world.command(self.arguments.iter().map(fill));
        command.stdout(std::process::Stdio::null()).stderr(File::create(&stderr).unwrap());
        let home = world.path("");
        let mut begun = false;
        let status = watch(&mut command, &mut |call| {
            begun |= call.path.starts_with(home.to_str().unwrap()) && call.path.contains("/store");
            if begun { decide(call) } else { Verdict::Go }
        });
        Ended { status, stderr: std::fs::read_to_string(stderr).unwrap() }
    }
}

/// A layout in which the top layer has not the bytes that the manifest announces.
fn with_false_layer(world: &World) {
    with_base(world);
    let digest = plywood::Digest::of(&crate::images::top(10)).hex();
    let path = world.path("layout/blobs/sha256").join(digest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

/// What the store is before the operation and after it.
pub struct Expected {
    pub template: World,
    pub before: Vec<String>,
    pub after: Vec<String>,
    output: Option<Vec<u8>>,
    /// All calls of a run that nothing disturbs.
    pub calls: Vec<Call>,
}

impl Expected {
    pub fn of(operation: Operation, driver: &'static str) -> Self {
        let template = operation.template(driver);
        let before = operation.copy(&template).recovered().shape();
        let world = operation.copy(&template);
        let mut calls = Vec::new();
        let ended = operation.run_in(&world, &mut |call| {
            calls.push(call.clone());
            Verdict::Go
        });
        let must_fail = operation.name == "pull of another image";
        assert_eq!(ended.status.success(), !must_fail, "{}: {}", operation.name, ended.stderr);
        let output = std::fs::read(world.path("out")).ok();
        Self { after: world.recovered().shape(), template, before, output, calls }
    }

    /// Whether a store is as the operation must leave it, whatever happened: as before or as after, and as after where it said
    /// that it is done.
    pub fn judge(&self, world: &World, ended: &Ended, killed: bool) -> Result<(), String> {
        let shape = world.recovered().shape();
        let done = ended.status.success();
        if ended.stderr.contains("panicked") {
            return Err(format!("it panicked: {}", ended.stderr));
        }
        if !done && !killed && ended.stderr.is_empty() {
            return Err(format!("it failed without a word: {}", ended.status));
        }
        if done && (shape != self.after || std::fs::read(world.path("out")).ok() != self.output) {
            return Err(format!("it said that it is done, and left {shape:#?}, not {:#?}", self.after));
        }
        if shape != self.before && shape != self.after {
            return Err(format!("half: {shape:#?}, neither {:#?} nor {:#?}", self.before, self.after));
        }
        let again = world.recovered().shape();
        if again == shape {
            Ok(())
        } else {
            Err(format!("a second recovery changed {shape:#?} to {again:#?}"))
        }
    }
}
