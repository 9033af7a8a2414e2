//! What programs in containers rely on; much of it peers say of themselves that they do not test.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sched::CloneFlags;

use crate::bench::Bench;
use crate::case::cases;
use crate::listing::below;
use crate::tarball::{SHOWN_TIME, Tarball, paths};

cases! {
    "programs";
    sockets_work_and_are_left_out_of_diffs: [Mounts],
    a_folder_keeps_its_inode_while_it_is_written_to: [Mounts],
    an_open_file_keeps_its_inode_while_it_is_written_to: [Mounts],
    an_open_file_outlives_its_name: [Mounts],
    a_removed_working_folder_is_told_so: [Mounts],
    a_mode_changed_on_a_file_of_below_is_all_that_changes: [Mounts],
    a_folder_is_emptied_while_it_is_listed: [Mounts],
    a_tree_is_removed_while_it_is_walked: [Mounts],
    a_file_of_below_is_appended_to: [Mounts],
    hard_links_of_below_are_counted: [Mounts],
    fifos_pass_bytes: [Mounts],
    locks_are_seen_by_others: [Mounts],
    a_file_of_below_is_cut_and_grows: [Mounts],
}

fn base() -> Vec<u8> {
    Tarball::new()
        .folder("./", 0o755)
        .folder("d/", 0o755)
        .file("d/f", "content")
        .file("d/sub/g", "more")
        .file("linked", "two names")
        .link("d/linked", "linked")
        .done()
}

fn sockets_work_and_are_left_out_of_diffs(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        let listener = UnixListener::bind(root.join("d/socket")).unwrap();
        let mut client = UnixStream::connect(root.join("d/socket")).unwrap();
        client.write_all(b"hello").unwrap();
        drop(client);
        let mut heard = String::new();
        listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        fs::write(root.join("d/beside"), "x").unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "A /d/beside", "A /d/socket"]);
    // No tar holds a socket.
    assert_eq!(paths(&bench.diff()), ["d/", "d/beside"]);
    bench.seal();
    bench.snapshot();
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    let mode = 0o777 & !mask.bits();
    assert_eq!(below(&bench.tree(), "/d/socket"), [format!("/d/socket socket {mode:o} 0:0")]);
}

fn inode(path: &Path) -> u64 {
    path.metadata().unwrap().ino()
}

fn a_folder_keeps_its_inode_while_it_is_written_to(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        let before = [inode(root), inode(&root.join("d")), inode(&root.join("d/sub"))];
        let open = fs::File::open(root.join("d")).unwrap();
        fs::write(root.join("d/new"), "x").unwrap();
        fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(root.join("d/sub/g"), "changed").unwrap();
        fs::remove_file(root.join("d/f")).unwrap();
        assert_eq!([inode(root), inode(&root.join("d")), inode(&root.join("d/sub"))], before);
        assert_eq!(open.metadata().unwrap().ino(), before[1]);
        let listed: Vec<_> = fs::read_dir(root.join("d")).unwrap().map(|entry| entry.unwrap()).collect();
        for entry in listed {
            use std::os::unix::fs::DirEntryExt;
            assert_eq!(
                entry.ino(),
                entry.metadata().unwrap().ino(),
                "{} is listed by another number",
                entry.file_name().display()
            );
        }
    });
}

fn an_open_file_keeps_its_inode_while_it_is_written_to(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        let path = root.join("d/f");
        let open = fs::File::open(&path).unwrap();
        let before = open.metadata().unwrap().ino();
        assert_eq!(inode(&path), before);
        fs::write(&path, "written by another").unwrap();
        assert_eq!(inode(&path), before, "the name has another inode since it was written to");
        assert_eq!(open.metadata().unwrap().ino(), before, "the open file has another inode");
        fs::rename(&path, root.join("renamed")).unwrap();
        assert_eq!(inode(&root.join("renamed")), before);
    });
}

fn an_open_file_outlives_its_name(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        let mut read = fs::File::open(root.join("d/f")).unwrap();
        let mut written = fs::File::options().read(true).write(true).open(root.join("d/sub/g")).unwrap();
        fs::remove_dir_all(root.join("d")).unwrap();
        let mut content = String::new();
        read.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
        written.write_all(b"MORE and more").unwrap();
        written.seek(SeekFrom::Start(0)).unwrap();
        content.clear();
        written.read_to_string(&mut content).unwrap();
        assert_eq!(content, "MORE and more");
        assert_eq!(written.metadata().unwrap().nlink(), 0);
    });
    assert_eq!(bench.changes(), ["D /d"]);
}

fn a_removed_working_folder_is_told_so(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                // The working folder of this thread alone.
                nix::sched::unshare(CloneFlags::CLONE_FS).unwrap();
                std::env::set_current_dir(root.join("d/sub")).unwrap();
                assert_eq!(std::env::current_dir().unwrap(), root.join("d/sub"));
                fs::remove_file("g").unwrap();
                fs::remove_dir(root.join("d/sub")).unwrap();
                let error = std::env::current_dir().unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
                assert_eq!(fs::write("new", "").unwrap_err().kind(), std::io::ErrorKind::NotFound);
                assert_eq!(fs::read_dir(".").unwrap().count(), 0);
                // A folder of the same name is another one.
                fs::create_dir(root.join("d/sub")).unwrap();
                assert_eq!(std::env::current_dir().unwrap_err().kind(), std::io::ErrorKind::NotFound);
                // A thread lets go of its folder a little after it is joined.
                std::env::set_current_dir("/").unwrap();
            });
            inside.join().unwrap();
        });
    });
    assert_eq!(bench.changes(), ["C /d", "C /d/sub", "D /d/sub/g"]);
}

