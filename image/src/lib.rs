//! OCI layouts and docker archives to layers to register, and back.
//!
//! - [`pull`] and [`load`] bring images into a store, out of what a [`Location`] names.
//! - [`push`] and [`save`] write them out again, from layers that the store has verified.
//! - [`commit`] makes an image of a container, and [`history`] and [`inspect_json`] tell about one.
//!
//! Nothing that comes in is believed: every document and layer is checked against its size and digest, no symlink of
//! a layout is followed, and documents are at most [`DOCUMENT_LIMIT_BYTES`] long.

mod change;
mod commit;
mod docker_archive;
mod document;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod history;
mod inspect;
mod layout;
mod load;
mod location;
mod media_type;
mod originals;
mod packing;
mod partial;
mod platform;
mod pull;
mod push;
mod replace;
mod save;
mod tarball;
mod timestamp;

pub use change::{Change, InvalidChange};
pub use commit::{CommitOptions, commit};
pub use document::{Config, DOCUMENT_LIMIT_BYTES, Execution, HistoryRecord};
pub use error::ImageError;
pub use history::{HistoryEntry, history};
pub use inspect::inspect_json;
pub use load::{ArchiveInput, Loaded, load};
pub use location::{InvalidLocation, Location};
pub use originals::Originals;
pub use platform::{InvalidPlatform, Platform};
pub use pull::{PullOptions, pull};
pub use push::{ManifestFormat, PushOptions, push};
pub use save::{SaveFormat, save, save_to_file};
