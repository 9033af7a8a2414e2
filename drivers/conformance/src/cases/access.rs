//! Who may do what: modes, owners, access control lists, file capabilities.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plywood_archive::tar::{Entry, Kind};
use plywood_graphdriver::ErrorKind;
use rustix::fs::XattrFlags;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::{CAPABILITY, Tarball, blank};

cases! {
    "access";
    all_twelve_bits_of_a_mode_are_kept: [Mounts, Root],
    owners_past_sixteen_bits_are_kept: [Mounts, Root],
    access_lists_of_files_and_folders_come_back: [Mounts, Root, Acls],
    a_container_inherits_lists_and_changes_them: [Mounts, Root, Acls],
    a_list_that_is_taken_away_is_gone: [Mounts, Root, Acls],
    capabilities_are_kept_by_what_keeps_them: [Mounts, Root],
    capabilities_and_set_id_bits_go_with_owner_and_content: [Mounts, Root],
    a_capability_that_no_kernel_wrote_is_refused: [Mounts, Root],
}

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
/// Tags of an entry of an access control list (acl(5)).
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// An access control list as the kernel takes it: a version, then tag, permissions and id of each entry, sorted by tag.
fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// A list that names user 70000 with `named`, under a mask, beside an owner, a group and others.
fn naming(owner: u16, named: u16, group: u16, mask: u16, other: u16) -> Vec<u8> {
    let nobody = u32::MAX;
    list(&[
        (OWNER, owner, nobody),
        (USER, named, 70_000),
        (GROUP, group, nobody),
        (MASK, mask, nobody),
        (OTHER, other, nobody),
    ])
}

fn with(path: &str, mode: u32, xattrs: &[(&str, &[u8])]) -> Entry {
    let kind = if path.ends_with('/') { Kind::Directory } else { Kind::Regular };
    let xattrs = xattrs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
    Entry { xattrs, ..blank(path.as_bytes(), kind, mode) }
}

fn shown(name: &str, value: &[u8]) -> String {
    format!("{name}={}", value.escape_ascii())
}

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn all_twelve_bits_of_a_mode_are_kept(bench: &mut Bench) {
    let mut tar = Tarball::new().folder("d/", 0o755);
    let mut expected = vec!["/d folder 755 0:0".to_owned()];
    let modes = [0, 1, 0o70, 0o400, 0o1000, 0o2000, 0o2755, 0o4000, 0o4711, 0o6755, 0o7000, 0o7777];
    for mode in modes {
        tar = tar
            .entry(&blank(format!("d/{mode:04o}/").as_bytes(), Kind::Directory, mode), b"")
            .entry(&blank(format!("d/{mode:04o}/file").as_bytes(), Kind::Regular, mode), b"")
            .entry(&blank(format!("d/{mode:04o}/pipe").as_bytes(), Kind::Fifo, mode), b"");
        expected.push(format!("/d/{mode:04o} folder {mode:o} 0:0"));
        expected.push(format!("/d/{mode:04o}/file file '' {mode:o} 0:0"));
        expected.push(format!("/d/{mode:04o}/pipe fifo {mode:o} 0:0"));
    }
    bench.layer(&tar.done());
    assert_eq!(below(&bench.tree(), "/d"), expected);
    // A layer that only implies the folders leaves them as they are, and a container that touches what is in them, too.
    bench.layer(&Tarball::new().file("d/0000/new", "").file("d/7777/new", "").done());
    bench.commit(|root| {
        for mode in modes {
            fs::write(root.join(format!("d/{mode:04o}/file")), "").unwrap();
        }
        fs::set_permissions(root.join("d/0001"), fs::Permissions::from_mode(0o6000)).unwrap();
    });
    let tree = bench.tree();
    for mode in modes.into_iter().filter(|mode| *mode != 1) {
        let folder = format!("/d/{mode:04o} ");
        assert_eq!(below(&tree, &folder), [format!("{folder}folder {mode:o} 0:0")]);
    }
    assert_eq!(below(&tree, "/d/0001 "), ["/d/0001 folder 6000 0:0"]);
    bench.round_trip();
}

fn owners_past_sixteen_bits_are_kept(bench: &mut Bench) {
    let owners = [(65_535, 65_536), (65_536, 65_535), (1 << 31, 1), (0xffff_fffe, 0xffff_fffe)];
    let mut tar = Tarball::new();
    let mut expected = Vec::new();
    for (number, (uid, gid)) in owners.into_iter().enumerate() {
        let owned = |path: &str, kind, mode| Entry { uid, gid, ..blank(path.as_bytes(), kind, mode) };
        tar = tar
            .entry(&owned(&format!("o{number}/"), Kind::Directory, 0o700), b"")
            .entry(&owned(&format!("o{number}/f"), Kind::Regular, 0o600), b"")
            .entry(&owned(&format!("o{number}/s"), Kind::Symlink { target: b"f".to_vec() }, 0o777), b"");
        expected.push(format!("/o{number} folder 700 {uid}:{gid}"));
        expected.push(format!("/o{number}/f file '' 600 {uid}:{gid}"));
        expected.push(format!("/o{number}/s -> f 777 {uid}:{gid}"));
    }
    bench.layer(&tar.done());
    assert_eq!(below(&bench.tree(), "/o"), expected);
    bench.change(|root| {
        std::os::unix::fs::lchown(root.join("o0/s"), Some(0xffff_fffd), Some(3_000_000_000)).unwrap();
        fs::write(root.join("o3/f"), "x").unwrap();
    });
    let tree = bench.tree();
    assert_eq!(below(&tree, "/o0/s"), ["/o0/s -> f 777 4294967293:3000000000"]);
    assert_eq!(below(&tree, "/o3/f"), ["/o3/f file 'x' 600 4294967294:4294967294"]);
    bench.round_trip();
}

