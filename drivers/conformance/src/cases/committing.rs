//! What a commit carries on to the layers above: deletions, owners, permissions, moves.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::Tarball;

cases! {
    "committing";
    a_folder_removed_and_made_again_is_new: [Mounts],
    a_folder_removed_in_one_layer_and_made_again_in_the_next_is_new: [Mounts],
    a_removed_file_stays_removed_for_layers_above: [Mounts],
    an_owner_changed_stays_changed: [Mounts, Root],
    permissions_of_folders_outlive_the_commit: [Mounts, Root],
    permissions_of_the_root_outlive_the_commit: [Mounts, Root],
    a_file_of_below_is_moved_by_link_and_delete: [Mounts],
    folders_are_renamed_as_mv_does: [Mounts],
    a_rewrite_of_the_same_size_is_seen_through_every_layer: [Mounts],
}

fn read(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join(name)).unwrap()
}

fn a_folder_removed_and_made_again_is_new(bench: &mut Bench) {
    let base =
        Tarball::new().folder("d/", 0o700).file("d/old", "x").file("d/sub/old", "x").file("d/both", "old");
    bench.layer(&base.done());
    bench.change(|root| {
        fs::remove_dir_all(root.join("d")).unwrap();
        fs::create_dir(root.join("d")).unwrap();
        assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 0, "the old shows through the new");
        fs::create_dir(root.join("d/sub")).unwrap();
        fs::write(root.join("d/both"), "new").unwrap();
    });
    let expected = ["C /d", "C /d/both", "D /d/old", "C /d/sub", "D /d/sub/old"];
    assert_eq!(bench.changes(), expected);
    let shown = ["/d folder 755 0:0", "/d/both file 'new' 644 0:0", "/d/sub folder 755 0:0"];
    assert_eq!(below(&bench.tree(), "/d"), shown);
    bench.round_trip();
    bench.snapshot();
    assert_eq!(below(&bench.tree(), "/d"), shown);
}

fn a_folder_removed_in_one_layer_and_made_again_in_the_next_is_new(bench: &mut Bench) {
    bench.layer(&Tarball::new().folder("d/", 0o700).file("d/old", "x").file("d/sub/old", "x").done());
    bench.change(|root| fs::remove_dir_all(root.join("d")).unwrap());
    assert_eq!(bench.changes(), ["D /d"]);
    bench.round_trip();
    bench.change(|root| {
        fs::create_dir_all(root.join("d/sub")).unwrap();
        assert_eq!(fs::read_dir(root.join("d/sub")).unwrap().count(), 0);
        fs::write(root.join("d/new"), "n").unwrap();
    });
    assert_eq!(bench.changes(), ["A /d", "A /d/new", "A /d/sub"]);
    bench.round_trip();
    assert_eq!(
        below(&bench.tree(), "/d"),
        ["/d folder 755 0:0", "/d/new file 'n' 644 0:0", "/d/sub folder 755 0:0"]
    );
}

fn a_removed_file_stays_removed_for_layers_above(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", "x").file("d/g", "y").done());
    bench.commit(|root| {
        fs::remove_file(root.join("f")).unwrap();
        fs::remove_file(root.join("d/g")).unwrap();
    });
    for _ in 0..3 {
        bench.commit(|root| assert!(!root.join("f").exists() && !root.join("d/g").exists()));
    }
    bench.change(|root| fs::write(root.join("f"), "again").unwrap());
    assert_eq!(bench.changes(), ["A /f"]);
    bench.look(|root| {
        assert_eq!(read(root, "f"), "again");
        assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 0);
    });
}

fn an_owner_changed_stays_changed(bench: &mut Bench) {
    let base = Tarball::new()
        .file("opt/a/file.txt", "hello")
        .file("opt/a/b/file.txt", "hello")
        .symlink("opt/l", "a");
    bench.layer(&base.done());
    bench.commit(|root| {
        chown(root.join("opt"), Some(1), Some(1)).unwrap();
        chown(root.join("opt/a/b"), Some(2), Some(2)).unwrap();
        chown(root.join("opt/a/file.txt"), Some(3), Some(70_000)).unwrap();
        std::os::unix::fs::lchown(root.join("opt/l"), Some(4), Some(4)).unwrap();
    });
    let expected = ["C /opt", "C /opt/a", "C /opt/a/b", "C /opt/a/file.txt", "C /opt/l"];
    assert_eq!(bench.changes(), expected);
    let shown = [
        "/opt folder 755 1:1",
        "/opt/a folder 755 0:0",
        "/opt/a/b folder 755 2:2",
        "/opt/a/b/file.txt file 'hello' 644 0:0",
        "/opt/a/file.txt file 'hello' 644 3:70000",
        "/opt/l -> a 777 4:4",
    ];
    bench.snapshot();
    assert_eq!(below(&bench.tree(), "/opt"), shown);
    bench.chain.pop();
    bench.round_trip();
    assert_eq!(below(&bench.tree(), "/opt"), shown);
}

