//! The members of an archive: found in one pass, then read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use plywood_archive::tar::{Kind, Limits, TarReader};

use crate::ImageError;
use crate::layout::{Files, Opened};

/// An archive has a few members for each layer; every one found is kept in memory.
const MOST_MEMBERS: u64 = 100_000;
/// Names of members are digests and short words.
const LONGEST_NAME_BYTES: usize = 1024;
/// Links to links that are followed, as many as the kernel does.
const MOST_LINKS: usize = 40;
/// Bytes read at once while looking for the members.
const BUFFER_BYTES: usize = 1 << 20;

/// An archive that is open.
#[derive(Debug)]
pub(crate) struct Archive {
    file: Arc<File>,
    location: String,
    members: HashMap<String, Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    File { offset: u64, size_bytes: u64 },
    Link { target: String },
    Folder,
    Other,
}

impl Archive {
    /// Finds the members of the plain tar `file`.
    pub(crate) fn index(file: File, location: &str) -> Result<Self, ImageError> {
        let broken = |source| ImageError::Archive { location: location.to_owned(), source: Box::new(source) };
        let limits = Limits { entries: MOST_MEMBERS, path_bytes: LONGEST_NAME_BYTES, ..Limits::default() };
        let mut reader = TarReader::new(BufReader::with_capacity(BUFFER_BYTES, &file), limits, ());
        let mut members = HashMap::new();
        while let Some(entry) = reader.next_entry().map_err(broken)? {
            // A name that is no text is none that an image's documents could ask for.
            let Ok(name) = std::str::from_utf8(&entry.path) else { continue };
            let member = match &entry.kind {
                Kind::Regular if entry.sparse.is_none() => {
                    Member::File { offset: reader.position(), size_bytes: entry.size_bytes }
                }
                Kind::Symlink { target } => link_member(&clean(name), target, false),
                Kind::HardLink { target } => link_member(&clean(name), target, true),
                Kind::Directory => Member::Folder,
                _ => Member::Other,
            };
            // As in any tar, the last of a name is the one that counts.
            members.insert(clean(name), member);
        }
        drop(reader);
        Ok(Self { file: Arc::new(file), location: location.to_owned(), members })
    }

    /// Whether there is a member of that name, of any kind.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(&clean(name))
    }

    /// Finds a regular file, following links from member to member: `docker save` once wrote a layer that two images
    /// have as a link to the other's.
    pub(crate) fn follow(&self, name: &str) -> Result<Section, ImageError> {
        let mut place = clean(name);
        for _ in 0..MOST_LINKS {
            match self.members.get(&place) {
                Some(Member::Link { target }) => place.clone_from(target),
                Some(Member::File { offset, size_bytes }) => return Ok(self.section(*offset, *size_bytes)),
                Some(_) => return Err(self.not_a_file(name)),
                None => return Err(ImageError::missing(&self.location, name)),
            }
        }
        Err(ImageError::malformed(&self.location, name, "it is a link that leads in a circle, or too far"))
    }

    fn section(&self, offset: u64, size_bytes: u64) -> Section {
        Section { file: Arc::clone(&self.file), offset, size_bytes, remaining_bytes: size_bytes }
    }

    fn not_a_file(&self, name: &str) -> ImageError {
        ImageError::malformed(&self.location, name, "it is not a regular file")
    }

    /// Whether a folder on the way to `name` is a link.
    fn is_behind_link(&self, name: &str) -> bool {
        let folders = name.match_indices('/').map(|(slash, _)| &name[..slash]);
        folders.into_iter().any(|folder| matches!(self.members.get(folder), Some(Member::Link { .. })))
    }
}

impl Files for Archive {
    fn location(&self) -> &str {
        &self.location
    }

    fn open(&self, name: &str) -> Result<Option<Opened>, ImageError> {
        let is_link =
            || ImageError::malformed(&self.location, name, "it is a link, which a layout must not have");
        if self.is_behind_link(name) {
            return Err(is_link());
        }
        match self.members.get(name) {
            None => Ok(None),
            Some(Member::Link { .. }) => Err(is_link()),
            Some(Member::Folder | Member::Other) => Err(self.not_a_file(name)),
            Some(Member::File { offset, size_bytes }) => {
                let reader = Box::new(self.section(*offset, *size_bytes));
                Ok(Some(Opened { size_bytes: *size_bytes, reader }))
            }
        }
    }
}

/// A part of an archive. It keeps the archive open and has a place of its own, so that many can be read at once.
#[derive(Debug)]
pub(crate) struct Section {
    file: Arc<File>,
    offset: u64,
    /// How long the part is.
    pub size_bytes: u64,
    remaining_bytes: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted =
            usize::try_from(self.remaining_bytes).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive became shorter while it was read",
            ));
        }
        self.offset += count as u64;
        self.remaining_bytes -= count as u64;
        Ok(count)
    }
}

/// A name without what makes no difference: `./a//b/` is `a/b`. A name with `..` stays one that nobody asks for.
fn clean(name: &str) -> String {
    let components: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    components.join("/")
}

/// The member that a link at `name` leads to. One that leads out of the archive is no link to anything.
fn link_member(name: &str, target: &[u8], from_top: bool) -> Member {
    let Ok(target) = std::str::from_utf8(target) else { return Member::Other };
    let mut components: Vec<&str> = match name.rsplit_once('/') {
        Some((folder, _)) if !from_top && !target.starts_with('/') => folder.split('/').collect(),
        _ => Vec::new(),
    };
    for part in target.split('/') {
        match part {
            ".." if components.pop().is_none() => return Member::Other,
            "" | "." | ".." => {}
            part => components.push(part),
        }
    }
    Member::Link { target: components.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> Member {
        Member::Link { target: target.to_owned() }
    }

    #[test]
    fn links_stay_in_the_archive() {
        assert_eq!(link_member("a/layer.tar", b"../b/layer.tar", false), link("b/layer.tar"));
        assert_eq!(link_member("a/layer.tar", b"b/layer.tar", true), link("b/layer.tar"));
        assert_eq!(link_member("a/layer.tar", b"/b/layer.tar", false), link("b/layer.tar"));
        assert_eq!(link_member("layer.tar", b"b", false), link("b"));
        assert_eq!(link_member("a/layer.tar", b"../../etc/passwd", false), Member::Other);
        assert_eq!(link_member("a/layer.tar", b"/../etc/passwd", false), Member::Other);
    }

    #[test]
    fn names_are_cleaned() {
        assert_eq!(clean("./blobs//sha256/"), "blobs/sha256");
        assert_eq!(clean("/index.json"), "index.json");
        assert_eq!(clean("a/../index.json"), "a/../index.json");
    }
}
