//! Nothing is lost: every system call that fails, every moment at which a process is killed, full disks, and many processes at once.
//!
//! `make test` runs a sample of each; `make faults-soak` runs all of it. The sizes come from the environment, see [`number`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking, tells its numbers, and looks at the store's files by paths of its own"
)]

mod answers;
mod crowd;
mod damage;
mod full;
mod images;
mod killed;
mod load;
mod many;
mod nth;
mod operations;
mod points;
mod power;
mod random;
mod recorder;
mod supervisor;
mod syncs;
mod world;

/// Held by every test: they measure times, fill disks, and use all processors.
static MACHINE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Waits until no other test of this program runs. What this thread and its children mount ends with them, also where they are killed.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    use rustix::mount::MountPropagationFlags as Flags;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    rustix::mount::mount_change("/", Flags::REC | Flags::PRIVATE).unwrap();
    MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How much of something is to be done: what the environment says, or else so much.
fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}
