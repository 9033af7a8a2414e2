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
    Difference {
        peer: Peer::TarCrate,
        reason: "the crate takes one NUL off a GNU long name, and leaves the others in it; no file can have such a name, and GNU tar, \
                 Go and Python end it at the first",
        applies: |found| found.ours == found.theirs.map(Listed::without_nuls).as_ref(),
    },
    Difference {
        peer: Peer::TarCrate,
        reason: "of several records of a keyword in one extended header the crate takes the first; the last counts (POSIX pax: \"if two \
                 or more records have the same keyword, the last shall take precedence\"), as GNU tar, Go and Python read it",
        applies: |found| has_records(found.raw, repeat_a_keyword),
    },
    Difference {
        peer: Peer::TarCrate,
        reason: "the crate ends a record of an extended header at the first newline, and gives up there; a record ends where its length \
                 says (POSIX pax), as GNU tar, Go and Python read it",
        applies: |found| {
            has_records(found.raw, |records| records.iter().any(|(_, value)| value.contains(&b'\n')))
        },
    },
    Difference {
        peer: Peer::Python,
        reason: "Python takes what a GNU header has in the place of POSIX's prefix, the time of access say, for a \
                 prefix; GNU tar, Go and the crate do not",
        applies: |found| {
            has_block(found.raw, |block| block[257..265] == *b"ustar  \0" && block[345] != 0)
                && adds_prefix(found)
        },
    },
];

/// Whether the entry has such a block among its headers.
fn has_block(raw: &[u8], is: fn(&[u8]) -> bool) -> bool {
    raw.chunks_exact(512).any(is)
}

/// The keywords and values of a POSIX extended header.
type Records<'a> = [(&'a [u8], &'a [u8])];

/// Whether one of the entry's POSIX extended headers has such records.
fn has_records(raw: &[u8], are: fn(&Records<'_>) -> bool) -> bool {
    raw.chunks_exact(512).enumerate().filter(|(_, block)| block[156] == b'x').any(|(index, block)| {
        let digits = block[124..136].iter().take_while(|byte| byte.is_ascii_digit());
        let size = digits
            .fold(0_usize, |size, digit| size.saturating_mul(8).saturating_add(usize::from(digit - b'0')));
        let records = &raw[(index + 1) * 512..];
        are(&records_of(&records[..size.min(records.len())]))
    })
}

/// The records up to the first that is none.
fn records_of(mut text: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut records = Vec::new();
    while let Some(space) = text.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&text[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(record) = length.and_then(|length| text.get(space + 1..length)) else { break };
        text = &text[space + 1 + record.len()..];
        let Some(equals) = record.iter().position(|byte| *byte == b'=') else { break };
        records.push((&record[..equals], record[equals + 1..].strip_suffix(b"\n").unwrap_or_default()));
    }
    records
}

/// Whether a name or a size is said twice.
fn repeat_a_keyword(records: &Records<'_>) -> bool {
    let said = |keyword: &[u8]| records.iter().filter(|(said, _)| *said == keyword).count();
    [&b"path"[..], b"linkpath", b"size"].into_iter().any(|keyword| said(keyword) > 1)
}

/// Whether the peer's name is Plywood's with something in front.
fn adds_prefix(found: &Found<'_>) -> bool {
    let (Some(ours), Some(theirs)) = (found.ours, found.theirs) else { return false };
    theirs.name.strip_suffix(&ours.name[..]).is_some_and(|prefix| prefix.ends_with(b"/"))
        && Listed { name: ours.name.clone(), ..theirs.clone() } == *ours
}

/// Why a difference is all right; nothing where it is not known.
pub fn reason(found: &Found<'_>) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.peer == found.peer && (known.applies)(found)).map(|known| known.reason)
}
