//! Real podman and buildah with `mount_program = fuse-union`: Debian's own packages, on stores of each test's own, as root and as an
//! ordinary user. What they make is what they make on the kernel's overlayfs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking, runs programs and looks at files by paths of its own"
)]

mod apart;
mod context;
mod course;
mod store;
