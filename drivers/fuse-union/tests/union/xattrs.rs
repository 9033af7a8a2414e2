//! Extended attributes, and those of overlay file systems among them.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Errno;

use crate::stage::{MODES, Stage};

#[test]
fn attributes_of_programs_are_theirs_whatever_their_names() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/folder/below", "x");
        let served = stage.mount(io);
        let path = stage.path("merged/folder");
        for name in
            ["trusted.overlay.opaque", "user.overlay.whiteout", "user.plain", "trusted.overlay.overlay.x"]
        {
            setxattr(&path, name, b"y", XattrFlags::CREATE).unwrap();
            assert_eq!(setxattr(&path, name, b"y", XattrFlags::CREATE), Err(Errno::EXIST), "{name} {io:?}");
        }
        let check = || {
            let mut value = [0_u8; 256];
            let length = listxattr(&path, &mut value).unwrap();
            let mut listed: Vec<&[u8]> =
                value[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
            listed.sort_unstable();
            let expected: [&[u8]; 4] = [
                b"trusted.overlay.opaque",
                b"trusted.overlay.overlay.x",
                b"user.overlay.whiteout",
                b"user.plain",
            ];
            assert_eq!(listed, expected, "{io:?}");
            assert_eq!(crate::stage::names(&path), ["below"], "it is not opaque: {io:?}");
        };
        check();
        drop(served);
        let _again = stage.mount(io);
        check();
        removexattr(&path, "trusted.overlay.opaque").unwrap();
        assert_eq!(removexattr(&path, "trusted.overlay.opaque"), Err(Errno::NODATA));
    }
}

#[test]
fn a_long_value_comes_back() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/file", "x");
        let _served = stage.mount(io);
        let path = stage.path("merged/file");
        let value = vec![7_u8; 3000];
        setxattr(&path, "user.long", &value, XattrFlags::empty()).unwrap();
        let mut read = vec![0_u8; 4096];
        let length = getxattr(&path, "user.long", &mut read[..]).unwrap();
        assert_eq!(read[..length], value, "{io:?}");
        assert_eq!(getxattr(&path, "user.long", &mut read[..10]), Err(Errno::RANGE));
    }
}

#[test]
fn links_have_attributes_of_their_own() {
    for io in MODES {
        let stage = Stage::new();
        stage.write("lower/file", "x");
        symlink("file", stage.path("lower/link")).unwrap();
        let _served = stage.mount(io);
        let link = stage.path("merged/link");
        rustix::fs::lsetxattr(&link, "trusted.mark", b"1", XattrFlags::empty()).unwrap();
        let mut value = [0_u8; 8];
        assert_eq!(rustix::fs::lgetxattr(&link, "trusted.mark", &mut value), Ok(1), "{io:?}");
        assert_eq!(getxattr(&link, "trusted.mark", &mut value), Err(Errno::NODATA), "{io:?}");
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("file"));
    }
}
