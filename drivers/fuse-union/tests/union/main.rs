//! The union file system, mounted, as root, in every mode of I/O.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test says what went wrong by panicking, and looks at files as any program does"
)]
#![allow(
    clippy::large_stack_arrays,
    clippy::items_after_statements,
    clippy::cast_possible_truncation,
    reason = "contents are made up where they are used"
)]

mod copying;
mod driver;
mod files;
mod layers;
mod namespaces;
mod nesting;
mod privileges;
mod program;
mod removing;
mod renaming;
mod stage;
mod traps;
mod xattrs;
