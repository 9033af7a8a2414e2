//! What goes into an apply, and what comes out.

use std::fmt;
use std::io::Write;

use crate::Usage;

/// Bounds on what a layer may ask for. The defaults are those of `docs/limits.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries in one layer.
    pub entries: u64,
    /// Bytes of a path or link target.
    pub path_bytes: usize,
    /// Bytes between two slashes.
    pub component_bytes: usize,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of one PAX header block.
    pub pax_bytes: usize,
    /// Bytes of one extended attribute's value.
    pub xattr_value_bytes: usize,
    /// Bytes of all extended attributes of an entry, names included.
    pub xattr_entry_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            path_bytes: 4096,
            component_bytes: 255,
            depth: 1024,
            pax_bytes: 1 << 20,
            xattr_value_bytes: 64 << 10,
            xattr_entry_bytes: 256 << 10,
        }
    }
}

/// Whose the unpacked files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// The owners that the tar names. Needs `CAP_CHOWN`.
    FromLayer,
    /// The caller's, whatever the tar says; devices are skipped. For callers without privilege.
    Caller,
}

/// How a layer is to be applied.
pub struct ApplyOptions<'a> {
    /// Bounds on the input.
    pub limits: Limits,
    /// Whose the files are.
    pub ownership: Ownership,
    /// Where the recipe goes that rebuilds the tar byte for byte from the layer's
    /// [`contents`](crate::GraphDriver::contents) (format: `docs/design/recipe.md`); none is kept without it.
    pub recipe: Option<&'a mut (dyn Write + Send)>,
}

impl ApplyOptions<'_> {
    /// Default limits, owners as `ownership` says, and no recipe.
    #[must_use]
    pub fn new(ownership: Ownership) -> Self {
        Self { limits: Limits::default(), ownership, recipe: None }
    }
}

impl fmt::Debug for ApplyOptions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApplyOptions")
            .field("limits", &self.limits)
            .field("ownership", &self.ownership)
            .field("recipe", &self.recipe.is_some())
            .finish()
    }
}

/// Counts of what could not be kept and was left out, never silently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Device nodes, which take privilege to make.
    pub devices: u64,
    /// Extended attributes that take privilege, or that the file system or the policy does not have.
    pub xattrs: u64,
    /// Entries whose owner is not the one that the tar names.
    pub owners: u64,
}

impl Skipped {
    /// Whether nothing was left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an apply did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries read, whiteouts included.
    pub entries: u64,
    /// What was written.
    pub usage: Usage,
    /// What was left out.
    pub skipped: Skipped,
}
