//! Tar bytes to entries and back, compression and digests; touches no file system.
//!
//! Everything here is synchronous and works in bounded memory: a stream of any length, however hostile, costs a
//! few hundred KiB (a zstd frame additionally costs its window, at most 128 MiB).
//!
//! - [`digest`]: SHA-256 digests, hashing readers and writers.
//! - [`compression`]: gzip and zstd, found by content.
//! - [`pipeline`]: decompression and hashing on a thread of their own.
//! - [`tar`]: a strict reader that shows every byte, and a reproducible writer.
//! - [`recipe`]: what is needed to rebuild a layer's tar byte for byte from its tree.

pub mod compression;
pub mod digest;
pub mod pipeline;
pub mod recipe;
pub mod tar;