fn a_mode_changed_on_a_file_of_below_is_all_that_changes(bench: &mut Bench) {
    bench.layer(&base());
    let before = bench.tree();
    bench.change(|root| {
        fs::set_permissions(root.join("d/f"), fs::Permissions::from_mode(0o4755)).unwrap();
    });
    assert_eq!(bench.changes(), ["C /d", "C /d/f"]);
    let expected: Vec<String> = before
        .iter()
        .map(|line| match line.strip_prefix("/d/f file 'content' 644") {
            Some(rest) => format!("/d/f file 'content' 4755{rest}"),
            None => line.clone(),
        })
        .collect();
    assert_ne!(expected, before);
    assert_eq!(bench.tree(), expected);
    bench.round_trip();
    assert_eq!(bench.tree(), expected);
    assert_eq!(bench.look_at(&bench.at(0), crate::listing::list), before);
}

fn a_folder_is_emptied_while_it_is_listed(bench: &mut Bench) {
    const FILES: usize = 1500;
    let tar = (0..FILES).fold(Tarball::new(), |tar, number| tar.file(&format!("many/of-below-{number}"), ""));
    bench.layer(&tar.done());
    bench.change(|root| {
        let many = root.join("many");
        for number in 0..FILES {
            fs::write(many.join(format!("own-{number}")), "").unwrap();
        }
        let mut seen = 0;
        for entry in fs::read_dir(&many).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
            seen += 1;
        }
        assert_eq!(seen, 2 * FILES, "names were passed over, or seen twice");
        fs::remove_dir(&many).unwrap();
    });
    assert_eq!(bench.changes(), ["D /many"]);
}

fn a_tree_is_removed_while_it_is_walked(bench: &mut Bench) {
    let tar = (0..300).fold(Tarball::new(), |tar, number| {
        tar.file(&format!("t/{}/{}/f{number}", number % 5, number % 7), "x")
    });
    bench.layer(&tar.done());
    bench.change(|root| {
        let walker = fs::read_dir(root.join("t")).unwrap();
        let deeper = fs::read_dir(root.join("t/1")).unwrap();
        fs::remove_dir_all(root.join("t")).unwrap();
        // Names that are gone may or may not be listed still; nothing else is, and no walk fails or hangs.
        for entry in walker.chain(deeper) {
            let name = entry.unwrap().file_name();
            assert!(name.to_str().unwrap().parse::<u32>().unwrap() < 7, "{}", name.display());
        }
        assert!(!root.join("t").exists());
    });
    bench.round_trip();
    assert_eq!(bench.changes(), ["D /t"]);
}

fn a_file_of_below_is_appended_to(bench: &mut Bench) {
    bench.layer(&Tarball::new().bytes(b"log", &vec![b'a'; 200_000]).done());
    bench.change(|root| {
        let mut log = fs::File::options().append(true).open(root.join("log")).unwrap();
        log.write_all(b"appended").unwrap();
    });
    bench.round_trip();
    bench.look(|root| {
        let content = fs::read(root.join("log")).unwrap();
        assert_eq!(content.len(), 200_008);
        assert!(content.starts_with(b"aaaa") && content.ends_with(b"aappended"));
    });
}

fn hard_links_of_below_are_counted(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        assert_eq!(root.join("linked").metadata().unwrap().nlink(), 2);
        assert_eq!(inode(&root.join("linked")), inode(&root.join("d/linked")));
        fs::hard_link(root.join("d/f"), root.join("d/second")).unwrap();
        assert_eq!(inode(&root.join("d/f")), inode(&root.join("d/second")));
        fs::write(root.join("d/second"), "both").unwrap();
        assert_eq!(fs::read_to_string(root.join("d/f")).unwrap(), "both");
        assert_eq!(root.join("d/f").metadata().unwrap().nlink(), 2);
    });
    assert_eq!(bench.changes(), ["C /d", "C /d/f", "A /d/second"]);
    bench.round_trip();
    assert_eq!(below(&bench.tree(), "/d/second"), ["/d/second same as /d/f 644 0:0"]);
    let tree = bench.tree();
    assert!(tree.contains(&format!("/linked same as /d/linked 644 0:0 {SHOWN_TIME}")), "{tree:?}");
}

fn fifos_pass_bytes(bench: &mut Bench) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    bench.layer(&base());
    bench.change(|root| {
        let fifo = root.join("d/fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| fs::write(&fifo, "through").unwrap());
            assert_eq!(fs::read_to_string(&fifo).unwrap(), "through");
        });
    });
    bench.round_trip();
    assert_eq!(below(&bench.tree(), "/d/fifo"), ["/d/fifo fifo 600 0:0"]);
}

fn locks_are_seen_by_others(bench: &mut Bench) {
    bench.layer(&base());
    bench.change(|root| {
        let open = || fs::File::options().read(true).write(true).open(root.join("d/f")).unwrap();
        let (one, other) = (open(), open());
        one.lock().unwrap();
        assert!(matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock)));
        one.unlock().unwrap();
        other.try_lock().unwrap();
    });
}

fn a_file_of_below_is_cut_and_grows(bench: &mut Bench) {
    bench.layer(&Tarball::new().bytes(b"f", &[b'a'; 8192]).done());
    bench.change(|root| {
        let file = fs::File::options().read(true).write(true).open(root.join("f")).unwrap();
        file.set_len(100_000).unwrap();
        file.set_len(4096).unwrap();
        file.set_len(6000).unwrap();
    });
    bench.round_trip();
    let content = bench.look(|root| fs::read(root.join("f")).unwrap());
    assert_eq!(content, [vec![b'a'; 4096], vec![0; 1904]].concat());
}
