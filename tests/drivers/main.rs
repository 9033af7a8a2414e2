//! What every driver does alike: each case runs on overlay2 and on vfs, and both must give the tree that is written down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, reason = "tests look at trees by paths of their own")]

mod applying;
mod backing;
mod bench;
mod changing;
mod listing;
mod mounting;
mod parents;
mod tarball;
