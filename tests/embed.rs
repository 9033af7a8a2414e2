//! The example of embedding works.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking"
)]
#![allow(dead_code, reason = "the example's own main is not run")]

#[path = "../examples/embed.rs"]
mod embed;

use std::process::Command;

#[test]
fn an_engine_pulls_mounts_changes_and_commits() {
    if !plywood::Privilege::probe().unwrap().may_mount() {
        return;
    }
    let top = tempfile::tempdir().unwrap();
    let (store, layout) = (top.path().join("store"), format!("oci:{}/layout:app", top.path().display()));
    let plywood = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plywood"));
        assert!(
            command.arg("--root").arg(top.path().join("maker")).args(arguments).status().unwrap().success()
        );
    };
    plywood(&["create", "scratch", "--name", "base"]);
    plywood(&["commit", "base", "app"]);
    plywood(&["push", "localhost/app", &layout]);
    let answer = embed::change_an_image(store.to_str().unwrap(), &layout).unwrap();
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines[0], "A /embedded");
    assert!(lines[1].starts_with("committed sha256:"), "{answer}");
}
