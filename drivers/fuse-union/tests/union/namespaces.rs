//! Without privilege: as root of a user namespace, where the kernel does not pass reads and writes through.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::stage::Stage;

/// Runs a shell as root of a user namespace in which only the caller is mapped.
fn in_namespace(stage: &Stage, script: &str) -> String {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-euc", script])
        .env("FUSE_UNION", env!("CARGO_BIN_EXE_fuse-union"))
        .current_dir(stage.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const MOUNT: &str = "$FUSE_UNION -o lowerdir=lower:second,upperdir=upper,workdir=work merged;";

#[test]
fn a_namespaces_root_mounts_writes_and_mounts_again() {
    let stage = Stage::new();
    stage.write("lower/file", "x");
    stage.write("lower/gone", "x");
    stage.write("second/folder/inside", "x");
    let script = format!(
        "{MOUNT} echo y >> merged/file; rm -r merged/gone merged/folder; mkdir merged/folder; umount merged; \
         {MOUNT} ls merged merged/folder; cat merged/file; umount merged"
    );
    assert_eq!(in_namespace(&stage, &script), "merged:\nfile\nfolder\n\nmerged/folder:\nxy");
    assert_eq!(stage.read("lower/file"), "x");
    // The marks are those that overlayfs reads with `userxattr`.
    let whiteout = fs::symlink_metadata(stage.path("upper/gone")).unwrap();
    assert_eq!((whiteout.mode() & 0o170_000, whiteout.rdev()), (0o020_000, 0));
    let mut value = [0_u8; 8];
    let length = rustix::fs::getxattr(stage.path("upper/folder"), "user.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..length], b"y");
}

#[test]
fn the_mode_of_io_follows_the_privilege() {
    let stage = Stage::new();
    stage.write("lower/file", "x");
    let script = "($FUSE_UNION --debug -o lowerdir=lower,upperdir=upper,workdir=work merged 2>&1 &) ; \
                  until mountpoint -q merged; do sleep 0.05; done; umount merged";
    let said = in_namespace(&stage, script);
    assert!(said.contains("passthrough: false") && said.contains("writeback: true"), "{said}");
}
