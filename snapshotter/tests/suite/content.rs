//! What is written into a snapshot is in those on it: LayerFileupdate, RemoveDirectoryInLowerLayer, Chown, DirectoryPermissionOnCommit,
//! DeletedFilesInChildSnapshot, MoveFileFromLowerLayer, Rename.

use std::fs;
use std::path::Path;

use crate::bench::{Bench, on_every_driver};
use crate::mounting::mount_all;
use crate::trees::{Change, file, folder, folders, list, own, own_all, remove};

/// Makes a snapshot of each change on the one before, and compares its tree, and a view of it, with a plain folder.
fn compare(bench: &Bench, name: &str, changes: &[Change]) {
    let plain = bench.work(&format!("{name}-plain"));
    let mut parent = String::new();
    for (number, change) in changes.iter().enumerate() {
        let key = bench.work(&format!("{name}-{number}"));
        let mounts = bench.prepare(&key, &parent).unwrap();
        let mounted = mount_all(&mounts, &key);
        assert_eq!(list(Path::new(&key)), list(Path::new(&plain)), "{name}, layer {number}, before");
        change(Path::new(&plain));
        change(Path::new(&key));
        assert_eq!(list(Path::new(&key)), list(Path::new(&plain)), "{name}, layer {number}, after");
        drop(mounted);
        parent = format!("{key}-committed");
        bench.commit(&parent, &key).unwrap();
        let at = bench.work(&format!("{name}-{number}-view"));
        let mounts = bench.view(&at, &parent).unwrap();
        let mounted = mount_all(&mounts, &at);
        assert_eq!(list(Path::new(&at)), list(Path::new(&plain)), "{name}, layer {number}, seen");
        drop(mounted);
    }
}

#[test]
fn files_updated_in_an_upper_layer() {
    on_every_driver(|bench| {
        for round in 0..3 {
            compare(
                bench,
                &format!("update-{round}"),
                &[
                    |root| {
                        folder(root, "etc", 0o700);
                        file(root, "etc/hosts", "mydomain 10.0.0.1", 0o644);
                        file(root, "etc/profile", "PATH=/usr/bin", 0o644);
                    },
                    |root| {
                        file(root, "etc/hosts", "mydomain 10.0.0.2", 0o644);
                        file(root, "etc/profile", "PATH=/usr/bin", 0o666);
                        folder(root, "root", 0o700);
                        file(root, "root/.bashrc", "PATH=/usr/sbin:/usr/bin", 0o644);
                    },
                ],
            );
        }
    });
}

#[test]
fn a_folder_of_a_lower_layer_replaced() {
    on_every_driver(|bench| {
        compare(
            bench,
            "replaced",
            &[
                |root| {
                    folder(root, "lib", 0o700);
                    file(root, "lib/hidden", "", 0o644);
                },
                |root| {
                    remove(root, "lib");
                    folder(root, "lib", 0o700);
                    file(root, "lib/not-hidden", "", 0o644);
                },
                |root| file(root, "lib/new", "", 0o644),
            ],
        );
    });
}

#[test]
fn owners_changed() {
    on_every_driver(|bench| {
        compare(
            bench,
            "owners",
            &[
                |root| {
                    folders(root, &["opt", "opt/a", "opt/a/b"], 0o700);
                    file(root, "opt/a/b/file.txt", "hello", 0o644);
                },
                |root| {
                    own_all(root, &["opt", "opt/a", "opt/a/b", "opt/a/b/file.txt"], 1);
                },
            ],
        );
    });
}

#[test]
fn modes_and_owners_of_folders_are_committed() {
    on_every_driver(|bench| {
        compare(
            bench,
            "folders",
            &[
                |root| {
                    folders(root, &["dir1", "dir2", "dir3", "dir4", "dir5"], 0o700);
                    file(root, "dir4/f1", "...", 0o644);
                    file(root, "dir5/f1", "...", 0o644);
                    own_all(root, &["dir1", "dir2", "dir3", "dir5", "dir5/f1"], 1);
                },
                |root| {
                    own(root, "dir2", 0);
                    remove(root, "dir3");
                    own(root, "dir4", 1);
                    own(root, "dir4/f1", 1);
                },
                |root| {
                    folder(root, "dir3", 0o700);
                    own(root, "dir3", 1);
                    remove(root, "dir5");
                    folder(root, "dir5", 0o700);
                    own(root, "dir5", 1);
                },
            ],
        );
    });
}

#[test]
fn files_deleted_in_a_child() {
    on_every_driver(|bench| {
        compare(
            bench,
            "deleted",
            &[
                |root| {
                    file(root, "foo", "foo\n", 0o777);
                    file(root, "foobar", "foobar\n", 0o777);
                },
                |root| remove(root, "foobar"),
                |_| {},
            ],
        );
    });
}

#[test]
fn files_moved_from_a_lower_layer() {
    on_every_driver(|bench| {
        compare(
            bench,
            "moved",
            &[
                |root| {
                    folder(root, "dir1", 0o700);
                    file(root, "dir1/f1", "Hello", 0o644);
                    folder(root, "dir2", 0o700);
                    file(root, "dir2/f2", "...", 0o644);
                },
                |root| {
                    folder(root, "dir3", 0o700);
                    file(root, "dir3/f1", "Hello", 0o644);
                    remove(root, "dir1");
                    fs::hard_link(root.join("dir2/f2"), root.join("dir3/f2")).unwrap();
                    remove(root, "dir2/f2");
                },
            ],
        );
    });
}

#[test]
fn files_and_folders_renamed() {
    on_every_driver(|bench| {
        compare(
            bench,
            "renamed",
            &[
                |root| {
                    folder(root, "dir1", 0o700);
                    folder(root, "somefiles", 0o700);
                    file(root, "somefiles/f1", "was here first!", 0o644);
                    file(root, "somefiles/f2", "nothing interesting", 0o644);
                },
                |root| {
                    // A folder of a lower layer is not renamed by overlayfs without redirect_dir: programs copy it then, and
                    // containerd's suite leaves it out for that driver.
                    if let Err(error) = fs::rename(root.join("dir1"), root.join("dir2")) {
                        assert_eq!(error.kind(), std::io::ErrorKind::CrossesDevices);
                        folder(root, "dir2", 0o700);
                        remove(root, "dir1");
                    }
                    file(root, "somefiles/f1-overwrite", "new content 1", 0o644);
                    fs::rename(root.join("somefiles/f1-overwrite"), root.join("somefiles/f1")).unwrap();
                    fs::rename(root.join("somefiles/f2"), root.join("somefiles/f3")).unwrap();
                },
            ],
        );
    });
}
