//! Two namespaces share layers: where the trees are equal, and never for the name alone.

use std::path::Path;

use crate::bench::{Bench, on_every_driver};
use crate::mounting::mount_all;
use crate::trees::{file, folder, list};

/// Unpacks a layer in a namespace, as containerd's metadata store names it.
fn unpack(bench: &Bench, namespace: &str, name: &str, parent: &str, content: &str) -> String {
    let committed = format!("{namespace}/{}/{name}", bench.list(&[]).unwrap().len() + 1);
    bench.layer(&committed, parent, |root| {
        folder(root, "folder", 0o755);
        file(root, "folder/file", content, 0o644);
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        std::fs::File::open(root.join("folder/file")).unwrap().set_modified(time).unwrap();
    });
    committed
}

#[test]
fn equal_layers_are_kept_once() {
    on_every_driver(|bench| {
        let a1 = unpack(bench, "one", "sha256:a", "", "1");
        let b1 = unpack(bench, "one", "sha256:b", &a1, "2");
        assert_eq!(bench.layers_on_disk(), 2);
        let a2 = unpack(bench, "two", "sha256:a", "", "1");
        let b2 = unpack(bench, "two", "sha256:b", &a2, "2");
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 2, "{}", bench.driver);
        assert_eq!(bench.stat(&b2).unwrap().parent, a2);
        assert_eq!(bench.usage(&a1).unwrap(), bench.usage(&a2).unwrap());
        bench.check();
        // The first namespace goes, the second has all it had.
        bench.remove(&b1).unwrap();
        bench.remove(&a1).unwrap();
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 2);
        let at = bench.work("seen");
        let mounted = mount_all(&bench.view("seen", &b2).unwrap(), &at);
        assert!(
            list(Path::new(&at)).iter().any(|line| line.starts_with("folder/file") && line.contains("\"2\""))
        );
        drop(mounted);
        bench.remove("seen").unwrap();
        bench.remove(&b2).unwrap();
        bench.remove(&a2).unwrap();
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 0);
    });
}

#[test]
fn a_name_alone_shares_nothing() {
    on_every_driver(|bench| {
        unpack(bench, "evil", "sha256:a", "", "poison");
        let good = unpack(bench, "good", "sha256:a", "", "honest");
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 2);
        let at = bench.work("seen");
        let mounted = mount_all(&bench.view("seen", &good).unwrap(), &at);
        assert_eq!(std::fs::read_to_string(Path::new(&at).join("folder/file")).unwrap(), "honest");
        drop(mounted);
        // A third with the same tree finds the one that is equal.
        unpack(bench, "third", "sha256:a", "", "honest");
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 2);
    });
}

#[test]
fn equal_trees_on_other_parents_or_names_are_not_shared() {
    on_every_driver(|bench| {
        let one = unpack(bench, "one", "sha256:a", "", "1");
        let two = unpack(bench, "two", "sha256:b", "", "2");
        unpack(bench, "one", "sha256:c", &one, "3");
        unpack(bench, "two", "sha256:c", &two, "3");
        bench.layer("plain", "", |_| {});
        bench.layer("also-plain", "", |_| {});
        bench.cleanup();
        assert_eq!(bench.layers_on_disk(), 6);
    });
}
