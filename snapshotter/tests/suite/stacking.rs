//! Many layers: 128LayersMount; and parents that are told with the commit only, as containerd 2.2 does it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plywood_snapshotter::proto::snapshots::Kind;
use tonic::Code;

use crate::bench::{Bench, on_every_driver};
use crate::mounting::mount_all;
use crate::trees::{file, folder, list, remove};

fn change(root: &Path, number: usize) {
    if number == 0 {
        file(root, "bottom", "way at the bottom\n", 0o777);
        file(root, "overwriteme", "FIRST!\n", 0o777);
        folder(root, "addhere", 0o755);
        folder(root, "onlyme", 0o755);
        return file(root, "onlyme/bottom", "bye!\n", 0o777);
    }
    file(root, "overwriteme", &format!("{number} WAS HERE!\n"), 0o777);
    file(root, &format!("addhere/file-{number}"), "same\n", 0o755);
    remove(root, "onlyme");
    folder(root, "onlyme", 0o755);
    file(root, &format!("onlyme/file-{number}"), "only me!\n", 0o777);
}

#[test]
fn a_view_of_128_layers_is_mounted() {
    on_every_driver(|bench| {
        let plain = bench.work("plain");
        let mut parent = String::new();
        for number in 0..128 {
            let key = bench.work(&format!("prepare-layer-{number}"));
            let mounted = mount_all(&bench.prepare(&key, &parent).unwrap(), &key);
            assert_eq!(list(Path::new(&key)), list(Path::new(&plain)), "layer {number}, before");
            change(Path::new(&plain), number);
            change(Path::new(&key), number);
            assert_eq!(list(Path::new(&key)), list(Path::new(&plain)), "layer {number}, after");
            drop(mounted);
            parent = format!("{key}-committed");
            bench.commit(&parent, &key).unwrap();
        }
        let at = bench.work("whole");
        let mounts = bench.view(&at, &parent).unwrap();
        let length: usize = mounts[0].options.iter().map(|option| option.len() + 1).sum();
        println!("{}: {length} bytes of options", bench.driver);
        let mounted = mount_all(&mounts, &at);
        assert_eq!(list(Path::new(&at)), list(Path::new(&plain)));
        drop(mounted);
    });
}

/// At a root as short as the usual one, even so many layers fit into a page without anybody shortening anything.
#[test]
fn names_of_layers_are_short() {
    let bench = Bench::new("overlay2");
    bench.layer("a", "", |_| {});
    bench.layer("b", "a", |_| {});
    let mounts = bench.view("v", "b").unwrap();
    let lower = mounts[0].options.iter().find_map(|option| option.strip_prefix("lowerdir=")).unwrap();
    let home = bench.home().display().to_string();
    let each = lower.split(':').map(|folder| folder.strip_prefix(&home).unwrap().len());
    // "/l/" and eight digits.
    assert!(each.clone().all(|length| length == 11), "{lower}");
}

/// As containerd writes a layer that it unpacks at once with its parents: straight into the upper folder, deletions as overlayfs has them.
fn unpack(bench: &Bench, key: &str, write: impl FnOnce(&Path)) {
    let mounts = bench.prepare(key, "").unwrap();
    let upper = mounts[0].options.iter().find_map(|option| option.strip_prefix("upperdir="));
    assert_eq!(mounts[0].r#type, "overlay", "{mounts:?}");
    let at = bench.work(&key.replace('/', "-"));
    drop(mount_all(&mounts, &at));
    write(Path::new(upper.unwrap()));
}

#[test]
fn a_parent_may_come_with_the_commit() {
    let bench = Bench::new("overlay2");
    let mode = nix::sys::stat::SFlag::S_IFCHR;
    unpack(&bench, "default/1/extract-1 sha256:a", |root| {
        file(root, "kept", "1", 0o644);
        file(root, "deleted", "1", 0o644);
    });
    unpack(&bench, "default/2/extract-2 sha256:b", |root| {
        file(root, "new", "2", 0o644);
        nix::sys::stat::mknod(&root.join("deleted"), mode, nix::sys::stat::Mode::empty(), 0).unwrap();
    });
    let (first, second) = ("default/3/sha256:a", "default/4/sha256:b");
    let refused = bench.commit_with(second, "default/2/extract-2 sha256:b", first, &[]).unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    bench.commit(first, "default/1/extract-1 sha256:a").unwrap();
    bench.commit_with(second, "default/2/extract-2 sha256:b", first, &[]).unwrap();
    let info = bench.stat(second).unwrap();
    assert_eq!((info.parent.as_str(), info.kind()), (first, Kind::Committed));
    assert_eq!(bench.remove(first).unwrap_err().code(), Code::FailedPrecondition);
    let at = bench.work("seen");
    let mounted = mount_all(&bench.view("seen", second).unwrap(), &at);
    let names: Vec<String> =
        list(Path::new(&at)).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["kept", "new"]);
    drop(mounted);

    bench.prepare("active", second).unwrap();
    let refused = bench.commit_with("c", "active", first, &[]).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    bench.prepare("other", "").unwrap();
    let refused = bench.commit_with("c", "other", "active", &[]).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    bench.commit_with("c", "active", second, &[]).unwrap();
    bench.check();
}

#[test]
fn whole_trees_take_no_parent_with_the_commit() {
    let bench = Bench::new("vfs");
    bench.layer("a", "", |_| {});
    bench.prepare("active", "").unwrap();
    let refused = bench.commit_with("b", "active", "a", &[]).unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    bench.commit("b", "active").unwrap();
    bench.check();
}

#[test]
fn the_root_of_a_layer_is_as_in_its_parent() {
    on_every_driver(|bench| {
        bench.layer("a", "", |root| {
            std::os::unix::fs::chown(root, Some(7), Some(8)).unwrap();
        });
        let key = bench.work("b");
        let mounted = mount_all(&bench.prepare(&key, "a").unwrap(), &key);
        let root = fs::metadata(&key).unwrap();
        assert_eq!((root.uid(), root.gid()), (7, 8));
        drop(mounted);
    });
}
