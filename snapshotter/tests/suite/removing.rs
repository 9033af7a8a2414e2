//! Removals: Remove, RemoveIntermediateSnapshot; and usage.

use std::path::Path;

use tonic::Code;

use crate::bench::on_every_driver;
use crate::mounting::mount_all;
use crate::trees::file;

#[test]
fn keys_are_used_again() {
    on_every_driver(|bench| {
        bench.prepare("committed-a", "").unwrap();
        bench.commit("committed-1", "committed-a").unwrap();
        bench.prepare("reuse-1", "committed-1").unwrap();
        bench.remove("reuse-1").unwrap();
        bench.view("reuse-1", "committed-1").unwrap();
        bench.remove("reuse-1").unwrap();
        bench.prepare("reuse-1", "").unwrap();
        bench.remove("committed-1").unwrap();
        bench.commit("committed-1", "reuse-1").unwrap();
    });
}

#[test]
fn what_others_stand_on_stays() {
    on_every_driver(|bench| {
        bench.layer("base", "", |_| {});
        bench.layer("between", "base", |_| {});
        bench.prepare("top", "between").unwrap();
        bench.view("seen", "between").unwrap();
        let refused = |key| assert_eq!(bench.remove(key).unwrap_err().code(), Code::FailedPrecondition);
        refused("between");
        refused("base");
        bench.remove("top").unwrap();
        refused("between");
        bench.remove("seen").unwrap();
        bench.remove("between").unwrap();
        bench.remove("base").unwrap();
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 0);
        assert_eq!(bench.list(&[]).unwrap(), []);
    });
}

#[test]
fn what_is_still_mounted_is_removed_once_it_is_not() {
    on_every_driver(|bench| {
        let key = bench.work("busy");
        let mounted = mount_all(&bench.prepare(&key, "").unwrap(), &key);
        bench.remove(&key).unwrap();
        assert_eq!(bench.stat(&key).unwrap_err().code(), Code::NotFound);
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 1);
        bench.prepare(&key, "").unwrap();
        drop(mounted);
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 1, "the new one alone");
    });
}

#[test]
fn usage_is_the_layers_own() {
    on_every_driver(|bench| {
        bench.layer("a", "", |root| file(root, "f", &"x".repeat(10_000), 0o644));
        let key = bench.work("b");
        let mounted = mount_all(&bench.prepare(&key, "a").unwrap(), &key);
        assert_eq!(bench.usage(&key).unwrap().size, 0);
        file(Path::new(&key), "g", &"x".repeat(5_000), 0o644);
        file(Path::new(&key), "h", "", 0o644);
        let active = bench.usage(&key).unwrap();
        assert_eq!((active.size, active.inodes), (5_000, 2));
        drop(mounted);
        bench.commit("b", &key).unwrap();
        assert_eq!(bench.usage("b").unwrap(), active);
        assert_eq!(bench.usage("a").unwrap().size, 10_000);
        bench.view("v", "b").unwrap();
        assert_eq!(bench.usage("v").unwrap().size, 0);
    });
}
