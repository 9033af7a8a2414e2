//! Tars rewritten on their way into a driver or out of it.

use std::collections::HashMap;

use plywood_archive::tar::{Entry, Kind, Limits, TarReader, TarWriter};

use super::fault::Fault;

/// The name that says a folder is opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// How names of whiteouts begin.
const WHITEOUT: &[u8] = b".wh.";

/// What is in a tar, and where the files' content is for links that become files.
type Members = Vec<(Entry, Vec<u8>)>;

/// The tar as a driver with the fault would read it; none where the fault leaves tars alone, or this one is not well-formed.
pub(super) fn applied(fault: Fault, tar: &[u8]) -> Option<Vec<u8>> {
    let change: fn(&mut Members) = match fault {
        Fault::MissedWhiteout => |members| members.retain(|(entry, _)| !is_whiteout(entry)),
        Fault::LostOpaque => |members| members.retain(|(entry, _)| name(entry) != OPAQUE),
        Fault::LostXattr => |members| without_xattrs(members, b"user."),
        Fault::LostCapability => |members| without_xattrs(members, b"security.capability"),
        Fault::LostAcl => |members| without_xattrs(members, b"system.posix_acl"),
        Fault::TruncatedTime => |members| each(members, |entry| entry.modified.nanoseconds = 0),
        Fault::StaleTime => |members| each(members, |entry| entry.modified.seconds += 1),
        Fault::WrongOwner => |members| each(members, |entry| (entry.uid, entry.gid) = (0, 0)),
        Fault::LostSetUserId => |members| each(members, |entry| entry.mode &= !0o4000),
        Fault::UnlinkedHardLink => unlink,
        Fault::NarrowDevice => |members| each(members, narrow),
        Fault::LossyName => |members| each(members, |entry| entry.path = lossy(&entry.path)),
        Fault::CleanedLink => |members| each(members, clean),
        Fault::FilledHole => |members| members.iter_mut().for_each(fill),
        Fault::ImpliedFolderReset => describe_implied,
        _ => return None,
    };
    rewritten(tar, change)
}

/// The tar as a driver with the fault would write it; none where the fault leaves tars alone.
pub(super) fn written(fault: Fault, tar: &[u8], times_before: u64) -> Option<Vec<u8>> {
    match fault {
        Fault::DiffForgetsDeletions => {
            rewritten(tar, |members| members.retain(|(entry, _)| !is_whiteout(entry)))
        }
        Fault::DiffForgetsXattrs => rewritten(tar, |members| without_xattrs(members, b"")),
        Fault::DiffUnlinks => rewritten(tar, unlink),
        Fault::DiffMissesRewrite => rewritten(tar, |members| {
            members.retain(|(entry, _)| entry.kind != Kind::Regular || is_whiteout(entry));
        }),
        // Folders stay before what is in them, so that it is still a layer.
        Fault::DiffUnsorted => rewritten(tar, |members| {
            members.sort_by_key(|(entry, _)| (entry.kind != Kind::Directory, name(entry) != b".wh.gone"));
        }),
        Fault::DiffForgetsRoot => rewritten(tar, |members| members.retain(|(entry, _)| entry.path != b"./")),
        Fault::DiffResetsModes => rewritten(tar, |members| {
            members
                .iter_mut()
                .filter(|(entry, _)| entry.kind == Kind::Directory)
                .for_each(|(entry, _)| entry.mode = 0o755);
        }),
        Fault::DiffForgetsOwners => {
            rewritten(tar, |members| each(members, |entry| (entry.uid, entry.gid) = (0, 0)))
        }
        Fault::DiffTruncatesTimes => {
            rewritten(tar, |members| each(members, |entry| entry.modified.nanoseconds = 0))
        }
        Fault::DiffFillsHoles => rewritten(tar, |members| members.iter_mut().for_each(fill)),
        Fault::DiffVaries => rewritten(tar, |members| {
            each(members, |entry| entry.modified.nanoseconds ^= u32::try_from(times_before % 2).unwrap_or(0));
        }),
        _ => None,
    }
}

