//! Two of containerd's namespaces have one image: its layers are on the disk once.

use crate::DRIVERS;
use crate::engine::Engine;
use crate::image::{LAYERS, make};

#[test]
fn namespaces_share_layers_on_the_disk() {
    for driver in DRIVERS {
        let engine = Engine::new(driver);
        let archive = make(&engine, "shared", 50);
        for (number, namespace) in ["one", "two"].into_iter().enumerate() {
            engine.run(&format!("-n {namespace} image import % {archive}"));
            assert_eq!(engine.count("snapshots"), (LAYERS * (number + 1)) as u64);
        }
        engine.wait("the removal of what is there twice", |engine| engine.layers_on_disk() == LAYERS);
        engine.check();
        engine.run("-n one image rm --sync localhost/shared:1");
        engine.wait("the collection in one", |engine| engine.count("snapshots") == LAYERS as u64);
        assert_eq!(engine.layers_on_disk(), LAYERS);
        let said = engine.run("-n two run % --rm localhost/shared:1 c /bin/cat /data/name");
        assert_eq!(said, "shared");
        engine.run("-n two image rm --sync localhost/shared:1");
        engine.assert_left_empty();
    }
}
