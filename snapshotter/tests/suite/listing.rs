//! Lists: Walk, StatInWalk.

use crate::bench::on_every_driver;

const ROOT: (&str, &str) = ("containerd.io/gc.root", "check-walk");

#[test]
fn filters_choose() {
    on_every_driver(|bench| {
        bench.prepare_with("a-np", "", &[ROOT]).unwrap();
        bench.prepare_with("p-tmp", "", &[ROOT]).unwrap();
        bench.commit_with("p", "p-tmp", "", &[ROOT]).unwrap();
        bench.prepare_with("a", "p", &[ROOT]).unwrap();
        bench.view_with("v", "p", &[ROOT]).unwrap();
        bench.prepare_with("p-wl-tmp", "", &[ROOT]).unwrap();
        bench.commit_with("p-wl", "p-wl-tmp", "", &[("l", "1"), ROOT]).unwrap();
        bench.prepare_with("a-wl", "p-wl", &[("l", "2"), ROOT]).unwrap();
        bench.view_with("v-wl", "p-wl", &[("l", "3"), ROOT]).unwrap();
        bench.prepare_with("a-np-wl", "", &[("l", "2"), ROOT]).unwrap();
        let rooted = |filter: &str| format!("{filter}labels.\"containerd.io/gc.root\"==check-walk");
        let all = ["a", "a-np", "a-np-wl", "a-wl", "p", "p-wl", "v", "v-wl"];
        let table: [(&[&str], &[String]); 11] = [
            (&all, &[]),
            (&all, &[rooted("")]),
            (&["a", "a-np", "a-np-wl", "a-wl"], &[rooted("kind==active,")]),
            (&["v", "v-wl"], &[rooted("kind==view,")]),
            (&["p", "p-wl"], &[rooted("kind==committed,")]),
            (&["a-np-wl", "p"], &["name==p".into(), "name==a-np-wl".into()]),
            (&["a-wl"], &["name==a-wl,labels.l".into()]),
            (&["a", "v"], &["parent==p".into()]),
            (&["a", "a-wl", "v", "v-wl"], &[rooted("parent!=\"\",")]),
            (&["a-np-wl", "a-wl", "p-wl", "v-wl"], &["labels.l".into()]),
            (&["a-np-wl", "a-wl"], &["labels.l==2".into()]),
        ];
        for (expected, filters) in table {
            let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
            let infos = bench.list(&filters).unwrap();
            let mut names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, expected, "{filters:?}");
        }
    });
}

#[test]
fn what_is_listed_is_what_each_says_of_itself() {
    on_every_driver(|bench| {
        bench.prepare("c1-a", "").unwrap();
        bench.commit_with("c1", "c1-a", "", &[("x", "y")]).unwrap();
        bench.prepare("c2-a", "c1").unwrap();
        bench.commit("c2", "c2-a").unwrap();
        bench.prepare_with("a1", "c2", &[("containerd.io/snapshot/a", "b")]).unwrap();
        bench.view("v1", "c2").unwrap();
        let listed = bench.list(&[]).unwrap();
        assert_eq!(listed.len(), 4);
        for info in listed {
            assert_eq!(bench.stat(&info.name).unwrap(), info);
        }
    });
}

#[test]
fn a_long_list_comes_whole() {
    on_every_driver(|bench| {
        bench.prepare("a", "").unwrap();
        bench.commit("c", "a").unwrap();
        for number in 0..250 {
            bench.view(&format!("view-{number}"), "c").unwrap();
        }
        assert_eq!(bench.list(&[]).unwrap().len(), 251);
    });
}
