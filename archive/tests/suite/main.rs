//! The tests of the archive crate that go through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests make fixtures with foreign programs, in folders of their own"
)]

mod bad_archives;
mod compression;
mod fixtures;
mod foreign_archives;
mod gzip_members;
mod layer;
mod pipeline;
mod recipe;
mod round_trip;
mod truncation;
