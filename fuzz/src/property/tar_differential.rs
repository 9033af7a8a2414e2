//! The tar reader against those of others.

use crate::peers::differences::{Found, Peer, reason};
use crate::peers::{Listed, Listing, python, tar_crate};
use crate::reading::{Archive, Seen, read};
use plywood_archive::tar::Kind;

/// An archive that Plywood takes has the same names, sizes, types and link targets for the `tar` crate and for Python's tarfile,
/// where they do not refuse it, but for the differences that are known and explained.
pub fn check(tar: &[u8]) {
    let Ok(archive) = read(tar, usize::MAX) else { return };
    let crate_answer = tar_crate::list(tar);
    compare(tar, &archive, Peer::TarCrate, &crate_answer.listing, crate_answer.first_with_odd_content);
    compare(tar, &archive, Peer::Python, &python::list(tar), None);
}

fn compare(tar: &[u8], archive: &Archive, peer: Peer, listing: &Listing, odd: Option<usize>) {
    let Ok(theirs) = listing else { return };
    let ours: Vec<Listed> = archive.entries.iter().map(listed).collect();
    let Some(index) = (0..ours.len().max(theirs.len())).find(|index| ours.get(*index) != theirs.get(*index))
    else {
        return;
    };
    let found = Found {
        peer,
        ours: ours.get(index),
        theirs: theirs.get(index),
        is_sparse: archive.entries.get(index).is_some_and(|seen| seen.entry.sparse.is_some()),
        after_odd_content: odd.is_some_and(|odd| odd < index),
        raw: raw(tar, archive, index),
    };
    if reason(&found).is_none() {
        let raw = found.raw[..found.raw.len().min(2048)].escape_ascii().to_string().replace("\\x00", "");
        panic!("{peer:?} at entry {index}: {:?}, here {:?}: {raw}", found.theirs, found.ours);
    }
}

/// The entry's bytes.
fn raw<'a>(tar: &'a [u8], archive: &Archive, index: usize) -> &'a [u8] {
    let at = |index: usize| {
        let position = archive.entries.get(index).map_or(tar.len() as u64, |seen| seen.entry.position);
        usize::try_from(position).unwrap()
    };
    &tar[at(index)..at(index + 1)]
}

fn listed(seen: &Seen) -> Listed {
    let entry = &seen.entry;
    let (typeflag, target) = match &entry.kind {
        Kind::Regular => (b'0', &b""[..]),
        Kind::HardLink { target } => (b'1', &target[..]),
        Kind::Symlink { target } => (b'2', &target[..]),
        Kind::CharDevice { .. } => (b'3', &b""[..]),
        Kind::BlockDevice { .. } => (b'4', &b""[..]),
        Kind::Directory => (b'5', &b""[..]),
        Kind::Fifo => (b'6', &b""[..]),
    };
    Listed::new(&entry.path, entry.size_bytes, typeflag, target)
}