fn access_lists_of_files_and_folders_come_back(bench: &mut Bench) {
    let (file, folder, inherited) = (naming(6, 6, 4, 6, 4), naming(7, 5, 5, 5, 0), naming(7, 7, 5, 7, 1));
    let tar = Tarball::new()
        .entry(&with("shared/", 0o2750, &[(ACCESS, &folder), (DEFAULT, &inherited)]), b"")
        .entry(&with("shared/listed", 0o664, &[(ACCESS, &file)]), b"")
        .entry(&with("shared/plain", 0o640, &[]), b"")
        .entry(&with("shared/sub/", 0o755, &[]), b"")
        .done();
    assert!(bench.layer(&tar).skipped.is_empty());
    let expected = [
        format!("/shared folder 2750 0:0 {} {}", shown(ACCESS, &folder), shown(DEFAULT, &inherited)),
        format!("/shared/listed file '' 664 0:0 {}", shown(ACCESS, &file)),
        "/shared/plain file '' 640 0:0".to_owned(),
        "/shared/sub folder 755 0:0".to_owned(),
    ];
    assert_eq!(below(&bench.tree(), "/shared"), expected);
    bench.round_trip();
    // A folder that the next layer only implies keeps its lists, and gives them to nothing of that layer.
    bench.layer(&Tarball::new().file("shared/later", "").link("shared/again", "shared/listed").done());
    let tree = bench.tree();
    assert_eq!(below(&tree, "/shared "), [&expected[0][..]]);
    assert_eq!(below(&tree, "/shared/later"), ["/shared/later file '' 644 0:0"]);
    assert_eq!(
        below(&tree, "/shared/again"),
        [format!("/shared/again file '' 664 0:0 {}", shown(ACCESS, &file))]
    );
    bench.round_trip();
}

