//! Without privilege: folders and files that forbid their owner are unpacked, compared, copied and removed all the same.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::world::{World, succeed};

/// A base with folders and files that deny, and a layer that changes what is in them.
const MAKE: &str = r"
import io, sys, tarfile
def layer(path, entries):
    with tarfile.open(path, 'w', format=tarfile.PAX_FORMAT) as out:
        for name, mode, data, xattrs in entries:
            info = tarfile.TarInfo(name); info.mode = mode; info.mtime = 1700000000
            info.pax_headers = {'SCHILY.xattr.' + key: value for key, value in xattrs.items()}
            if data is None: info.type = tarfile.DIRTYPE
            else: info.size = len(data)
            out.addfile(info, io.BytesIO(data or b''))
layer(sys.argv[1], [('./', 0o555, None, {}), ('usr/', 0o555, None, {}), ('usr/f', 0o444, b'f', {'user.x': '1'}),
                    ('usr/deep/', 0o555, None, {}), ('usr/deep/g', 0o400, b'g', {}), ('shut/', 0, None, {}), ('shut/in', 0, b'in', {})])
layer(sys.argv[2], [('usr/new', 0o644, b'n', {}), ('usr/deep/.wh.g', 0, b'', {}), ('other/', 0o500, None, {}), ('other/h', 0o444, b'h', {})])
";

#[test]
fn what_forbids_its_owner_goes_in_and_out_unchanged() {
    let world = World::new();
    let (base, top) = (world.path("base.tar"), world.path("top.tar"));
    succeed(Command::new("python3").args(["-c", MAKE]).arg(&base).arg(&top));
    // The program where others may run it, and a folder that is theirs.
    let program = world.path("plywood");
    // Not by this process: a child of another thread could have the copy open for writing while it is run.
    succeed(Command::new("cp").arg(env!("CARGO_BIN_EXE_plywood")).arg(&program));
    let store = world.path("store");
    std::fs::create_dir(&store).unwrap();
    std::os::unix::fs::chown(&store, Some(65534), Some(65534)).unwrap();
    std::fs::set_permissions(world.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.env("HOME", &store).env_remove("XDG_CONFIG_HOME");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
        succeed(command.args(["-q", "--driver", "vfs", "--root"]).arg(&store).args(arguments))
    };
    let listed = |layer: &str| {
        let text = run(&["layer", "changes", layer]);
        run(&["layer", "diff", layer, "-o", store.join("diff.tar").to_str().unwrap()]);
        let listing = succeed(Command::new("tar").arg("-tvf").arg(store.join("diff.tar")));
        (
            text,
            listing
                .lines()
                .map(|line| line[..10].to_owned() + line.rsplit(' ').next().unwrap())
                .collect::<Vec<_>>(),
        )
    };
    let one = run(&["layer", "apply", base.to_str().unwrap()]).trim().to_owned();
    let (_, modes) = listed(&one);
    let expected = [
        "dr-xr-xr-x./",
        "d---------shut/",
        "----------shut/in",
        "dr-xr-xr-xusr/",
        "dr-xr-xr-xusr/deep/",
        "-r--------usr/deep/g",
        "-r--r--r--usr/f",
    ];
    assert_eq!(modes, expected);
    assert_eq!(listed(&one).1, expected, "looking changes nothing");
    let two = run(&["layer", "apply", "--parent", &one, top.to_str().unwrap()]).trim().to_owned();
    let (changes, modes) = listed(&two);
    assert_eq!(changes, "A /other\nA /other/h\nC /usr\nC /usr/deep\nD /usr/deep/g\nA /usr/new\n");
    assert!(modes.contains(&"dr-x------other/".to_owned()), "{modes:?}");
    run(&["check"]);
    run(&["layer", "remove", &two]);
    run(&["layer", "remove", &one]);
    assert_eq!(std::fs::read_dir(store.join("vfs")).unwrap().count(), 0);
}
