//! What a layer takes: the same by every way of asking.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use plywood_graphdriver::Usage;

use crate::bench::Bench;
use crate::case::cases;
use crate::tarball::{Tarball, entries};

cases! {
    "sizes";
    a_layers_size_is_the_same_by_every_way_of_asking: [Mounts],
    a_layers_size_is_its_own_without_its_parents: [Mounts],
    what_is_deleted_or_untouched_takes_nothing: [Mounts],
    a_rewritten_file_counts_whole: [Mounts],
    one_file_of_several_names_counts_once: [Mounts],
    a_native_diff_reads_only_what_the_layer_holds: [Mounts, NativeDiff],
    containers_of_one_image_read_one_copy: [Mounts, SharesPageCache],
}

/// Bytes of files in a tar, each inode once.
fn sum(tar: &[u8]) -> u64 {
    entries(tar).iter().map(|(entry, _)| entry.size_bytes).sum()
}

fn a_layers_size_is_the_same_by_every_way_of_asking(bench: &mut Bench) {
    let tar = Tarball::new()
        .file("a", &"a".repeat(1000))
        .folder("d/", 0o755)
        .file("d/b", &"b".repeat(70_000))
        .link("d/again", "a")
        .symlink("l", "a")
        .sparse("s", 1 << 20, &[(4096, b"x")])
        .done();
    let applied = bench.layer(&tar);
    let expected = Usage { size_bytes: 1000 + 70_000 + (1 << 20), inodes: 5 };
    assert_eq!(sum(&tar), expected.size_bytes);
    assert_eq!(applied.usage, expected);
    assert_eq!(bench.usage(), expected);
    bench.change(|root| {
        fs::write(root.join("new"), vec![1; 12_345]).unwrap();
        fs::write(root.join("d/b"), vec![2; 50_000]).unwrap();
        fs::remove_file(root.join("l")).unwrap();
    });
    let (diff, exported) = bench.diff_of(&bench.top()).unwrap();
    assert_eq!(sum(&diff), 62_345);
    assert_eq!(exported.size_bytes, 62_345);
    assert_eq!(bench.usage().size_bytes, 62_345);
    bench.chain.pop();
    assert_eq!(bench.layer(&diff).usage.size_bytes, 62_345);
    assert_eq!(bench.usage().size_bytes, 62_345);
}

fn a_layers_size_is_its_own_without_its_parents(bench: &mut Bench) {
    let mut total = 0;
    for number in 1..=4_u32 {
        let size = usize::try_from(number * 1000).unwrap();
        bench.commit(|root| fs::write(root.join(format!("f{number}")), vec![0xaa; size]).unwrap());
        assert_eq!(bench.usage(), Usage { size_bytes: size as u64, inodes: 1 });
        total += size;
    }
    let whole: u64 = (0..4).map(|at| bench.driver.usage(bench.at(at).as_ref()).unwrap().size_bytes).sum();
    assert_eq!(whole, total as u64);
}

fn what_is_deleted_or_untouched_takes_nothing(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("d/f", "x").file("g", "content").done());
    bench.snapshot();
    assert_eq!(bench.usage(), Usage::default());
    bench.view();
    assert_eq!(bench.usage(), Usage::default());
    bench.chain.truncate(1);
    bench.change(|root| {
        fs::remove_file(root.join("g")).unwrap();
        fs::remove_dir_all(root.join("d")).unwrap();
    });
    assert_eq!(bench.usage(), Usage::default());
}

fn a_rewritten_file_counts_whole(bench: &mut Bench) {
    bench.layer(&Tarball::new().file("f", &"x".repeat(9000)).file("g", &"x".repeat(5000)).done());
    bench.change(|root| {
        let file = fs::File::options().write(true).open(root.join("f")).unwrap();
        file.write_all_at(b"y", 4000).unwrap();
    });
    assert_eq!(bench.usage(), Usage { size_bytes: 9000, inodes: 1 });
    bench.write(|root| fs::write(root.join("g"), "shorter").unwrap());
    assert_eq!(bench.usage(), Usage { size_bytes: 9007, inodes: 2 });
    assert_eq!(bench.diff_of(&bench.top()).unwrap().1.size_bytes, 9007);
}

fn one_file_of_several_names_counts_once(bench: &mut Bench) {
    bench.change(|root| {
        fs::write(root.join("a"), vec![1; 3000]).unwrap();
        for name in ["b", "c"] {
            fs::hard_link(root.join("a"), root.join(name)).unwrap();
        }
    });
    assert_eq!(bench.usage(), Usage { size_bytes: 3000, inodes: 1 });
    assert_eq!(sum(&bench.diff()), 3000);
    assert_eq!(bench.diff_of(&bench.top()).unwrap().1.size_bytes, 3000);
}

/// What this process read so far (`/proc/self/io`): in calls as `rchar`, from the disk as `read_bytes`.
fn counted(field: &str) -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": ")).unwrap().parse().unwrap()
}

fn a_native_diff_reads_only_what_the_layer_holds(bench: &mut Bench) {
    let large = "0123456789abcdef".repeat(1 << 20);
    bench.layer(&Tarball::new().file("d/large", &large).file("d/small", "x").done());
    bench.change(|root| {
        fs::write(root.join("d/small"), "y").unwrap();
        fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
    });
    let before = counted("rchar");
    let diff = bench.diff();
    let read = counted("rchar") - before;
    assert!(diff.len() < 16 << 10, "the diff has {} bytes", diff.len());
    assert!(read < 1 << 20, "{read} bytes were read for a diff of one byte");
}

fn containers_of_one_image_read_one_copy(bench: &mut Bench) {
    const LARGE_BYTES: usize = 8 << 20;
    bench.layer(&Tarball::new().file("large", &"0123456789abcdef".repeat(LARGE_BYTES / 16)).done());
    let [one, other] = ["one", "other"].map(|name| {
        let layer = bench.branch(1, |bench| {
            bench.snapshot();
            bench.top()
        });
        bench.mount(&layer, &plywood_graphdriver::MountRequest::read_write(), name).unwrap()
    });
    let (read, looked) = (one.target().join("large"), other.target().join("large"));
    let file = fs::File::open(&looked).unwrap();
    rustix::fs::syncfs(&file).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    drop(file);
    let from_disk = |path: &Path| {
        let before = counted("read_bytes");
        assert_eq!(fs::read(path).unwrap().len(), LARGE_BYTES);
        counted("read_bytes") - before
    };
    let first = from_disk(&read);
    // Of a file system in memory nothing comes from a disk, and there is but one copy.
    let home = fs::File::open(bench.home()).unwrap();
    let in_memory = plywood_sys::backing::name(&home).unwrap() == "tmpfs";
    assert!(
        in_memory || first >= LARGE_BYTES as u64,
        "{first} bytes were read: the rest was in memory before"
    );
    assert_eq!(from_disk(&looked), 0, "what one container read is not there for the other");
    one.unmount().unwrap();
    other.unmount().unwrap();
}
