//! Labels: Update.

use std::collections::HashMap;
use std::time::SystemTime;

use plywood_snapshotter::proto::snapshots::{Info, Kind};
use prost_types::Timestamp;
use tonic::Code;

use crate::bench::on_every_driver;

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn nanoseconds(time: Option<&Timestamp>) -> u128 {
    let time = time.unwrap();
    u128::try_from(time.seconds).unwrap() * 1_000_000_000 + u128::try_from(time.nanos).unwrap()
}

fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()
}

#[test]
fn labels_change_and_nothing_else_does() {
    on_every_driver(|bench| {
        let before = now();
        bench.prepare("c1-a", "").unwrap();
        bench.commit("c1", "c1-a").unwrap();
        bench.prepare("c2-a", "c1").unwrap();
        bench.commit("c2", "c2-a").unwrap();
        bench.prepare("a1", "c2").unwrap();
        bench.prepare("a2", "").unwrap();
        bench.view("v1", "c2").unwrap();
        bench.view("v2", "").unwrap();
        let after = now();
        for (name, kind, parent) in [
            ("c1", Kind::Committed, ""),
            ("c2", Kind::Committed, "c1"),
            ("a1", Kind::Active, "c2"),
            ("a2", Kind::Active, ""),
            ("v1", Kind::View, "c2"),
            ("v2", Kind::View, ""),
        ] {
            let first = bench.stat(name).unwrap();
            let created = nanoseconds(first.created_at.as_ref());
            assert!((before..=after).contains(&created), "{name}");
            assert_eq!(first.updated_at, first.created_at);
            let same = |info: &Info| {
                assert_eq!((info.name.as_str(), info.kind(), info.parent.as_str()), (name, kind, parent));
                assert_eq!(info.created_at, first.created_at);
            };
            same(&first);

            let all = labels(&[("l1", "v1"), ("l2", "v2"), ("l3", "v3"), ("gone", "")]);
            let started = now();
            let asked = Info { parent: "doesnotexist".into(), labels: all, ..first.clone() };
            let updated = bench.update(asked, &[]).unwrap();
            same(&updated);
            assert!((started..=now()).contains(&nanoseconds(updated.updated_at.as_ref())));
            assert_eq!(updated.labels, labels(&[("l1", "v1"), ("l2", "v2"), ("l3", "v3")]));

            let some = Info { labels: labels(&[("l1", "updated"), ("l4", "v4")]), ..updated };
            let updated = bench.update(some, &["labels.l1", "labels.l2"]).unwrap();
            assert_eq!(updated.labels, labels(&[("l1", "updated"), ("l3", "v3")]));

            let all = Info { labels: labels(&[("l4", "v4")]), ..updated };
            let updated = bench.update(all, &["labels"]).unwrap();
            same(&updated);
            assert_eq!(updated.labels, labels(&[("l4", "v4")]));
            assert_eq!(bench.stat(name).unwrap(), updated);

            let refused = bench.update(Info { parent: "x".into(), ..updated.clone() }, &["parent"]);
            assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
            assert_eq!(bench.stat(name).unwrap(), updated);
        }
        let absent = Info { name: "absent".into(), ..Info::default() };
        assert_eq!(bench.update(absent, &[]).unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn a_commit_takes_its_own_labels_only() {
    on_every_driver(|bench| {
        bench.prepare_with("a", "", &[("containerd.io/snapshot/x", "1"), ("y", "2")]).unwrap();
        assert_eq!(bench.stat("a").unwrap().labels.len(), 2);
        bench.commit_with("c", "a", "", &[("containerd.io/snapshot.ref", "z")]).unwrap();
        assert_eq!(bench.stat("c").unwrap().labels, labels(&[("containerd.io/snapshot.ref", "z")]));
    });
}
