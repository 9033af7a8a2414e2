//! Names of any bytes, of any length, at any depth.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use plywood_archive::tar::Kind;
use plywood_graphdriver::ErrorKind;
use rustix::fs::{CWD, Mode, OFlags};

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::{Node, below};
use crate::tarball::{Tarball, blank};

cases! {
    "names";
    odd_names_come_back_as_files_folders_and_links: [Mounts],
    a_container_makes_renames_and_deletes_odd_names: [Mounts],
    layers_delete_and_hide_odd_names: [Mounts],
    a_deletion_too_long_for_a_whiteout_is_refused_in_words: [Mounts],
    names_that_look_like_whiteouts_are_names: [Mounts],
    names_that_differ_in_case_or_form_are_two: [Mounts],
    two_hundred_folders_deep: [Mounts],
    a_path_of_4096_bytes_is_kept_and_a_longer_one_refused: [Mounts],
    targets_of_symlinks_are_any_bytes: [Mounts],
}

/// Names that separate options, end lines, open quotes, look like options or are no text.
pub(super) const ODD: [&[u8]; 30] = [
    b" ",
    b" lead",
    b"trail ",
    b"!",
    b"\"double\"",
    b"#",
    b"$HOME",
    b"%s%n%%",
    b"'single'",
    b"*?[a]",
    b"+",
    b",",
    b"--",
    b"-rf",
    b"...",
    b":",
    b"\\",
    b"\\040",
    b"\n",
    b"\r",
    b"\t",
    b"\x01\x1b[31m\x7f",
    b"a,b:c\\d",
    b"caf\xe9",
    b"\xe2\x80\xae\xf0\x9f\xaa\xb5",
    b"\xff\xfe",
    b"a=b",
    b"new\nline",
    b"{}|;&",
    b"~",
];

fn longest(byte: u8) -> Vec<u8> {
    vec![byte; 255]
}

fn odd() -> Vec<Vec<u8>> {
    let mut odd: Vec<Vec<u8>> =
        ODD.iter().map(|name| name.to_vec()).chain([longest(b'n'), longest(0xe9)]).collect();
    odd.sort();
    odd
}

/// Names that can be deleted: a whiteout's name is four bytes longer, and a component of a path has 255.
fn short() -> Vec<Vec<u8>> {
    let longest = vec![0xe9; 251];
    let mut short: Vec<Vec<u8>> =
        odd().into_iter().filter(|name| name.len() < 252).chain([longest]).collect();
    short.sort();
    short
}

fn all() -> Vec<Vec<u8>> {
    let mut all = [odd(), vec![vec![0xe9; 251]]].concat();
    all.sort();
    all
}

fn path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&b'/')
}

/// A file, a folder with a file in it, a symlink and a hard link by each name.
fn layer() -> Vec<u8> {
    let mut tar = Tarball::new();
    for folder in [&b"file/"[..], b"folder/", b"hard/", b"symlink/"] {
        tar = tar.entry(&blank(folder, Kind::Directory, 0o755), b"");
    }
    for name in all() {
        let folder = joined(&[b"folder", &name, b""]);
        let inner = joined(&[b"folder", &name, &name]);
        let file = joined(&[b"file", &name]);
        let hard = Kind::HardLink { target: file.clone() };
        tar = tar
            .bytes(&file, &name)
            .entry(&blank(&folder, Kind::Directory, 0o755), b"")
            .bytes(&inner, b"inner")
            .entry(&blank(&joined(&[b"symlink", &name]), Kind::Symlink { target: name.clone() }, 0o777), b"")
            .entry(&blank(&joined(&[b"hard", &name]), hard, 0o644), b"");
    }
    tar.done()
}

fn names_in(root: &Path, folder: &str) -> Vec<Vec<u8>> {
    let listed = fs::read_dir(root.join(folder)).unwrap();
    let mut names: Vec<_> = listed.map(|entry| entry.unwrap().file_name().as_bytes().to_vec()).collect();
    names.sort();
    names
}

fn odd_names_come_back_as_files_folders_and_links(bench: &mut Bench) {
    bench.layer(&layer());
    let check = |root: &Path| {
        for folder in ["file", "folder", "hard", "symlink"] {
            assert_eq!(names_in(root, folder), all(), "{folder}");
        }
        for name in all() {
            let name = path(&name);
            assert_eq!(fs::read(root.join("hard").join(name)).unwrap(), name.as_os_str().as_bytes());
            assert_eq!(fs::read_link(root.join("symlink").join(name)).unwrap(), name);
            assert_eq!(fs::read(root.join("folder").join(name).join(name)).unwrap(), b"inner");
        }
    };
    bench.look(check);
    bench.round_trip();
    bench.look(check);
}

