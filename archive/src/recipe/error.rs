//! Why a recipe cannot be used.

use std::io;

use crate::digest::Measured;

/// Says why a recipe cannot be read or followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The recipe itself could not be read: its source failed, or it is cut off or corrupt as zstd sees it.
    #[error("the recipe could not be read at operation {operation}")]
    Read {
        /// How many operations were read before.
        operation: u64,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The stream is not a recipe.
    #[error("this is not a recipe")]
    Magic,
    /// The recipe was written by a later version.
    #[error("the recipe has version {found}, versions up to {known} are known")]
    Version {
        /// What the recipe says.
        found: u8,
        /// The latest version that is known.
        known: u8,
    },
    /// An operation makes no sense.
    #[error("corrupt recipe at operation {operation}: {reason}")]
    Corrupt {
        /// How many operations were read before.
        operation: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file of the tree could not be read.
    #[error("`{}` could not be read from the tree", path.escape_ascii())]
    Tree {
        /// The file, raw as the recipe names it.
        path: Vec<u8>,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The temporary file for displaced contents failed.
    #[error("the displaced content of `{}` could not be kept", path.escape_ascii())]
    Scratch {
        /// The file whose content was to be kept or fetched.
        path: Vec<u8>,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The tar could not be written.
    #[error("the rebuilt tar could not be written")]
    Output {
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The rebuilt bytes are not those that were recorded: the tree has changed. What was written is void.
    #[error(
        "the rebuilt tar is {} with {} bytes, recorded was {} with {}",
        actual.digest, actual.size_bytes, expected.digest, expected.size_bytes
    )]
    Mismatch {
        /// What the recipe recorded.
        expected: Measured,
        /// What was written.
        actual: Measured,
    },
}
