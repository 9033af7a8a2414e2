//! What other readers see differently, for reasons that are theirs.

use super::Listed;

/// A reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    TarCrate,
    Python,
}

/// The first entry that a peer lists differently.
#[derive(Debug)]
pub struct Found<'a> {
    pub peer: Peer,
    /// What Plywood lists there; nothing where its list ends.
    pub ours: Option<&'a Listed>,
    pub theirs: Option<&'a Listed>,
    /// Plywood's entry is sparse.
    pub is_sparse: bool,
    /// The peer gave content to a link, folder or device before, so it reads elsewhere now.
    pub after_odd_content: bool,
    /// The entry's bytes up to its payload's end, its extension headers included.
    pub raw: &'a [u8],
}

/// A difference that is none of Plywood's making.
struct Difference {
    peer: Peer,
    reason: &'static str,
    applies: fn(&Found<'_>) -> bool,
}

/// Each was found, looked at, and is documented where it comes from.
const KNOWN: &[Difference] = &[
    Difference {
        peer: Peer::TarCrate,
        reason: "the crate knows GNU's old sparse files and not those of PAX: it lists the header's name and what is stored",
        applies: |found| found.is_sparse,
    },
    Difference {
        peer: Peer::TarCrate,
        reason: "the crate takes content after every header with a size; links, folders and devices have none (POSIX pax, `size`: \
                 for type 1 to 6 no data is stored), as GNU tar, Go and Python read it",
        applies: |found| found.after_odd_content,
    },
];

/// Why a difference is all right; nothing where it is not known.
pub fn reason(found: &Found<'_>) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.peer == found.peer && (known.applies)(found)).map(|known| known.reason)
}
