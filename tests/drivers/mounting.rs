//! Mounts: many layers, restrictions, use.

use std::fs;

use plywood_graphdriver::{Access, ErrorKind, LayerRef, MountRequest};

use crate::bench::on_every_driver;
use crate::tarball::Tarball;

#[test]
fn five_hundred_layers_are_read_through_a_mount() {
    on_every_driver(|bench| {
        // A vfs layer is a copy of all below it: fifty of them do.
        let depth = if bench.driver.name() == "vfs" { 50_u16 } else { 500 };
        for number in 0..depth {
            let tar = Tarball::new()
                .file("which", &number.to_string())
                .file(&format!("files/{number}"), "x")
                .done();
            let id = plywood_graphdriver::LayerId::from_bytes(std::array::from_fn(|at| {
                number.to_le_bytes().get(at).copied().unwrap_or(0xee)
            }));
            bench.apply(&id, &mut &tar[..]).unwrap();
            let parents = bench.parents(bench.chain.len());
            bench.driver.seal(LayerRef::new(&id, &parents), None).unwrap();
            bench.chain.push(id);
        }
        bench.look(|root| {
            assert_eq!(fs::read_to_string(root.join("which")).unwrap(), (depth - 1).to_string());
            assert_eq!(fs::read_dir(root.join("files")).unwrap().count(), usize::from(depth));
        });
        bench.change(|root| fs::write(root.join("files/0"), "changed").unwrap());
        assert_eq!(bench.changes(), ["C /files", "C /files/0"]);
    });
}

#[test]
fn a_sealed_layer_takes_no_writes_and_an_inspection_nothing_at_all() {
    on_every_driver(|bench| {
        bench.layer(&Tarball::new().file("f", "x").done());
        let layer = LayerRef::new(&bench.chain[0], &[]);
        let target = bench.folder.path().join("mounted");
        let error = bench.driver.mount(layer, &MountRequest::read_write(), &target).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        let mounted = bench.driver.mount(layer, &MountRequest::inspection(), &target).unwrap();
        assert_eq!(
            fs::write(target.join("g"), "").unwrap_err().kind(),
            std::io::ErrorKind::ReadOnlyFilesystem
        );
        let line = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = line.lines().find(|line| line.contains(target.to_str().unwrap())).unwrap().to_owned();
        assert!(line.contains(" ro,nosuid,nodev"), "{line}");
        mounted.unmount().unwrap();
    });
}

#[test]
fn what_is_mounted_is_neither_removed_nor_unmounted_under_open_files() {
    on_every_driver(|bench| {
        bench.layer(&Tarball::new().file("f", "x").done());
        let id = bench.new_id();
        let layer = LayerRef::new(&id, &bench.chain);
        bench.driver.snapshot(layer, Access::ReadWrite).unwrap();
        let target = bench.folder.path().join("mounted");
        let mounted = bench.driver.mount(layer, &MountRequest::read_write(), &target).unwrap();
        for used in [&id, &bench.chain[0]] {
            // A vfs layer is not below another once that is made.
            if bench.driver.name() == "overlay2" || used == &id {
                assert_eq!(bench.driver.remove(used).unwrap_err().kind, ErrorKind::InUse);
            }
        }
        let open = fs::File::open(target.join("f")).unwrap();
        assert_eq!(mounted.unmount().unwrap_err().kind, ErrorKind::InUse);
        drop(open);
        plywood_sys::mount::detach(&target).unwrap();
        bench.driver.remove(&id).unwrap();
    });
}

#[test]
fn dropping_a_mount_takes_it_down() {
    on_every_driver(|bench| {
        bench.layer(&Tarball::new().file("f", "x").done());
        let target = bench.folder.path().join("mounted");
        drop(
            bench
                .driver
                .mount(LayerRef::new(&bench.chain[0], &[]), &MountRequest::inspection(), &target)
                .unwrap(),
        );
        assert!(!plywood_sys::mountinfo::is_mounted(&target).unwrap());
    });
}
