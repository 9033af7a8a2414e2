//! What a snapshot is: Basic, StatActive, StatCommitted, TransitivityTest, PreareViewFailingtest, ViewReadonly, RootPermission,
//! CloseTwice; and the forms of mounts.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use plywood_snapshotter::proto::snapshots::Kind;
use tonic::Code;

use crate::bench::on_every_driver;
use crate::mounting::mount_all;
use crate::trees::{file, folders, list, remove};

#[test]
fn the_basic_course() {
    on_every_driver(|bench| {
        let plain = bench.work("plain");
        let first = |root: &Path| {
            file(root, "foo", "foo\n", 0o777);
            folders(root, &["a", "a/b", "a/b/c"], 0o755);
        };
        let second = |root: &Path| {
            file(root, "bar", "bar\n", 0o777);
            file(root, "foo", "bar\n", 0o777);
            remove(root, "a/b");
        };
        let preparing = bench.work("preparing");
        let mounted = mount_all(&bench.prepare(&preparing, "").unwrap(), &preparing);
        first(Path::new(&preparing));
        first(Path::new(&plain));
        drop(mounted);
        let committed = bench.work("committed");
        bench.commit(&committed, &preparing).unwrap();
        let info = bench.stat(&committed).unwrap();
        assert_eq!((info.parent.as_str(), info.kind()), ("", Kind::Committed));
        assert_eq!(bench.stat(&preparing).unwrap_err().code(), Code::NotFound);

        let next = bench.work("next");
        let mounted = mount_all(&bench.prepare(&next, &committed).unwrap(), &next);
        assert_eq!(list(Path::new(&next)), list(Path::new(&plain)));
        second(Path::new(&next));
        second(Path::new(&plain));
        drop(mounted);
        let active = bench.stat(&next).unwrap();
        assert_eq!((active.parent.as_str(), active.kind()), (committed.as_str(), Kind::Active));
        let next_committed = bench.work("committed-next");
        bench.commit(&next_committed, &next).unwrap();
        let next_info = bench.stat(&next_committed).unwrap();
        assert_eq!((next_info.parent.as_str(), next_info.kind()), (committed.as_str(), Kind::Committed));
        assert!(bench.stat(&next).is_err());
        let listed = bench.list(&[]).unwrap();
        assert!(listed.contains(&info) && listed.contains(&next_info) && listed.len() == 2);

        let seen = bench.work("seen");
        let mounted = mount_all(&bench.view(&seen, &next_committed).unwrap(), &seen);
        assert_eq!(list(Path::new(&seen)), list(Path::new(&plain)));
        drop(mounted);
        bench.remove(&seen).unwrap();
        let refused = bench.remove(&committed).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("remove"), "{refused}");
        bench.remove(&next_committed).unwrap();
        bench.remove(&committed).unwrap();
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 0);
    });
}

#[test]
fn an_active_and_a_committed_snapshot_say_what_they_are() {
    on_every_driver(|bench| {
        let preparing = bench.work("preparing");
        let mounted = mount_all(&bench.prepare(&preparing, "").unwrap(), &preparing);
        file(Path::new(&preparing), "foo", "foo\n", 0o777);
        let info = bench.stat(&preparing).unwrap();
        assert_eq!((info.name.as_str(), info.parent.as_str()), (preparing.as_str(), ""));
        assert_eq!(info.kind(), Kind::Active);
        // Still mounted, as containerd's suite has it.
        bench.commit("committed", &preparing).unwrap();
        let info = bench.stat("committed").unwrap();
        assert_eq!((info.name.as_str(), info.parent.as_str()), ("committed", ""));
        assert_eq!(info.kind(), Kind::Committed);
        drop(mounted);
    });
}

#[test]
fn parents_are_transitive() {
    on_every_driver(|bench| {
        bench.layer("a", "", |root| file(root, "foo", "foo\n", 0o777));
        bench.layer("b", "a", |root| file(root, "foo", "foo bar\n", 0o777));
        let below = bench.stat(&bench.stat("b").unwrap().parent).unwrap();
        assert_eq!((below.name.as_str(), below.parent.as_str()), ("a", ""));
        assert_eq!(bench.stat("a").unwrap(), below);
    });
}

