//! How a layer differs from its parent.

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was not there in the parent.
    Added,
    /// It is there in both, with other content, metadata or type; or it is a folder that something changed in.
    Modified,
    /// It was there in the parent and is gone.
    Deleted,
}

impl ChangeKind {
    /// The letter that `docker diff` and `podman diff` show: `A`, `C` or `D`.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Modified => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    /// Bytes relative to the layer's root, without a leading slash: `etc/motd`. Need not be UTF-8.
    pub path: Vec<u8>,
    /// What happened to it.
    pub kind: ChangeKind,
}