fn a_container_inherits_lists_and_changes_them(bench: &mut Bench) {
    let (file, inherited) = (naming(6, 6, 4, 6, 4), naming(7, 7, 5, 7, 5));
    let tar = Tarball::new()
        .entry(&with("shared/", 0o755, &[(DEFAULT, &inherited)]), b"")
        .entry(&with("shared/listed", 0o664, &[(ACCESS, &file)]), b"")
        .entry(&with("shared/written", 0o664, &[(ACCESS, &file)]), b"")
        .done();
    bench.layer(&tar);
    bench.change(|root| {
        // A mode that is set on a listed file goes to the mask, and to owner and others.
        fs::set_permissions(root.join("shared/listed"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(root.join("shared/written"), "x").unwrap();
        fs::File::create(root.join("shared/new")).unwrap();
        fs::set_permissions(root.join("shared/new"), fs::Permissions::from_mode(0o660)).unwrap();
        fs::create_dir(root.join("shared/sub")).unwrap();
        set(&root.join("shared"), ACCESS, &naming(7, 1, 5, 5, 5));
    });
    let tree = bench.tree();
    let (changed, new) = (naming(6, 6, 4, 4, 0), naming(6, 7, 5, 6, 0));
    assert_eq!(
        below(&tree, "/shared/listed"),
        [format!("/shared/listed file '' 640 0:0 {}", shown(ACCESS, &changed))]
    );
    assert_eq!(
        below(&tree, "/shared/written"),
        [format!("/shared/written file 'x' 664 0:0 {}", shown(ACCESS, &file))]
    );
    assert_eq!(below(&tree, "/shared/new"), [format!("/shared/new file '' 660 0:0 {}", shown(ACCESS, &new))]);
    let sub = below(&tree, "/shared/sub")[0];
    assert!(sub.contains(&shown(ACCESS, &inherited)), "{sub}");
    assert!(sub.contains(&shown(DEFAULT, &inherited)), "{sub}");
    assert!(below(&tree, "/shared ")[0].contains(&shown(ACCESS, &naming(7, 1, 5, 5, 5))), "{tree:?}");
    bench.round_trip();
}

fn a_list_that_is_taken_away_is_gone(bench: &mut Bench) {
    let (file, folder) = (naming(6, 6, 4, 6, 4), naming(7, 7, 5, 7, 5));
    let tar = Tarball::new()
        .entry(&with("d/", 0o775, &[(ACCESS, &folder), (DEFAULT, &folder)]), b"")
        .entry(&with("d/f", 0o664, &[(ACCESS, &file)]), b"")
        .done();
    bench.layer(&tar);
    bench.change(|root| {
        rustix::fs::lremovexattr(root.join("d"), DEFAULT).unwrap();
        rustix::fs::lremovexattr(root.join("d/f"), ACCESS).unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "C /d/f"]);
    let expected = [
        format!("/d folder 775 0:0 {}", shown(ACCESS, &folder)),
        // Without its list a file has the group's permission, which the mask had hidden.
        below(&bench.tree(), "/d/f")[0].to_owned(),
    ];
    assert!(!expected[1].contains("posix"), "{}", expected[1]);
    assert_eq!(below(&bench.tree(), "/d"), expected);
    bench.round_trip();
    // A layer that describes what had a list, without one, takes it away as well.
    bench.layer(&Tarball::new().folder("d/", 0o711).done());
    assert_eq!(below(&bench.tree(), "/d "), ["/d folder 711 0:0"]);
    bench.round_trip();
}

/// A `security.capability` of revision 3: as revision 2, for the root of the namespace that user 100000 is in.
fn namespaced() -> Vec<u8> {
    let mut value = CAPABILITY.to_vec();
    value[3] = 3;
    value.extend_from_slice(&100_000_u32.to_le_bytes());
    value
}

const CAPABLE: &str = "security.capability";

fn capable() -> Vec<u8> {
    let mut tar = Tarball::new();
    for name in ["chmod", "chown", "link", "rename", "touch", "write"] {
        tar = tar.entry(&with(name, 0o755, &[(CAPABLE, CAPABILITY)]), b"");
    }
    let owned = Entry { uid: 5, gid: 6, ..with("suid", 0o6755, &[]) };
    tar.entry(&with("v3", 0o755, &[(CAPABLE, &namespaced())]), b"").entry(&owned, b"").done()
}

fn capabilities_are_kept_by_what_keeps_them(bench: &mut Bench) {
    bench.layer(&capable());
    assert_eq!(
        below(&bench.tree(), "/v3"),
        [format!("/v3 file '' 755 0:0 {}", shown(CAPABLE, &namespaced()))]
    );
    bench.change(|root| {
        for name in ["chmod", "v3"] {
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::hard_link(root.join("link"), root.join("second")).unwrap();
        fs::rename(root.join("rename"), root.join("renamed")).unwrap();
        let file = fs::File::open(root.join("touch")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    });
    let tree = bench.tree();
    let two = shown(CAPABLE, CAPABILITY);
    for (name, line) in [
        ("/chmod", "file '' 700 0:0"),
        ("/link", "file '' 755 0:0"),
        ("/second", "same as /link 755 0:0"),
        ("/renamed", "file '' 755 0:0"),
        ("/touch", "file '' 755 0:0"),
    ] {
        assert_eq!(below(&tree, name), [format!("{name} {line} {two}")]);
    }
    assert_eq!(below(&tree, "/v3"), [format!("/v3 file '' 700 0:0 {}", shown(CAPABLE, &namespaced()))]);
    bench.round_trip();
}

/// The kernel takes them away (`notify_change`, `file_remove_privs`), on a copy-up as on a file of its own.
fn capabilities_and_set_id_bits_go_with_owner_and_content(bench: &mut Bench) {
    bench.layer(&capable());
    bench.change(|root| {
        std::os::unix::fs::chown(root.join("chown"), Some(1), Some(1)).unwrap();
        std::os::unix::fs::chown(root.join("suid"), Some(7), None).unwrap();
        fs::write(root.join("write"), "x").unwrap();
    });
    let tree = bench.tree();
    assert_eq!(below(&tree, "/chown"), ["/chown file '' 755 1:1"]);
    assert_eq!(below(&tree, "/suid"), ["/suid file '' 755 7:6"]);
    assert_eq!(below(&tree, "/write"), ["/write file 'x' 755 0:0"]);
    assert!(below(&tree, "/chmod")[0].contains(CAPABLE), "{tree:?}");
    assert_eq!(bench.changes(), ["C /chown", "C /suid", "C /write"]);
    bench.round_trip();
}

fn a_capability_that_no_kernel_wrote_is_refused(bench: &mut Bench) {
    let mut reserved = CAPABILITY.to_vec();
    reserved[1] = 1;
    let fourth = [&[1, 0, 0, 4], &CAPABILITY[4..]].concat();
    for value in [&CAPABILITY[..19], b"", &reserved, &fourth, &[CAPABILITY, b"\0"].concat()] {
        let tar = Tarball::new().entry(&with("bin/f", 0o755, &[(CAPABLE, value)]), b"").done();
        let error = bench.try_layer(&tar).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{value:?}: {error}: {}", error.source);
        assert_eq!(error.path.as_deref(), Some(Path::new("/bin/f")), "{error}");
    }
}