#[test]
fn a_key_is_taken_once() {
    on_every_driver(|bench| {
        bench.layer("a", "", |_| {});
        bench.prepare("one", "a").unwrap();
        assert_eq!(bench.view("one", "a").unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(bench.prepare("one", "a").unwrap_err().code(), Code::AlreadyExists);
        bench.view("two", "a").unwrap();
        assert_eq!(bench.view("two", "a").unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(bench.prepare("two", "").unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(bench.commit("a", "one").unwrap_err().code(), Code::AlreadyExists);
        // What failed left nothing.
        assert_eq!(bench.layers_on_disk(), 2);
    });
}

#[test]
fn wrong_kinds_and_names_have_their_codes() {
    on_every_driver(|bench| {
        bench.layer("a", "", |_| {});
        bench.prepare("active", "a").unwrap();
        bench.view("view", "a").unwrap();
        let code = |result: Result<(), tonic::Status>| result.unwrap_err().code();
        assert_eq!(code(bench.prepare("x", "absent").map(drop)), Code::NotFound);
        assert_eq!(code(bench.view("x", "absent").map(drop)), Code::NotFound);
        assert_eq!(code(bench.prepare("x", "active").map(drop)), Code::InvalidArgument);
        assert_eq!(code(bench.view("x", "view").map(drop)), Code::InvalidArgument);
        assert_eq!(code(bench.prepare("", "").map(drop)), Code::InvalidArgument);
        assert_eq!(code(bench.mounts("a").map(drop)), Code::FailedPrecondition);
        assert_eq!(code(bench.mounts("absent").map(drop)), Code::NotFound);
        assert_eq!(code(bench.commit("y", "absent")), Code::NotFound);
        assert_eq!(code(bench.commit("y", "view")), Code::FailedPrecondition);
        assert_eq!(code(bench.commit("y", "a")), Code::FailedPrecondition);
        assert_eq!(code(bench.remove("absent")), Code::NotFound);
        assert_eq!(code(bench.usage("absent").map(drop)), Code::NotFound);
        assert_eq!(code(bench.list(&["kind="]).map(drop)), Code::InvalidArgument);
    });
}

#[test]
fn a_view_is_read_only() {
    on_every_driver(|bench| {
        bench.layer("empty", "", |_| {});
        bench.layer("one", "empty", |root| file(root, "f", "1", 0o644));
        for (key, parent) in [("on-nothing", ""), ("on-one", "empty"), ("on-two", "one")] {
            let at = bench.work(key);
            let mounts = bench.view(key, parent).unwrap();
            assert_eq!(mounts, bench.mounts(key).unwrap());
            let mounted = mount_all(&mounts, &at);
            let error = fs::write(Path::new(&at).join("new"), "content").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{key}");
            drop(mounted);
            bench.remove(key).unwrap();
        }
    });
}

#[test]
fn a_fresh_root_has_the_mode_0755() {
    on_every_driver(|bench| {
        let preparing = bench.work("preparing");
        let mounted = mount_all(&bench.prepare(&preparing, "").unwrap(), &preparing);
        let mode = fs::metadata(&preparing).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o755);
        drop(mounted);
    });
}

#[test]
fn mounts_have_containerds_form() {
    on_every_driver(|bench| {
        bench.layer("a", "", |_| {});
        bench.layer("b", "a", |_| {});
        let kind = |mounts: &[plywood_snapshotter::proto::types::Mount]| mounts[0].r#type.clone();
        let bound = |mounts: &[plywood_snapshotter::proto::types::Mount], access: &str| {
            if bench.driver == "fuse-union" {
                // One layer alone, too: what it says to overlays is data.
                assert!(kind(mounts).starts_with("fuse3./"), "{mounts:?}");
                assert_eq!(
                    mounts[0].options.iter().any(|option| option == "ro"),
                    access == "ro",
                    "{mounts:?}"
                );
                return;
            }
            assert_eq!(
                (kind(mounts), &mounts[0].options[..]),
                ("bind".into(), &[access.into(), "rbind".into()][..])
            );
        };
        bound(&bench.prepare("base", "").unwrap(), "rw");
        bound(&bench.view("nothing", "").unwrap(), "ro");
        bound(&bench.view("single", "a").unwrap(), "ro");
        let (write, read) = (bench.prepare("top", "b").unwrap(), bench.view("seen", "b").unwrap());
        if bench.driver == "vfs" {
            bound(&write, "rw");
            bound(&read, "ro");
            return;
        }
        let has = |mounts: &[plywood_snapshotter::proto::types::Mount], start: &str| {
            mounts[0].options.iter().any(|option| option.starts_with(start))
        };
        if bench.driver == "fuse-union" {
            assert!(
                kind(&write).starts_with("fuse3./") && kind(&write).ends_with("/fuse-union"),
                "{write:?}"
            );
            assert_eq!(kind(&read), kind(&write));
        } else {
            assert_eq!((kind(&write), kind(&read)), ("overlay".into(), "overlay".into()));
            assert!(has(&write, "index=off"), "{write:?}");
        }
        for start in ["workdir=/", "upperdir=/", "lowerdir=/"] {
            assert!(has(&write, start), "{write:?}");
        }
        assert!(has(&read, "lowerdir=") && !has(&read, "upperdir") && !has(&read, "workdir"), "{read:?}");
        let folder = bench.home();
        let upper = write[0].options.iter().find_map(|option| option.strip_prefix("upperdir=")).unwrap();
        assert!(Path::new(upper).starts_with(folder) && Path::new(upper).is_dir());
    });
}

#[test]
fn ids_are_mapped_where_labels_say_so() {
    on_every_driver(|bench| {
        let map = [
            ("containerd.io/snapshot/uidmapping", "0:1000:65536"),
            ("containerd.io/snapshot/gidmapping", "0:2000:65536"),
        ];
        bench.layer("a", "", |_| {});
        bench.layer("b", "a", |_| {});
        for parent in ["", "b"] {
            let key = format!("mapped-on-{parent}");
            let mounts = bench.prepare_with(&key, parent, &map).unwrap();
            assert_eq!(mounts[0].options[..2], ["uidmap=0:1000:65536", "gidmap=0:2000:65536"]);
            assert_eq!(bench.mounts(&key).unwrap(), mounts);
            let lower = mounts[0].options.iter().find_map(|option| option.strip_prefix("lowerdir="));
            for folder in lower.unwrap_or_default().split(':').filter(|folder| !folder.is_empty()) {
                assert!(!fs::symlink_metadata(folder).unwrap().is_symlink(), "{folder}");
            }
            let upper = mounts[0].options.iter().find_map(|option| option.strip_prefix("upperdir="));
            let root = fs::metadata(upper.unwrap_or(&mounts[0].source)).unwrap();
            assert_eq!((root.uid(), root.gid()), (1000, 2000));
        }
        let wrong = [("containerd.io/snapshot/uidmapping", "1:2"), map[1]];
        let refused = bench.prepare_with("wrong", "", &wrong).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    });
}
