//! Owners, set-id bits, umask, access control lists.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use plywood_fuse_union::options::{IoMode, Options, OverrideStat};

use crate::stage::{MODES, Served, Stage};

/// Runs a shell as an ordinary user.
fn as_user(folder: &Path, script: &str) -> String {
    let output = Command::new("setpriv")
        .args(["--reuid=1000", "--regid=1000", "--clear-groups", "sh", "-c", script])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn open_up(stage: &Stage) {
    for folder in [".", "upper", "merged"] {
        fs::set_permissions(stage.path(folder), Permissions::from_mode(0o777)).unwrap();
    }
}

#[test]
fn writing_clears_set_id_bits_and_capabilities() {
    for io in MODES {
        let stage = Stage::new();
        open_up(&stage);
        stage.write("lower/below", "x");
        let _served = stage.mount(io);
        for (name, script) in [
            ("appended", "echo y >> appended"),
            ("overwritten", "echo y > overwritten"),
            ("truncated", "truncate -s 0 truncated"),
            ("below", "echo y >> below"),
        ] {
            let path = stage.path("merged").join(name);
            fs::write(&path, "x").unwrap();
            // Capabilities that a kernel could have written: revision 2, CAP_NET_RAW.
            let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let flags = rustix::fs::XattrFlags::empty();
            fs::set_permissions(&path, Permissions::from_mode(0o6777)).unwrap();
            rustix::fs::setxattr(&path, "security.capability", &capability, flags).unwrap();
            as_user(&stage.path("merged"), script);
            let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
            assert_eq!(mode, 0o777, "{name} {io:?}");
            let mut value = [0_u8; 64];
            let left = rustix::fs::getxattr(&path, "security.capability", &mut value);
            assert_eq!(left, Err(rustix::io::Errno::NODATA), "{name} {io:?}");
        }
    }
}

#[test]
fn a_new_owner_clears_set_id_bits() {
    for io in MODES {
        let stage = Stage::new();
        let path = stage.write("lower/file", "x");
        fs::set_permissions(&path, Permissions::from_mode(0o6755)).unwrap();
        let _served = stage.mount(io);
        std::os::unix::fs::chown(stage.path("merged/file"), Some(7), Some(8)).unwrap();
        let stat = fs::metadata(stage.path("merged/file")).unwrap();
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (7, 8, 0o755), "{io:?}");
    }
}

#[test]
fn new_files_belong_to_who_makes_them() {
    for io in MODES {
        let stage = Stage::new();
        open_up(&stage);
        stage.write("lower/gone", "x");
        let _served = stage.mount(io);
        fs::remove_file(stage.path("merged/gone")).unwrap();
        let script = "umask 027; touch plain; mkdir folder; ln -s x link; echo x > gone; mkfifo pipe; \
                      stat -c '%n %u:%g %a' plain folder link gone pipe";
        let said = as_user(&stage.path("merged"), script);
        let expected = "plain 1000:1000 640\nfolder 1000:1000 750\nlink 1000:1000 777\ngone 1000:1000 640\npipe 1000:1000 640";
        assert_eq!(said, expected, "{io:?}");
    }
}

#[test]
fn a_file_that_forbids_writing_can_be_written_by_who_made_it() {
    for io in MODES {
        let stage = Stage::new();
        open_up(&stage);
        let _served = stage.mount(io);
        let script = "umask 0333; echo content > readonly; umask 0; stat -c %a readonly; cat readonly";
        assert_eq!(as_user(&stage.path("merged"), script), "444\ncontent", "{io:?}");
    }
}

