//! The cases of containerd's own suite for snapshotters (core/snapshots/testsuite, 21 of them), and what that leaves out, over the socket,
//! on every driver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]
#![allow(clippy::doc_markdown, reason = "the names of containerd's cases")]
#![allow(clippy::disallowed_methods, reason = "tests look at trees by paths of their own")]

mod bench;
mod content;
mod listing;
mod mounting;
#[path = "../../../tests/programs/mod.rs"]
mod programs;
mod removing;
mod sharing;
mod stacking;
mod states;
mod stopping;
mod trees;
mod updating;
