//! Inputs that must not get through: for each, what the layer is afterwards, and that nothing outside of it changed.
//!
//! Every case runs on overlay2 and on vfs, surrounded by [canaries](canary) that are compared after every layer, refused or
//! not. Without root the cases run on vfs alone, with the caller's ownership.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking, and looks at the host's paths on purpose"
)]

mod canary;
mod crafted;
mod look;
mod stage;

mod attributes;
mod devices;
mod digests;
mod extensions;
mod hard_links;
mod layouts;
mod limits;
mod memory;
mod names;
mod numbers;
mod opaque;
mod replaced;
mod sparse;
mod store;
mod symlinks;
mod whiteouts;