fn a_container_makes_renames_and_deletes_odd_names(bench: &mut Bench) {
    bench.layer(&layer());
    bench.change(|root| {
        fs::create_dir(root.join("new")).unwrap();
        for name in short() {
            let name = path(&name);
            fs::rename(root.join("file").join(name), root.join("new").join(name)).unwrap();
            fs::remove_file(root.join("symlink").join(name)).unwrap();
            symlink(Path::new("/").join(name), root.join("symlink").join(name)).unwrap();
            fs::remove_dir_all(root.join("folder").join(name)).unwrap();
        }
    });
    let changes = bench.changes();
    for name in short() {
        for (letter, folder) in [("D", "file"), ("D", "folder"), ("A", "new"), ("C", "symlink")] {
            let change = format!("{letter} /{folder}/{}", name.escape_ascii());
            assert!(changes.contains(&change), "{change}");
        }
    }
    let check = |root: &Path| {
        assert_eq!(names_in(root, "file"), [longest(b'n'), longest(0xe9)]);
        assert_eq!(names_in(root, "folder"), [longest(b'n'), longest(0xe9)]);
        assert_eq!(names_in(root, "new"), short());
    };
    bench.look(check);
    bench.round_trip();
    bench.look(check);
}

fn layers_delete_and_hide_odd_names(bench: &mut Bench) {
    bench.layer(&layer());
    let mut tar = Tarball::new();
    for name in short() {
        let hidden = [b".wh.", &name[..]].concat();
        tar = tar
            .bytes(&joined(&[b"file", &hidden]), b"")
            .bytes(&joined(&[b"symlink", &hidden]), b"")
            .bytes(&joined(&[b"folder", &name, b".wh..wh..opq"]), b"")
            .bytes(&joined(&[b"folder", &name, b"new"]), b"new");
    }
    bench.layer(&tar.done());
    bench.look(|root| {
        let left = [longest(b'n'), longest(0xe9)];
        assert_eq!(names_in(root, "file"), left);
        assert_eq!(names_in(root, "symlink"), left);
        for name in short() {
            let inside: Vec<_> = fs::read_dir(root.join("folder").join(path(&name))).unwrap().collect();
            assert_eq!(inside.len(), 1, "{}", name.escape_ascii());
        }
    });
    bench.round_trip();
}

/// docs/limits.md: nobody's tar can say it, so nobody is to believe that it was said.
fn a_deletion_too_long_for_a_whiteout_is_refused_in_words(bench: &mut Bench) {
    bench.layer(&Tarball::new().bytes(&[b'n'; 252], b"x").bytes(&[b'm'; 251], b"x").file("f", "x").done());
    bench.change(|root| fs::remove_file(root.join(path(&[b'm'; 251]))).unwrap());
    bench.round_trip();
    bench.seal();
    bench.change(|root| fs::remove_file(root.join(path(&[b'n'; 252]))).unwrap());
    assert_eq!(bench.changes(), [format!("D /{}", "n".repeat(252))]);
    let applied = bench.diff_of(&bench.top()).and_then(|(diff, _)| bench.try_layer(&diff));
    let error = applied.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{error}: {}", error.source);
    assert!(error.source.to_string().contains("255 bytes"), "{}", error.source);
}

fn names_that_look_like_whiteouts_are_names(bench: &mut Bench) {
    let names = [".wh", ".whx", "..wh.x", ".w.h.x", "x.wh.y", ".WH.x", "wh.x", ".wh-x"];
    let mut tar = Tarball::new();
    for name in names {
        tar = tar.file(name, "x").file(&format!("d/{name}/f"), "x");
    }
    bench.layer(&Tarball::new().file("x", "kept").file("y", "kept").done());
    bench.layer(&tar.done());
    bench.change(|root| names.map(|name| fs::write(root.join(name), "y").unwrap()));
    let tree = bench.tree();
    for name in names {
        assert_eq!(below(&tree, &format!("/{name} ")), [format!("/{name} file 'y' 644 0:0")]);
        assert_eq!(below(&tree, &format!("/d/{name}/f")), [format!("/d/{name}/f file 'x' 644 0:0")]);
    }
    assert_eq!(below(&tree, "/x "), ["/x file 'kept' 644 0:0"]);
    assert_eq!(below(&tree, "/y "), ["/y file 'kept' 644 0:0"]);
    bench.round_trip();
    for name in [".wh.", ".wh..", ".wh..."] {
        let error = bench.try_layer(&Tarball::new().file(name, "").done()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{name}: {error}: {}", error.source);
    }
}

fn names_that_differ_in_case_or_form_are_two(bench: &mut Bench) {
    // The last two are one letter in two forms of Unicode.
    let names = ["File", "file", "FILE", "stra\u{df}e", "strasse", "\u{e9}", "e\u{301}"];
    let tar = names.iter().fold(Tarball::new(), |tar, name| tar.file(name, name));
    bench.layer(&tar.done());
    bench.change(|root| fs::remove_file(root.join("File")).unwrap());
    bench.round_trip();
    bench.look(|root| {
        assert_eq!(fs::read_dir(root).unwrap().count(), 6);
        for name in &names[1..] {
            assert_eq!(fs::read_to_string(root.join(name)).unwrap(), *name);
        }
    });
}

/// Opens a folder by one step at a time: its path may be longer than a call takes.
fn descend(root: &Path, components: &[&[u8]]) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = rustix::fs::openat(CWD, root, flags, Mode::empty()).unwrap();
    for component in components {
        folder = rustix::fs::openat(&folder, *component, flags, Mode::empty()).unwrap();
    }
    folder
}