fn permissions_of_folders_outlive_the_commit(bench: &mut Bench) {
    let modes = [0o000, 0o111, 0o500, 0o700, 0o755, 0o777, 0o1777, 0o2770, 0o4711, 0o7777];
    let check = |bench: &Bench, count: usize| {
        bench.look(|root| {
            for (number, mode) in modes.iter().enumerate() {
                let found = root.join(format!("d{number}"));
                assert_eq!(found.metadata().unwrap().mode() & 0o7777, *mode, "of {mode:o}");
                assert_eq!(found.metadata().unwrap().uid(), u32::try_from(number).unwrap());
                assert_eq!(fs::read_dir(found).unwrap().count(), count);
            }
        });
    };
    bench.commit(|root| {
        for (number, mode) in (0_u32..).zip(modes) {
            let folder = root.join(format!("d{number}"));
            fs::create_dir(&folder).unwrap();
            chown(&folder, Some(number), Some(number)).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        }
    });
    check(bench, 0);
    // What is written into them leaves them as they are.
    bench.commit(|root| {
        for number in 0..modes.len() {
            fs::write(root.join(format!("d{number}/f")), "x").unwrap();
        }
    });
    check(bench, 1);
    bench.round_trip();
    check(bench, 1);
}

fn permissions_of_the_root_outlive_the_commit(bench: &mut Bench) {
    bench.commit(|root| {
        chown(root, Some(5), Some(6)).unwrap();
        fs::set_permissions(root, fs::Permissions::from_mode(0o2750)).unwrap();
    });
    let shown = |bench: &Bench| bench.tree()[0].split(" @").next().unwrap().to_owned();
    assert_eq!(shown(bench), "/ folder 2750 5:6");
    bench.commit(|root| fs::write(root.join("f"), "x").unwrap());
    assert_eq!(shown(bench), "/ folder 2750 5:6");
    bench.round_trip();
    assert_eq!(shown(bench), "/ folder 2750 5:6");
    bench.view();
    assert_eq!(shown(bench), "/ folder 2750 5:6");
}

fn a_file_of_below_is_moved_by_link_and_delete(bench: &mut Bench) {
    bench.layer(
        &Tarball::new().folder("dir1/", 0o700).file("dir1/f1", "content").folder("dir2/", 0o755).done(),
    );
    bench.change(|root| {
        fs::hard_link(root.join("dir1/f1"), root.join("dir2/f2")).unwrap();
        fs::remove_file(root.join("dir1/f1")).unwrap();
    });
    assert_eq!(bench.changes(), ["C /dir1", "D /dir1/f1", "C /dir2", "A /dir2/f2"]);
    bench.round_trip();
    let tree = bench.tree();
    assert_eq!(below(&tree, "/dir1"), ["/dir1 folder 700 0:0"]);
    assert_eq!(below(&tree, "/dir2/"), ["/dir2/f2 file 'content' 644 0:0"]);
}

/// Moves as mv(1) does: where overlayfs answers `EXDEV` for a folder of below, a folder is made and what is in the old one is moved.
fn move_as_mv_does(from: &Path, to: &Path) {
    let Err(error) = fs::rename(from, to) else { return };
    assert_eq!(error.kind(), std::io::ErrorKind::CrossesDevices, "{}: {error}", from.display());
    let metadata = from.metadata().unwrap();
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        move_as_mv_does(&from.join(&name), &to.join(&name));
    }
    fs::remove_dir(from).unwrap();
    fs::set_permissions(to, metadata.permissions()).unwrap();
    fs::File::open(to).unwrap().set_modified(metadata.modified().unwrap()).unwrap();
}

fn folders_are_renamed_as_mv_does(bench: &mut Bench) {
    bench.layer(
        &Tarball::new()
            .folder("below/", 0o750)
            .file("below/f", "content")
            .file("below/sub/g", "more")
            .symlink("below/h", "f")
            .folder("target/", 0o755)
            .file("target/old", "x")
            .done(),
    );
    let before = bench.tree();
    let mv = |root: &Path, from: &str, to: &str| move_as_mv_does(&root.join(from), &root.join(to));
    bench.change(|root| {
        fs::create_dir(root.join("new")).unwrap();
        fs::write(root.join("new/n"), "n").unwrap();
        mv(root, "new", "newer");
        mv(root, "below", "moved");
        fs::remove_dir_all(root.join("target")).unwrap();
        fs::create_dir(root.join("target")).unwrap();
        mv(root, "newer", "target");
        assert!(!root.join("new").exists() && !root.join("below").exists());
    });
    let expected = [
        "D /below",
        "A /moved",
        "A /moved/f",
        "A /moved/h",
        "A /moved/sub",
        "A /moved/sub/g",
        "C /target",
        "A /target/n",
        "D /target/old",
    ];
    assert_eq!(bench.changes(), expected);
    bench.round_trip();
    let (moved, old) = (bench.tree(), before.join("\n").replace("/below", "/moved"));
    for line in moved.iter().filter(|line| line.starts_with("/moved")) {
        assert!(old.contains(line.as_str()), "{line} is not what was moved");
    }
    // And back, in the next layer.
    bench.change(|root| mv(root, "moved", "below"));
    bench.round_trip();
    let again = bench.tree();
    let of_below =
        |tree: &[String]| tree.iter().filter(|line| line.starts_with("/below")).cloned().collect::<Vec<_>>();
    assert_eq!(of_below(&again), of_below(&before));
}

fn a_rewrite_of_the_same_size_is_seen_through_every_layer(bench: &mut Bench) {
    // As a package manager does it: five times within the second, each in a layer of its own.
    bench.layer(&Tarball::new().file("d/f", "0").done());
    for number in 1..=5 {
        bench.commit(|root| fs::write(root.join("d/f"), number.to_string()).unwrap());
        assert_eq!(bench.changes(), ["C /d", "C /d/f"]);
    }
    for position in 0..=5 {
        let content = bench.look_at(&bench.at(position), |root| read(root, "d/f"));
        assert_eq!(content, position.to_string());
    }
    bench.round_trip();
}
