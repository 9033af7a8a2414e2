//! The whole course: an image imported, a container run, its changes taken and committed, everything removed.

use crate::DRIVERS;
use crate::engine::{Engine, succeed};
use crate::image::{LAYERS, import, make};

#[test]
fn an_image_is_imported_run_changed_and_removed() {
    for driver in DRIVERS {
        let engine = Engine::new(driver);
        let archive = make(&engine, "course", 20);
        import(&engine, &archive);
        assert_eq!(engine.layers_on_disk(), LAYERS);
        assert_eq!(engine.count("snapshots"), LAYERS as u64);
        runs_once(&engine);
        changes_are_taken(&engine);
        images_are_mounted(&engine);
        engine.check();
        engine.run("image rm --sync localhost/course:1");
        engine.assert_left_empty();
    }
}

fn runs_once(engine: &Engine) {
    let script = "cat /data/name; test ! -e /etc/deleted && echo x > /data/name && rm /data/file-0 && ls /data/file-0 || echo :gone";
    let said = engine.run(&format!("run % --rm localhost/course:1 once /bin/sh -c '{script}'"));
    assert_eq!(said, "course:gone\n");
    let again = engine.run("run % --rm localhost/course:1 twice /bin/cat /data/name /data/file-0");
    assert!(again.starts_with("course") && again.contains("course 0"), "what a container wrote is its own");
}

fn changes_are_taken(engine: &Engine) {
    let script = "echo written > /data/new; rm /data/file-1; sync; sleep 1000";
    engine.run(&format!("run -d % localhost/course:1 writer /bin/sh -c '{script}'"));
    engine.wait("what the container writes", |engine| {
        engine.attempt("task exec --exec-id look writer /bin/sh -c 'test ! -e /data/file-1'").status.success()
    });
    let usage = engine.run("snapshots % usage writer");
    assert!(usage.lines().any(|line| line.starts_with("writer")), "{usage}");
    let mut diff = engine.ctr(["snapshots", "--snapshotter", "plywood", "diff", "writer"]);
    let tar = engine.path("diff.tar");
    assert!(diff.stdout(std::fs::File::create(&tar).unwrap()).status().unwrap().success());
    let names = succeed(std::process::Command::new("tar").arg("-tf").arg(&tar));
    let names: Vec<&str> = names.lines().collect();
    assert!(names.contains(&"data/new") && names.contains(&"data/.wh.file-1"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("file-2") || name.contains("busybox")), "{names:?}");

    engine.run("task kill -s KILL writer");
    engine.wait("the end", |engine| engine.attempt("task rm writer").status.success());
    engine.run("snapshots % commit kept writer");
    assert!(engine.run("snapshots % info kept").contains("Committed"));
    engine.run("snapshots % prepare on-kept kept");
    engine.run("snapshots % rm on-kept");
    engine.run("snapshots % rm kept");
    engine.run("container rm writer");
}

fn images_are_mounted(engine: &Engine) {
    let target = engine.path("mounted");
    std::fs::create_dir(&target).unwrap();
    let at = target.display();
    engine.run(&format!("image mount % localhost/course:1 {at}"));
    assert_eq!(std::fs::read_to_string(target.join("data/name")).unwrap(), "course");
    assert!(!target.join("etc/deleted").exists());
    assert!(std::fs::write(target.join("data/name"), "").is_err(), "it is read-only");
    engine.run(&format!("image unmount % --rm {at}"));
}
