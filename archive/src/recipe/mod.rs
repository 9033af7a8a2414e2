//! What is needed to rebuild a layer's tar byte for byte from the layer's tree.
//!
//! The format is drawn in `docs/design/recipe.md`.

mod error;
mod format;
mod reader;
mod rebuild;
mod writer;

pub use error::RecipeError;
pub use format::{Operation, Trailer};
pub use reader::Reader;
pub use rebuild::{ReadAt, ReadWriteSeek, RecipeTree, rebuild};
pub use writer::Writer;
