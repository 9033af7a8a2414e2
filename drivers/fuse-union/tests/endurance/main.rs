//! What a server holds after much work, and who waits for whom: memory, open files, stalls. A little of it in `make test`; `make fuse-soak` does all.
//!
//! `PLYWOOD_FUSE_FILES` says how many files are walked, `PLYWOOD_FUSE_SECONDS` how long files come and go, `PLYWOOD_FUSE_MEBIBYTES` how large the
//! file is that is copied up, and `PLYWOOD_FUSE_STALL_MILLISECONDS` how long nobody else may wait meanwhile: by itself a minute, because a machine
//! with other work stops everybody now and then. tests/union/copying.rs shows without a clock that nobody waits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking, and runs programs"
)]

mod beside;
mod churn;
mod memory;
mod server;

/// Held by every test: they measure times and memory.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static MACHINE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A number that the environment has, or the one for `make test`.
fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap(),
        _ => default,
    }
}
