//! Archives made by GNU tar and by Python.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use plywood_archive::tar::Kind;

use crate::fixtures::{expanded, read};
use crate::layer::check_lossless;

/// Makes a folder with one of everything that needs no privilege; `long` adds names that v7 and ustar cannot hold.
fn make_tree(root: &Path, long: bool) {
    fs::create_dir_all(root.join("folder/sub")).unwrap();
    fs::write(root.join("folder/file"), b"content").unwrap();
    fs::write(root.join("folder/empty"), b"").unwrap();
    fs::write(root.join("folder/block"), [b'b'; 512]).unwrap();
    fs::write(root.join("folder/large"), vec![b'l'; 300_000]).unwrap();
    fs::hard_link(root.join("folder/file"), root.join("folder/twin")).unwrap();
    symlink("file", root.join("folder/link")).unwrap();
    if long {
        let deep = format!("folder/{}/{}", "d".repeat(120), "e".repeat(130));
        fs::create_dir_all(root.join(&deep)).unwrap();
        fs::write(root.join(format!("{deep}/näme")), b"deep").unwrap();
        symlink(&deep, root.join("folder/long-link")).unwrap();
    }
    // 30 ranges are more than the 25 that an old GNU header and one extension block hold.
    let sparse = fs::File::create(root.join("folder/sparse")).unwrap();
    for index in 0..30_u8 {
        sparse.write_all_at(&[index + 1; 700], u64::from(index) * 65_536 + 100).unwrap();
    }
    sparse.set_len(4_000_000).unwrap();
    fs::File::create(root.join("folder/hole")).unwrap().set_len(1_000_000).unwrap();
}

fn gnu_tar(root: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--create", "--file=-", "--sort=name"])
        .args(arguments)
        .arg("--directory")
        .arg(root)
        .arg("folder")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Compares an archive with the folder it was made of.
fn compare(root: &Path, tar: &[u8], sparse: bool, nanoseconds: bool) {
    let entries = read(tar).unwrap();
    assert!(entries.len() >= 9);
    for (entry, payload) in &entries {
        let path = root.join(String::from_utf8(entry.path.clone()).unwrap());
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!(entry.mode, metadata.mode() & 0o7777);
        assert_eq!((entry.uid, entry.gid), (metadata.uid(), metadata.gid()));
        assert_eq!(entry.modified.seconds, metadata.mtime());
        if nanoseconds {
            assert_eq!(i64::from(entry.modified.nanoseconds), metadata.mtime_nsec());
        }
        match &entry.kind {
            Kind::Regular => {
                assert!(expanded(entry, payload) == fs::read(&path).unwrap(), "{}", path.display());
            }
            Kind::HardLink { target } => {
                let target = root.join(String::from_utf8(target.clone()).unwrap());
                assert_eq!(fs::metadata(target).unwrap().ino(), metadata.ino());
            }
            Kind::Symlink { target } => {
                assert_eq!(fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes(), target);
            }
            Kind::Directory => assert!(metadata.is_dir()),
            other => panic!("{other:?}"),
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(entry.sparse.is_some(), sparse && (name == "sparse" || name == "hole"), "{name}");
    }
    check_lossless(tar);
}

#[test]
fn gnu_tar_in_every_format() {
    let root = tempfile::tempdir().unwrap();
    make_tree(root.path(), false);
    for format in ["v7", "ustar", "gnu", "oldgnu", "pax"] {
        let tar = gnu_tar(root.path(), &[&format!("--format={format}")]);
        compare(root.path(), &tar, false, format == "pax");
    }
}

#[test]
fn gnu_tar_with_long_names_and_sparse_files() {
    let root = tempfile::tempdir().unwrap();
    make_tree(root.path(), true);
    let sparse = ["--sparse", "--hole-detection=raw"];
    for format in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let tar = gnu_tar(root.path(), &[&sparse[..], format].concat());
        compare(root.path(), &tar, true, format[0] == "--format=pax");
    }
}

#[test]
fn python_in_every_format() {
    let script = r"
import io, sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=int(sys.argv[1])) as tar:
    def add(name, kind=tarfile.REGTYPE, data=b'', **fields):
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(data)
        for key, value in fields.items(): setattr(info, key, value)
        tar.addfile(info, io.BytesIO(data))
    add('folder', tarfile.DIRTYPE, mode=0o1755)
    add('folder/file', data=b'content', mode=0o4711, uid=12, gid=34, mtime=1700000000)
    add('folder/device', tarfile.CHRTYPE, devmajor=5, devminor=1)
    add('folder/disk', tarfile.BLKTYPE, devmajor=259, devminor=7)
    add('folder/pipe', tarfile.FIFOTYPE)
    add('folder/link', tarfile.SYMTYPE, linkname='file')
    add('folder/twin', tarfile.LNKTYPE, linkname='folder/file')
    add('not-kept', data=b'k' * 700)
    add('folder/file', data=b'later')
    if sys.argv[1] != '0':
        add('long/' + 'n' * 200, data=b'long', uid=3000000, mtime=-5)
    if sys.argv[1] == '2':
        add('times', mtime=1.5, pax_headers={'SCHILY.xattr.user.x': 'value', 'comment': 'none'})
";
    for (format, count) in [(0, 9), (1, 10), (2, 11)] {
        let output = Command::new("python3").args(["-c", script, &format.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let entries = read(&output.stdout).unwrap();
        assert_eq!(entries.len(), count, "{format}");
        assert_eq!((entries[0].0.mode, &entries[0].0.kind), (0o1755, &Kind::Directory));
        let file = &entries[1].0;
        assert_eq!((file.mode, file.uid, file.gid), (0o4711, 12, 34));
        assert_eq!(file.modified.seconds, 1_700_000_000);
        assert_eq!(entries[2].0.kind, Kind::CharDevice { major: 5, minor: 1 });
        assert_eq!(entries[3].0.kind, Kind::BlockDevice { major: 259, minor: 7 });
        if count > 9 {
            let long = &entries[9].0;
            assert_eq!((long.path.len(), long.uid, long.modified.seconds), (205, 3_000_000, -5));
        }
        if count > 10 {
            let times = &entries[10].0;
            assert_eq!((times.modified.seconds, times.modified.nanoseconds), (1, 500_000_000));
            assert_eq!(times.xattrs, [(b"user.x".to_vec(), b"value".to_vec())]);
        }
        check_lossless(&output.stdout);
    }
}
