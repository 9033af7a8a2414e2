//! The oracle: a store in memory with the plainest semantics, and real drivers led along.
//!
//! A layer is a whole [`Tree`](tree::Tree); a snapshot is a copy; changes are what differs when all of two trees is compared
//! ([`compare`]); a diff is a list of entries ([`member`]). Random sequences of [`Transition`](transition::Transition)s are made on the
//! store and on a driver, through its mounts. After every step the tree, the changes and the diff of the layer that the step
//! touched must be the oracle's, and the diff done to the parent's tree must give the layer's; every 20 steps and at the end of a
//! sequence that goes for every layer there is, and the longest chain is taken to all the other drivers and must have the same
//! tree hash there.
//!
//! ```text
//! cargo test --test oracle                     a few thousand steps, and all sequences that failed once
//! make soak STEPS=100000                       longer; SEED=N for another run, told at its start
//! ```
//!
//! # Where it looks away
//! - Change lists and diffs may, and need not, tell a file as modified that is as it was, where it has several names or had: a driver
//!   need not find out which of them were its names before. What its links are after the diff was applied must be exact.
//! - Where a driver copies up, a file of the parents with several names is broken up when one of them is written to; the oracle then
//!   does the same ([`tree::HardLinks`]).
//! - Folders are moved as `mv` does, for overlayfs does not move those of its parents.
//! - Names above 251 bytes, which have no whiteout in a tar, and attributes in `user.overlay.*`, which overlay2 shows escaped
//!   (docs/adr/0006), are not tried.
//! - Times are set by hand after each operation. Access times, holes, sockets and ACLs are not compared; the suite's cases do.

pub mod compare;
mod elsewhere;
pub mod hard_links;
pub mod member;
pub mod operation;
pub mod perform;
mod place;
pub mod posix;
mod run;
pub mod store;
pub mod system;
pub mod transition;
pub mod tree;
mod trials;

pub use trials::main;
pub(crate) use trials::trial;
