//! Real images through the real program, compared with what independent tools make of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, reason = "tests run programs and look at trees by paths of their own")]

mod interrupted;
mod lossless;
mod memory;
#[path = "../programs/mod.rs"]
mod programs;
mod real_image;
mod rootless;
mod world;
