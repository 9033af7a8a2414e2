//! Owners and modes kept in an attribute, for file systems that cannot keep them: `uid:gid:mode[:type]`, the ids in decimal,
//! the mode in octal (containers/storage, pkg/archive; fuse-overlayfs(1), `xattr_permissions`).

use rustix::fs::{FileType, Stat};

use super::real::Real;
use crate::options::OverrideStat;
use crate::request::Answer;

/// What the attribute says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overridden {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Permission bits.
    pub(super) mode: u32,
    /// Type and device number, where the real file stands for something else.
    pub(super) kind: Option<(FileType, u64)>,
}

/// Puts what the attribute says into a stat.
pub(super) fn apply(form: OverrideStat, real: &Real<'_>, stat: &mut Stat) -> Answer<()> {
    let Some(value) = real.find_xattr(form.name())? else { return Ok(()) };
    let Some(overridden) = parse(&value) else { return Ok(()) };
    stat.st_uid = overridden.uid;
    stat.st_gid = overridden.gid;
    let kind = overridden.kind.map_or(stat.st_mode & 0o170_000, |(kind, _)| kind.as_raw_mode());
    stat.st_mode = kind | overridden.mode;
    if let Some((_, device)) = overridden.kind {
        stat.st_rdev = device;
    }
    Ok(())
}

/// Writes it.
pub(super) fn write(form: OverrideStat, real: &Real<'_>, overridden: &Overridden) -> Answer<()> {
    real.set_xattr(form.name(), text(overridden).as_bytes(), 0)
}

fn text(overridden: &Overridden) -> String {
    let Overridden { uid, gid, mode, kind } = overridden;
    let mut text = format!("{uid}:{gid}:{mode:04o}");
    if let Some((kind, device)) = kind {
        let (major, minor) = (rustix::fs::major(*device), rustix::fs::minor(*device));
        let word = match kind {
            FileType::Directory => "dir".to_owned(),
            FileType::Symlink => "symlink".to_owned(),
            FileType::Fifo => "pipe".to_owned(),
            FileType::Socket => "socket".to_owned(),
            FileType::BlockDevice => format!("block-{major}-{minor}"),
            FileType::CharacterDevice => format!("char-{major}-{minor}"),
            _ => "file".to_owned(),
        };
        text.extend([":", &word]);
    }
    text
}

fn parse(value: &[u8]) -> Option<Overridden> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.trim_end_matches('\0').split(':');
    let uid = parts.next()?.parse().ok()?;
    let gid = parts.next()?.parse().ok()?;
    let mode = u32::from_str_radix(parts.next()?, 8).ok()? & 0o7777;
    Some(Overridden { uid, gid, mode, kind: parts.next().and_then(kind) })
}

fn kind(text: &str) -> Option<(FileType, u64)> {
    let mut words = text.split('-');
    let plain = |kind| Some((kind, 0));
    match words.next()? {
        "dir" => plain(FileType::Directory),
        "symlink" => plain(FileType::Symlink),
        "pipe" => plain(FileType::Fifo),
        "socket" => plain(FileType::Socket),
        "file" => plain(FileType::RegularFile),
        word @ ("block" | "char") => {
            let kind = if word == "block" { FileType::BlockDevice } else { FileType::CharacterDevice };
            let device = rustix::fs::makedev(words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((kind, device))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let plain = Overridden { uid: 1, gid: 2, mode: 0o4755, kind: None };
        assert_eq!(text(&plain), "1:2:4755");
        let device = rustix::fs::makedev(8, 1);
        for kind in [(FileType::BlockDevice, device), (FileType::Fifo, 0), (FileType::RegularFile, 0)] {
            let overridden = Overridden { kind: Some(kind), ..plain };
            assert_eq!(parse(text(&overridden).as_bytes()), Some(overridden));
        }
        assert_eq!(parse(b"nonsense"), None);
    }
}
