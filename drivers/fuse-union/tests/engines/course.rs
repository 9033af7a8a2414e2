//! The whole course: an image built in steps, run, changed, committed, exported; on both kinds of mounts, with the same outcome.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::apart::{admit_user, take_own_mounts};
use crate::context;
use crate::store::{Mounter, Store, Who, entries};

/// All that was seen of a course that could be otherwise on another kind of mount, a line each.
type Seen = BTreeSet<String>;

const SHOW: &str = "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /etc/hosts -o -path /etc/hostname -o \
    -path /etc/resolv.conf \\) -prune -o ! -type d -exec stat -c '%n %f %u %g %s %h %N' {} + | sort; cat /data/two /data/moved/b/new";

const CHANGE: &str = "echo more >> /many/5/5; rm -r /many/1 /data/suid; mv /many/2 /many/second; mkdir /made; \
    echo x > /made/file; ln /made/file /made/link; chmod 600 /etc/name; cat /data/hard";

#[test]
fn root_sees_what_is_seen_on_the_kernels_overlay() {
    compare(Who::Root);
}

#[test]
fn an_ordinary_user_sees_what_is_seen_on_the_kernels_overlay() {
    compare(Who::User);
}

fn compare(who: Who) {
    take_own_mounts();
    // Not in memory: some file systems there have no attributes for users.
    let folder = tempfile::Builder::new().prefix("pw-").tempdir_in("/var/tmp").unwrap();
    open_to_all(folder.path());
    let _remove = RemoveAsRoot(&folder);
    if who == Who::User {
        admit_user(folder.path());
    }
    let context = context::make(folder.path());
    let [kernel, ours] = [Mounter::Kernel, Mounter::FuseUnion].map(|mounter| {
        let store = Store::new(folder.path().join(format!("{mounter:?}")), who, mounter);
        course(&store, &context)
    });
    let missing: Vec<&String> = kernel.difference(&ours).collect();
    let other: Vec<&String> = ours.difference(&kernel).collect();
    assert!(missing.is_empty() && other.is_empty(), "{who:?}: on overlay {missing:#?}\nand here {other:#?}");
    assert!(kernel.len() > 400, "little was seen: {}", kernel.len());
}

/// What other users of a user namespace own, only root removes; and the mounts of a test that failed go first.
struct RemoveAsRoot<'a>(&'a TempDir);

impl Drop for RemoveAsRoot<'_> {
    fn drop(&mut self) {
        let mounts = plywood_sys::mountinfo::read().unwrap();
        for mount in mounts.iter().rev().filter(|mount| mount.target.starts_with(self.0.path())) {
            plywood_sys::mount::detach_lazily(&mount.target).unwrap();
        }
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn course(store: &Store, context: &Path) -> Seen {
    let context = context.to_str().unwrap();
    let isolation = ["--isolation=chroot", "--network=host"];
    let policy = format!("--signature-policy={}", store.path("policy.json").display());
    let build = ["--layers", "--timestamp=0", "--tag=localhost/course:1", &policy];
    store.buildah(&[&["build", "--quiet"], &isolation[..], &build, &[context]].concat());
    if store.mounter == Mounter::FuseUnion {
        let program =
            store.podman(&["info", "--format", "{{index .Store.GraphOptions \"overlay.mount_program\"}}"]);
        assert!(program.contains("fuse-union"), "the store is served otherwise: {program}");
    }
    let mut seen = Seen::new();
    let mut see = |what: &str, lines: &mut dyn Iterator<Item = &str>| {
        seen.extend(lines.map(|line| format!("{what}: {line}")));
    };
    let format = "{{len .RootFS.Layers}}";
    let layers = store.podman(&["image", "inspect", "--format", format, "localhost/course:1"]);
    see("layers of the built image", &mut layers.lines());
    see("shown in a container", &mut run(store, &["--rm"], SHOW).lines());
    run(store, &["--name=changed"], CHANGE);
    see("changes", &mut changes(&store.podman(&["diff", "changed"])).into_iter());
    see("committed", &mut commit(store, &policy).iter().map(String::as_str));
    see("exported", &mut export(store, "changed").iter().map(String::as_str));
    store.podman(&["rm", "changed"]);
    if store.mounter == Mounter::FuseUnion {
        // Better than the kernel's overlay as engines mount it, which parts a file's names when one is written to.
        assert_eq!(run(store, &["--rm"], "echo written >> /data/hard; cat /data/two"), "two\nwritten\n");
    }
    store.podman(&["rmi", "--all", "--force"]);
    // A server ends a moment after its mount.
    let began = Instant::now();
    while store.servers() > 0 {
        assert!(began.elapsed() < Duration::from_mins(1), "servers of mounts that are gone");
        std::thread::sleep(Duration::from_millis(10));
    }
    seen
}

fn run(store: &Store, options: &[&str], script: &str) -> String {
    let fixed = ["run", "--network=none", "--hostname=course", "--no-hosts", "--ulimit=host"];
    store.podman(&[&fixed[..], options, &["localhost/course:1", "/bin/sh", "-c", script]].concat())
}

/// The lines of `podman diff` without folders that are there for what is in them: with a program that mounts podman lists all of those, on the
/// kernel's overlay only some.
fn changes(listed: &str) -> Vec<&str> {
    let above = |line: &str| {
        let inside = format!("{}/", &line[2..]);
        line.starts_with("C ") && listed.lines().any(|other| other[2..].starts_with(&inside))
    };
    listed.lines().filter(|line| !above(line)).collect()
}

/// A container of podman becomes an image, which a working container of buildah changes once more.
fn commit(store: &Store, policy: &str) -> Vec<String> {
    store.podman(&["commit", "--quiet", "changed", "localhost/course:2"]);
    let working = store.buildah(&["from", policy, "localhost/course:2"]);
    let working = working.trim();
    let script = "rm /made/link; echo y >> /made/file; mv /etc/old/new /etc/old/newer; test ! -e /many/1 && ls /many/second";
    store.buildah(&["run", "--isolation=chroot", "--network=host", working, "/bin/sh", "-c", script]);
    store.buildah(&["commit", "--quiet", policy, "--rm", working, "localhost/course:3"]);
    store.podman(&["create", "--name=last", "--network=none", "localhost/course:3", "/bin/sh"]);
    let found = export(store, "last");
    store.podman(&["rm", "last"]);
    found
}

fn export(store: &Store, container: &str) -> Vec<String> {
    let tar = store.path(&format!("home/{container}.tar"));
    store.podman(&["export", "--output", tar.to_str().unwrap(), container]);
    entries(&tar)
}
