//! The `tar` crate.

use std::io;

use tar::Archive;

use super::{Listed, Listing};

/// What the crate says of a whole archive, and the first entry to which it gives content though its type has none.
pub struct Answer {
    pub listing: Listing,
    pub first_with_odd_content: Option<usize>,
}

/// Lists an archive.
pub fn list(bytes: &[u8]) -> Answer {
    let mut listed = Vec::new();
    let mut first_with_odd_content = None;
    let gathered = gather(bytes, &mut listed, &mut first_with_odd_content);
    Answer { listing: gathered.map(|()| listed).map_err(|error| error.to_string()), first_with_odd_content }
}

fn gather(bytes: &[u8], listed: &mut Vec<Listed>, odd: &mut Option<usize>) -> io::Result<()> {
    for entry in Archive::new(bytes).entries()? {
        let entry = entry?;
        let entry_type = entry.header().entry_type();
        // Global headers are entries here.
        if entry_type.is_pax_global_extensions() {
            continue;
        }
        let mut typeflag = entry_type.as_byte();
        let name = entry.path_bytes();
        // The crate leaves it to the caller to know folders of the oldest tars by their slash.
        if entry.header().as_bytes()[156] == 0 && name.ends_with(b"/") {
            typeflag = b'5';
        }
        if matches!(typeflag, b'1'..=b'6') && entry.size() > 0 {
            odd.get_or_insert(listed.len());
        }
        listed.push(Listed::new(&name, entry.size(), typeflag, &entry.link_name_bytes().unwrap_or_default()));
    }
    Ok(())
}