#[test]
fn a_folder_passes_its_group_and_its_list_on() {
    for io in MODES {
        let stage = Stage::new();
        fs::create_dir(stage.path("lower/shared")).unwrap();
        stage.write("lower/shared/gone", "x");
        std::os::unix::fs::chown(stage.path("lower/shared"), None, Some(555)).unwrap();
        fs::set_permissions(stage.path("lower/shared"), Permissions::from_mode(0o2777)).unwrap();
        let set = Command::new("setfacl")
            .args(["-d", "-m", "u:77:rwx,m::rwx"])
            .arg(stage.path("lower/shared"))
            .status();
        assert!(set.unwrap().success());
        open_up(&stage);
        let _served = stage.mount(io);
        fs::remove_file(stage.path("merged/shared/gone")).unwrap();
        let folder = stage.path("merged/shared");
        let said =
            as_user(&folder, "umask 077; touch new gone; mkdir sub; stat -c '%n %u:%g %a' new gone sub");
        assert_eq!(said, "new 1000:555 666\ngone 1000:555 666\nsub 1000:555 2777", "{io:?}");
        let listed = Command::new("getfacl").args(["-cp", "gone"]).current_dir(&folder).output().unwrap();
        assert!(String::from_utf8_lossy(&listed.stdout).contains("user:77:rwx"), "{io:?}");
    }
}

#[test]
fn lists_are_checked_by_the_kernel() {
    for io in MODES {
        let stage = Stage::new();
        open_up(&stage);
        let path = stage.write("lower/secret", "secret");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let _served = stage.mount(io);
        let read = "cat secret 2>/dev/null || echo refused";
        assert_eq!(as_user(&stage.path("merged"), read), "refused", "{io:?}");
        let set = Command::new("setfacl")
            .args(["-m", "u:1000:r"])
            .arg(stage.path("merged/secret"))
            .status()
            .unwrap();
        assert!(set.success());
        assert_eq!(as_user(&stage.path("merged"), read), "secret", "{io:?}");
    }
}

#[test]
fn owners_are_mapped_and_squashed() {
    let stage = Stage::new();
    let path = stage.write("lower/file", "x");
    std::os::unix::fs::chown(&path, Some(100_005), Some(100_006)).unwrap();
    let mut options = stage.options(IoMode::Auto);
    options.ids.users = plywood_fuse_union::ids::Ids::ranges("0:100000:1000").unwrap();
    options.ids.groups.clone_from(&options.ids.users);
    let served = Served::new(options.clone(), &stage.path("merged"));
    let stat = fs::metadata(stage.path("merged/file")).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (5, 6));
    fs::write(stage.path("merged/new"), "x").unwrap();
    assert_eq!(fs::metadata(stage.path("upper/new")).unwrap().uid(), 100_000);
    std::os::unix::fs::chown(stage.path("merged/file"), Some(9), None).unwrap();
    assert_eq!(fs::metadata(stage.path("upper/file")).unwrap().uid(), 100_009);
    drop(served);
    options.ids =
        plywood_fuse_union::ids::Ids { squash_user: Some(0), squash_group: Some(0), ..Default::default() };
    let _squashed = Served::new(options, &stage.path("merged"));
    let stat = fs::metadata(stage.path("merged/file")).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (0, 0));
}

#[test]
fn owners_and_modes_can_be_kept_in_an_attribute() {
    let stage = Stage::new();
    let options = Options { override_stat: Some(OverrideStat::Containers), ..stage.options(IoMode::Auto) };
    let served = Served::new(options.clone(), &stage.path("merged"));
    fs::write(stage.path("merged/file"), "x").unwrap();
    std::os::unix::fs::chown(stage.path("merged/file"), Some(12), Some(34)).unwrap();
    fs::set_permissions(stage.path("merged/file"), Permissions::from_mode(0o4711)).unwrap();
    drop(served);
    let _again = Served::new(options, &stage.path("merged"));
    let stat = fs::metadata(stage.path("merged/file")).unwrap();
    assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (12, 34, 0o4711));
    assert_eq!(fs::metadata(stage.path("upper/file")).unwrap().uid(), 0);
    std::os::unix::fs::chown(stage.path("merged/file"), Some(13), None).unwrap();
    let stat = fs::metadata(stage.path("merged/file")).unwrap();
    assert_eq!((stat.uid(), stat.mode() & 0o7777), (13, 0o711), "a new owner takes set-id bits away");
    OpenOptions::new().append(true).open(stage.path("merged/file")).unwrap();
}
