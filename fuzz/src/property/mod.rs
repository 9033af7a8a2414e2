//! The properties, one a target.

pub mod apply_canary;
pub mod apply_diff_apply;
pub mod decompress;
pub mod documents;
pub mod mount_options;
pub mod recipe;
pub mod store_database;
pub mod tar_bytes;
pub mod tar_differential;
pub mod tar_entries;
