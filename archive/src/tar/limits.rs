//! How much of anything an archive may hold.

/// Bounds on what a tar may ask of its reader; exceeding one is [`TarErrorKind::Limit`](super::TarErrorKind).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries in the archive; global PAX headers count too.
    pub entries: u64,
    /// Bytes of a path or of a link's target.
    pub path_bytes: usize,
    /// Bytes of one component of a path.
    pub component_bytes: usize,
    /// Components of a path, `.` not counted.
    pub depth: usize,
    /// Bytes of one PAX header's records; also of all global records together.
    pub pax_bytes: usize,
    /// Bytes of one extended attribute's value.
    pub xattr_value_bytes: usize,
    /// Bytes of all names and values of one entry's extended attributes.
    pub xattr_entry_bytes: usize,
    /// Bytes of one extended attribute's name.
    pub xattr_name_bytes: usize,
    /// Ranges in the map of one sparse file; the map is held in memory, 16 bytes each.
    pub sparse_segments: usize,
    /// Bytes after the end of the archive, padding included.
    pub trailing_bytes: u64,
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
            xattr_name_bytes: 255,
            sparse_segments: 1 << 18,
            trailing_bytes: 1 << 30,
        }
    }
}