fn rewritten(tar: &[u8], change: impl FnOnce(&mut Members)) -> Option<Vec<u8>> {
    let mut members = read(tar)?;
    change(&mut members);
    let mut writer = TarWriter::new(Vec::new());
    for (entry, payload) in members {
        writer.append(&entry).ok()?;
        writer.write_payload(&payload).ok()?;
    }
    writer.finish().ok()
}

fn read(tar: &[u8]) -> Option<Members> {
    let mut reader = TarReader::new(tar, Limits::default(), ());
    let mut members = Vec::new();
    while let Some(entry) = reader.next_entry().ok()? {
        let mut payload = Vec::new();
        loop {
            let bytes = reader.payload().ok()?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len();
            payload.extend_from_slice(bytes);
            reader.consume(count);
        }
        members.push((entry, payload));
    }
    Some(members)
}

fn each(members: &mut Members, change: impl Fn(&mut Entry)) {
    for (entry, _) in members {
        change(entry);
    }
}

fn name(entry: &Entry) -> &[u8] {
    entry.path.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or_default()
}

fn is_whiteout(entry: &Entry) -> bool {
    name(entry).starts_with(WHITEOUT) && name(entry) != OPAQUE
}

fn without_xattrs(members: &mut Members, prefix: &[u8]) {
    each(members, |entry| entry.xattrs.retain(|(name, _)| !name.starts_with(prefix)));
}

/// The path without `.` and slashes at the ends, to look up by.
fn key(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&b'/')
}

/// Hard links to files of the same tar become copies of them.
fn unlink(members: &mut Members) {
    let mut files: HashMap<Vec<u8>, (Entry, Vec<u8>)> = HashMap::new();
    for (entry, payload) in members {
        if let Kind::HardLink { target } = &entry.kind
            && let Some((file, content)) = files.get(&key(target))
        {
            *entry = Entry { path: entry.path.clone(), ..file.clone() };
            payload.clone_from(content);
        }
        if entry.kind == Kind::Regular {
            files.insert(key(&entry.path), (entry.clone(), payload.clone()));
        }
    }
}

fn narrow(entry: &mut Entry) {
    if let Kind::CharDevice { minor, .. } | Kind::BlockDevice { minor, .. } = &mut entry.kind {
        *minor &= 0xff;
    }
}

fn lossy(path: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(path).into_owned().into_bytes()
}

/// Resolves `..` in the text of a link, as a path library does.
fn clean(entry: &mut Entry) {
    if let Kind::Symlink { target } = &mut entry.kind
        && let Some(rest) = target.strip_prefix(b"../../")
    {
        *target = rest.to_vec();
    }
}

fn fill((entry, payload): &mut (Entry, Vec<u8>)) {
    let Some(segments) = entry.sparse.take() else { return };
    // A case with a larger hole would take long, and shows nothing else: its hole is filled at the front.
    let mut whole = vec![0; usize::try_from(entry.size_bytes.min(1 << 30)).unwrap_or_default()];
    let mut taken = 0;
    for segment in segments {
        let (at, length) = (
            usize::try_from(segment.offset).unwrap_or_default(),
            usize::try_from(segment.length).unwrap_or_default(),
        );
        whole[at..at + length].copy_from_slice(&payload[taken..taken + length]);
        taken += length;
    }
    *payload = whole;
}

/// Says of every folder that is only implied what it is by default.
fn describe_implied(members: &mut Members) {
    let mut described = Vec::new();
    for (entry, payload) in std::mem::take(members) {
        let path = key(&entry.path);
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let folder = [&path[..at], b"/"].concat();
            if !described.contains(&folder) {
                members
                    .push((Entry { mode: 0o755, ..Entry::new(folder.clone(), Kind::Directory) }, Vec::new()));
                described.push(folder);
            }
        }
        if entry.kind == Kind::Directory {
            described.push([&path[..], b"/"].concat());
        }
        members.push((entry, payload));
    }
}
