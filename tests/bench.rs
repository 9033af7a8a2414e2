//! `plywood bench`: its report as a table, as JSON, as a page that a browser shows, and compared with an older one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "a test's own files, in a folder of its own")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs the program to its end in a folder, and answers what it printed.
fn bench(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_plywood"))
        .args(["bench", "--size", "small", "--rounds", "2", "--folder"])
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The drivers that this caller can use.
fn drivers() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() { &["overlay2", "vfs"] } else { &["vfs"] }
}

/// The value of an attribute in each tag that has it, in order.
fn values<'t>(page: &'t str, attribute: &str) -> Vec<&'t str> {
    let begin = format!("{attribute}=\"");
    page.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn every_workload_runs_and_a_browser_shows_what_it_took() {
    let top = tempfile::tempdir().unwrap();
    let page = top.path().join("bench.html");
    let text = bench(top.path(), &["-q", "--json", "--html", page.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["failures"], Value::Array(Vec::new()));
    let measured = report["measurements"].as_array().unwrap();
    let names = |driver: &str| -> Vec<&str> {
        let own = measured.iter().filter(|one| one["driver"] == driver);
        own.map(|one| one["workload"].as_str().unwrap()).collect()
    };
    for driver in drivers() {
        let names = names(driver);
        assert!(names.contains(&"pull") && names.contains(&"disk"), "{driver}: {names:?}");
        if rustix::process::geteuid().is_root() {
            // All but those with more layers than the small size has.
            assert_eq!(names.len(), plywood_bench::ALL.len() - 2, "{driver}: {names:?}");
        }
    }
    for one in measured {
        assert_eq!(one["samples"].as_array().unwrap().len(), 2, "{one}");
        assert!(one["median"].as_f64().unwrap() > 0.0, "{one}");
    }
    let shown = in_browser(&page);
    let medians: Vec<f64> =
        values(&shown, "data-median").into_iter().map(|text| text.parse().unwrap()).collect();
    let workloads = values(&shown, "data-workload");
    let on = values(&shown, "data-driver");
    assert_eq!(medians.len(), measured.len());
    for one in measured {
        let found =
            (0..medians.len()).find(|at| one["workload"] == workloads[*at] && one["driver"] == on[*at]);
        let at = found.unwrap_or_else(|| panic!("no bar for {one}"));
        assert!((medians[at] - one["median"].as_f64().unwrap()).abs() < 1e-12, "{one}: {}", medians[at]);
    }
    let left: Vec<_> =
        std::fs::read_dir(top.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["bench.html"], "what was made is removed");
}

/// What a browser makes of a page: the elements that it shows, as text.
fn in_browser(page: &Path) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", home.path().display()))
        .arg(format!("file://{}", page.display()))
        .env("HOME", home.path())
        .output()
        .expect("chromium: scripts/packages chromium");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    // A browser that met a mistake in the drawing would have closed or moved elements.
    assert_eq!(shown.matches("<svg ").count(), shown.matches("</svg>").count());
    assert!(shown.contains("Which driver suits which work"), "{shown}");
    shown
}

#[test]
fn a_run_is_compared_with_an_older_one() {
    let top = tempfile::tempdir().unwrap();
    let old = top.path().join("old.json");
    let choice = ["--workloads", "snapshot,disk", "--drivers", "vfs"];
    let text = bench(top.path(), &[&["-q", "--json"], &choice[..]].concat());
    // As if it had been a million times slower, and as large: whatever the machine does meanwhile, it is quicker now.
    let mut report: Value = serde_json::from_str(&text).unwrap();
    for one in report["measurements"].as_array_mut().unwrap() {
        if one["workload"] == "snapshot" {
            for key in ["median", "lowest", "highest"] {
                one[key] = (one[key].as_f64().unwrap() * 1e6).into();
            }
        }
    }
    std::fs::write(&old, report.to_string()).unwrap();
    let shown = bench(top.path(), &[&["--compare", old.to_str().unwrap()], &choice[..]].concat());
    assert!(shown.contains("WORKLOAD") && shown.contains("better"), "{shown}");
    let (_, changed) = shown.split_once("BEFORE").unwrap();
    assert!(!changed.lines().any(|line| line.starts_with("disk")), "the disk used did not change: {shown}");

    let mut other = report;
    other["size"] = "full".into();
    std::fs::write(&old, other.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plywood"));
    command.args(["bench", "--size", "small", "--rounds", "1", "--folder"]).arg(top.path());
    let output = command.args(choice).args(["-q", "--compare"]).arg(&old).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_not_there_is_refused() {
    for (arguments, said) in [
        (["--workloads", "walk,fly"], "there is no workload 'fly'"),
        (["--drivers", "auto"], "'auto' is no driver"),
        (["--compare", "/nowhere.json"], "/nowhere.json"),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_plywood")).arg("bench").args(arguments).output().unwrap();
        assert!(!output.status.success());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{error}");
    }
}
