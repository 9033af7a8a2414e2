//! Every workload on every driver, at the small size.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a test says what went wrong by panicking, and has folders of its own"
)]

use std::path::Path;

use plywood_bench::{ALL, Plan, Size, Step, run};
use plywood_graph::{Durability, Store, StoreOptions};
use plywood_graphdriver::{GraphDriver, Ownership};
use plywood_overlay2::Overlay2;
use plywood_sys::identity::Privilege;
use plywood_vfs::Vfs;

fn open(driver: &str, folder: &Path) -> Result<Store, Box<dyn std::error::Error + Send + Sync>> {
    let privilege = Privilege::probe()?;
    std::fs::create_dir(folder)?;
    let home = folder.join(driver);
    let opened: Box<dyn GraphDriver> = match driver {
        "overlay2" => Box::new(Overlay2::open(&home, privilege)?),
        "vfs" => Box::new(Vfs::open(&home, privilege)?),
        _ => return Err("it is not there".into()),
    };
    let ownership = if privilege.may_change_owners() { Ownership::FromLayer } else { Ownership::Caller };
    let options = StoreOptions { durability: Durability::None, ..StoreOptions::new(ownership) };
    Ok(Store::open(folder, opened, options)?)
}

fn plan(workloads: &[&str]) -> Plan {
    Plan {
        drivers: ["overlay2", "vfs", "nothing"].map(str::to_owned).into(),
        workloads: workloads.iter().map(|name| (*name).to_owned()).collect(),
        size: Size::SMALL,
        rounds: 2,
    }
}

#[test]
fn every_workload_runs_on_every_driver() {
    let top = tempfile::tempdir().unwrap();
    let (mut announced, mut begun) = (0, 0);
    let took = run(&plan(&[]), top.path(), &open, &mut |step| match step {
        Step::Begin { runs } => announced = runs,
        Step::Running { .. } => begun += 1,
        _ => {}
    })
    .unwrap();
    assert_eq!(took.failures, []);
    assert_eq!(took.refused.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().last(), Some(&"nothing"));
    assert_eq!(announced, begun, "the bar reaches its end");
    let root = Privilege::probe().unwrap().may_mount();
    let deep = ALL.iter().filter(|workload| workload.layers > Size::SMALL.most_layers).count();
    for driver in &took.drivers {
        let own: Vec<_> = took.measurements.iter().filter(|one| one.driver == driver.name).collect();
        let able =
            if root { ALL.len() - deep } else { ALL.iter().filter(|workload| !workload.mounts).count() };
        assert_eq!(own.len(), able, "{}", driver.name);
        for one in own {
            assert_eq!(one.samples.len(), 2, "{}", one.workload);
            assert!(
                one.summary.lowest > 0.0 && one.summary.lowest <= one.summary.highest,
                "{}",
                one.workload
            );
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(top.path().to_str().unwrap()), "nothing stays mounted");
}

#[test]
fn disk_used_tells_sharing_from_copying() {
    if !Privilege::probe().unwrap().may_mount() {
        return;
    }
    let top = tempfile::tempdir().unwrap();
    let took = run(&plan(&["disk"]), top.path(), &open, &mut |_| {}).unwrap();
    let least = (Size::SMALL.large_bytes + Size::SMALL.files * Size::SMALL.small_bytes) as f64;
    let of = |driver: &str| {
        let found = took.measurements.iter().find(|one| one.driver == driver).unwrap();
        assert!(found.summary.median > least, "{driver}: {}", found.summary.median);
        found.summary.median
    };
    // Three layers that share nothing take the large file of the first three times.
    assert!(of("overlay2") < 2.0 * least + 1e6, "{}", of("overlay2"));
    assert!(of("vfs") > of("overlay2") + 2.0 * Size::SMALL.large_bytes as f64 - 1e6, "{}", of("vfs"));
}

#[test]
fn no_driver_is_an_error() {
    let top = tempfile::tempdir().unwrap();
    let plan = Plan { drivers: vec!["nothing".to_owned()], ..plan(&["pull"]) };
    assert!(run(&plan, top.path(), &open, &mut |_| {}).is_err());
}
