//! A driver without privilege.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use nix::unistd::{Gid, Uid};
use plywood_graphdriver::{ApplyOptions, ErrorKind, LayerRef, MountRequest, Ownership};
use plywood_sys::identity::Privilege;

use crate::bench::Bench;
use crate::case::cases;
use crate::tarball::Tarball;

cases! {
    "rootless";
    a_nobody_keeps_layers_and_is_told_what_it_cannot: [Rootless, Root],
}

/// The user that owns nothing; this process is nobody from here on.
const NOBODY: u32 = 65_534;

fn a_nobody_keeps_layers_and_is_told_what_it_cannot(bench: &mut Bench) {
    let place = bench.place("nobodys");
    chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    nix::unistd::setgroups(&[]).unwrap();
    nix::unistd::setresgid(group, group, group).unwrap();
    nix::unistd::setresuid(user, user, user).unwrap();
    // The census reads what the process has open, which a process that changed its user hides otherwise.
    nix::sys::prctl::set_dumpable(true).unwrap();
    assert_eq!(Privilege::probe().unwrap(), Privilege::None);

    let driver = bench.open_unprivileged(&place.join("home")).unwrap();
    let (base, top) = (bench.new_id(), bench.new_id());
    let tar = Tarball::new().folder("d/", 0o755).file("d/f", "content").done();
    let applied =
        driver.apply(LayerRef::new(&base, &[]), &mut &tar[..], ApplyOptions::new(Ownership::Caller)).unwrap();
    assert_eq!(applied.usage.size_bytes, 7);
    driver.seal(LayerRef::new(&base, &[]), None).unwrap();
    let parents = [base];
    let layer = LayerRef::new(&top, &parents);
    driver.snapshot(layer, plywood_graphdriver::Access::ReadWrite).unwrap();
    assert_eq!(driver.usage(layer).unwrap().size_bytes, 0);
    let mut diff = Vec::new();
    driver.diff(layer, &mut diff).unwrap();
    assert_eq!(diff, Tarball::new().done());
    let target = place.join("target");
    fs::create_dir(&target).unwrap();
    if !driver.capabilities().mounts {
        let error = driver.mount(layer, &MountRequest::read_write(), &target).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
    }
    driver.remove(&top).unwrap();
    driver.remove(&parents[0]).unwrap();
    assert_eq!(driver.layers().unwrap(), []);
}
