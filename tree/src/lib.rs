//! What every driver shares: confined path resolution, walk, copy, whiteouts, apply, changes and export.
//!
//! Trees are handled through open folders and single names in them; no name that came from a layer is ever joined onto a
//! path of the host. All trees of one call are on one file system.

pub mod apply;
pub mod changes;
pub mod contents;
mod copy;
pub mod copy_tree;
pub mod equal;
pub mod export;
mod fail;
pub mod file;
pub mod folder;
pub mod home;
mod linked;
pub mod markers;
pub mod merge;
pub mod metadata;
pub mod mount_options;
pub mod mounted;
pub mod path;
mod pending;
pub mod resolve;
pub mod settle;
mod spool;
pub mod stack;
pub mod unpack;
pub mod upper_layers;
pub mod usage;
pub mod xattr;

pub use contents::ContentsFiles;
pub use markers::{Markers, Namespace};
pub use stack::Stack;
