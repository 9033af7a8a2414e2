//! Real containerd over the snapshotter: Debian's own packages `containerd` and `runc`, on a root, a state and sockets of each test's own.
//!
//! How many images and containers the load has is in `PLYWOOD_ENGINES_IMAGES` and `PLYWOOD_ENGINES_CONTAINERS`; `make engines-soak` says 10
//! and 200.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files by paths of their own")]

mod course;
mod engine;
mod image;
mod killed;
mod load;
mod namespaces;
#[path = "../programs/mod.rs"]
mod programs;
mod serving;

/// The drivers that containerd is run on.
const DRIVERS: [&str; 3] = ["overlay2", "fuse-union", "vfs"];