fn write(folder: &OwnedFd, name: &[u8]) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o644)).unwrap();
    rustix::io::write(&file, b"written").unwrap();
}

fn two_hundred_folders_deep(bench: &mut Bench) {
    let deep: Vec<&[u8]> = vec![b"d"; 200];
    let file = [&deep[..], &[b"f"]].concat().join(&b'/');
    bench.layer(&Tarball::new().bytes(&file, b"x").done());
    assert_eq!(bench.tree().len(), 202);
    bench.change(|root| {
        write(&descend(root, &deep), b"new");
        let high = descend(root, &deep[..100]);
        rustix::fs::mkdirat(&high, "beside", Mode::RWXU).unwrap();
    });
    let changes = bench.changes();
    assert_eq!(changes.len(), 202);
    assert_eq!(changes.iter().filter(|change| change.starts_with('A')).count(), 2);
    bench.round_trip();
    bench.seal();
    bench.change(|root| fs::remove_dir_all(root.join("d/d")).unwrap());
    assert_eq!(bench.changes(), ["C /d", "D /d/d"]);
    bench.round_trip();
}

fn a_path_of_4096_bytes_is_kept_and_a_longer_one_refused(bench: &mut Bench) {
    // 17 names of 240 bytes and 16 slashes.
    let component = vec![b'p'; 240];
    let deep: Vec<&[u8]> = vec![&component; 17];
    let longest = deep.join(&b'/');
    assert_eq!(longest.len(), 4096);
    bench.layer(&Tarball::new().bytes(&longest, b"x").done());
    let found = bench.listing().0.into_iter().find(|item| item.path == longest).unwrap();
    assert!(matches!(found.node, Node::File { size_bytes: 1, .. }));
    bench.change(|root| write(&descend(root, &deep[..16]), &component));
    assert_eq!(bench.changes().len(), 17);
    bench.round_trip();
    for longer in [[&longest[..], b"p"].concat(), [&b"./"[..], &longest].concat()] {
        let error = bench.try_layer(&Tarball::new().bytes(&longer, b"x").done()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded, "{error}: {}", error.source);
    }
    let component = vec![b'c'; 256];
    let error = bench.try_layer(&Tarball::new().bytes(&component, b"x").done()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{error}: {}", error.source);
}

fn targets_of_symlinks_are_any_bytes(bench: &mut Bench) {
    let longest = vec![b't'; 4095];
    let targets: [&[u8]; 12] = [
        b"/",
        b".",
        b"..",
        b"../../../../etc/passwd",
        b"/etc//passwd/",
        b"a/./b/../c",
        b" ",
        b"\n",
        b"caf\xe9",
        b"//host/share",
        b"\\",
        &longest,
    ];
    let tar = targets.iter().enumerate().fold(Tarball::new(), |tar, (number, target)| {
        let kind = Kind::Symlink { target: target.to_vec() };
        tar.entry(&blank(format!("d/{number:02}").as_bytes(), kind, 0o777), b"")
    });
    bench.layer(&tar.done());
    let check = |bench: &Bench| {
        let links: Vec<Vec<u8>> = bench
            .listing()
            .0
            .into_iter()
            .filter_map(|item| match item.node {
                Node::Symlink(target) => Some(target),
                _ => None,
            })
            .collect();
        assert_eq!(links, targets);
    };
    check(bench);
    bench.round_trip();
    check(bench);
}
