//! The snapshotter killed, in the middle of an unpacking and of a container's life, and a disk that fails.

use std::time::Duration;

use crate::DRIVERS;
use crate::engine::{Engine, end_process};
use crate::image::{LAYERS, import, make};

#[test]
fn an_unpacking_goes_on_after_the_snapshotter_was_killed() {
    for driver in DRIVERS {
        let mut engine = Engine::new(driver);
        let archive = make(&engine, "unpacked", 3000);
        for wait in [30, 90, 200, 400, 800] {
            let mut importing = engine.begin(&format!("image import % {archive}"));
            std::thread::sleep(Duration::from_millis(wait));
            engine.kill_snapshotter();
            importing.wait().unwrap();
            engine.restart_snapshotter();
            engine.check();
        }
        import(&engine, &archive);
        let said = engine.run("run % --rm localhost/unpacked:1 one /bin/cat /data/name /data/file-2999");
        assert!(said.starts_with("unpacked") && said.contains("unpacked 2999"), "{said}");
        engine.run("image rm --sync localhost/unpacked:1");
        // What a call had made whose answer was lost, containerd collects with its next removal.
        let archive = make(&engine, "next", 1);
        import(&engine, &archive);
        engine.wait("the collection of what was lost", |engine| engine.layers_on_disk() == LAYERS);
        engine.run("image rm --sync localhost/next:1");
        engine.assert_left_empty();
    }
}

#[test]
fn containers_live_on_while_the_snapshotter_is_killed() {
    for driver in DRIVERS {
        let mut engine = Engine::new(driver);
        let archive = make(&engine, "alive", 10);
        import(&engine, &archive);
        engine.run("run -d % localhost/alive:1 living /bin/sh -c 'while true; do echo x >> /data/log; sleep 0.05; done'");
        engine.kill_snapshotter();
        let in_it = "task exec --exec-id a living /bin/sh -c 'echo more > /data/more; cat /data/more'";
        assert_eq!(engine.run(in_it), "more\n");
        let refused = engine.attempt("run % --rm localhost/alive:1 other /bin/echo");
        assert!(!refused.status.success(), "nobody serves");
        engine.restart_snapshotter();
        assert!(engine.run("snapshots % ls").contains("living"));
        let said = engine.run("run % --rm localhost/alive:1 other /bin/cat /data/name");
        assert_eq!(said, "alive");
        // In the middle of removals as well.
        engine.end("living");
        engine.restart_snapshotter();
        engine.run("image rm --sync localhost/alive:1");
        engine.assert_left_empty();
    }
}

/// The kernel tells once that a write failed: what was not told of to a commit must not be lost by the next one.
#[test]
fn a_layer_that_could_not_be_written_is_never_committed() {
    for driver in DRIVERS {
        let engine = Engine::new(driver);
        let archive = make(&engine, "failing", 10);
        let strace = engine.fail_syncs();
        let failed = engine.attempt(&format!("image import % {archive}"));
        assert!(!failed.status.success());
        engine.run("snapshots % prepare active");
        let failed = engine.attempt("snapshots % commit committed active");
        assert!(String::from_utf8_lossy(&failed.stderr).contains("Input/output error"), "{failed:?}");
        end_process(strace);
        let failed = engine.attempt("snapshots % commit committed active");
        assert!(String::from_utf8_lossy(&failed.stderr).contains("is damaged"), "{failed:?}");
        engine.run("snapshots % rm active");
        import(&engine, &archive);
        engine.run("image rm --sync localhost/failing:1");
        engine.assert_left_empty();
    }
}
