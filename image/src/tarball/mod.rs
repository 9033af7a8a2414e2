//! Archives of images: tars whose members are read in place, and tars written.

mod members;
mod open;
mod write;

pub(crate) use members::Archive;
pub(crate) use write::ArchiveWriter;
