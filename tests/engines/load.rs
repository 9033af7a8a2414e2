//! Many images at once, and many containers.

use std::time::Instant;

use crate::DRIVERS;
use crate::engine::Engine;
use crate::image::make;

/// Containers that are alive at one time.
const AT_ONCE: usize = 4;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn many_images_and_containers_leave_nothing() {
    let (images, containers) =
        (number("PLYWOOD_ENGINES_IMAGES", 4), number("PLYWOOD_ENGINES_CONTAINERS", 12));
    for driver in DRIVERS {
        let engine = Engine::new(driver);
        let archives: Vec<String> =
            (0..images).map(|image| make(&engine, &format!("load-{image}"), 100)).collect();
        let started = Instant::now();
        let imports: Vec<_> =
            archives.iter().map(|archive| engine.begin(&format!("image import % {archive}"))).collect();
        for mut import in imports {
            assert!(import.wait().unwrap().success(), "an import failed");
        }
        eprintln!("{driver}: {images} imports at once in {:?}", started.elapsed());
        let started = Instant::now();
        std::thread::scope(|scope| {
            for worker in 0..AT_ONCE {
                let engine = &engine;
                scope.spawn(move || {
                    for container in (worker..containers).step_by(AT_ONCE) {
                        runs(engine, container % images, container);
                    }
                });
            }
        });
        eprintln!("{driver}: {containers} containers in {:?}", started.elapsed());
        engine.check();
        let names: Vec<String> = (0..images).map(|image| format!("localhost/load-{image}:1")).collect();
        engine.run(&format!("image rm --sync {}", names.join(" ")));
        engine.assert_left_empty();
    }
}

fn runs(engine: &Engine, image: usize, container: usize) {
    let script = "cat /data/name; echo x > /data/own";
    let said = engine
        .run(&format!("run % --rm localhost/load-{image}:1 container-{container} /bin/sh -c '{script}'"));
    assert_eq!(said, format!("load-{image}"));
}
