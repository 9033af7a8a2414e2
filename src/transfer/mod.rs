//! Copies between containers, this machine and tars, by the rules of `docker cp`.
//!
//! Whatever is copied becomes a tar at its source and is unpacked at its target; both ends handle names through
//! open folders only, so that a link that is swapped in meanwhile leads nowhere else.

mod leaf;
mod place;
pub(crate) mod source;
pub(crate) mod spot;

use std::error::Error;
use std::io::{self, BufReader, BufWriter, Read, Write};

use anyhow::Context;
use plywood::Skipped;
use plywood::archive::tar::{Limits, TarReader};

use crate::exit::{Absent, UsageError};
use crate::transfer::place::Placer;
use crate::transfer::spot::{Spot, There};

/// A pipe holds 64 KiB.
const BUFFER_BYTES: usize = 64 << 10;

/// What a copy keeps of what it copies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    /// Owners and groups as they are at the source, rather than root in containers and the caller outside of them;
    /// outside also set-user-id bits, devices and attributes of the system.
    pub(crate) everything: bool,
    /// Files can be given away.
    pub(crate) may_change_owners: bool,
}

/// Copies what is at one spot to another.
///
/// # Errors
/// `Absent` where nothing is there; `UsageError` for a folder onto a file and its like; those of reading and writing.
pub(crate) fn copy(from: &Spot<'_>, to: &Spot<'_>, keeping: Keeping) -> anyhow::Result<Skipped> {
    let is_folder = from_folder(from)?;
    let (target, name) = arrival(from, is_folder, to)?;
    let (reader, writer) = io::pipe()?;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, writer);
            source::write(from, &name, &mut buffered)?;
            Ok::<(), anyhow::Error>(buffered.flush()?)
        });
        let placed = place(reader, &target, keeping, source::unlimited());
        match sending.join() {
            // The other end's failure is the cause, unless it only saw that this one ended.
            Ok(Err(error)) if !is_broken_pipe(&*error) => Err(error),
            Ok(_) => placed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Writes what is at a spot as a tar, in which it has its own name.
///
/// # Errors
/// Those of [`source::write`].
pub(crate) fn pack(from: &Spot<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let name = if from.only_content { b"".as_slice() } else { from.split().1 };
    let name = if name == b"." { b"" } else { name };
    source::write(from, name, out)
}

/// Unpacks a tar into the folder at a spot.
///
/// # Errors
/// `Absent` and `UsageError` where there is no folder; those of the tar and of writing.
pub(crate) fn unpack(tar: impl Read, to: &Spot<'_>, keeping: Keeping) -> anyhow::Result<Skipped> {
    match to.there()? {
        There::Folder => place(tar, to, keeping, Limits::default()),
        There::Nothing => Err(Absent(format!("there is no folder {}", to.shown())).into()),
        There::Leaf => Err(UsageError(format!("{} is no folder to unpack a tar into", to.shown())).into()),
    }
}

fn place(tar: impl Read, to: &Spot<'_>, keeping: Keeping, limits: Limits) -> anyhow::Result<Skipped> {
    let mut reader = TarReader::new(BufReader::with_capacity(BUFFER_BYTES, tar), limits, ());
    let mut placer = Placer::new(to, keeping)?;
    while let Some(entry) = reader.next_entry()? {
        let shown = crate::show::path(&entry.path);
        placer.entry(&entry, &mut reader).with_context(|| format!("copy {shown}"))?;
    }
    reader.finish()?;
    placer.finish()
}

fn from_folder(from: &Spot<'_>) -> anyhow::Result<bool> {
    use rustix::fs::FileType;
    let (_, stat) = from.find()?;
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if !is_folder && (from.must_be_folder || from.only_content) && from.there()? != There::Folder {
        return Err(UsageError(format!("{} is no folder", from.shown())).into());
    }
    Ok(is_folder)
}

/// The folder that a copy goes to, and its name there; an empty name for what is in a folder.
fn arrival<'a>(from: &Spot<'_>, is_folder: bool, to: &Spot<'a>) -> anyhow::Result<(Spot<'a>, Vec<u8>)> {
    let own_name = match from.split().1 {
        b"." => Vec::new(),
        name => name.to_vec(),
    };
    match (to.there()?, is_folder) {
        (There::Folder, true) if from.only_content => Ok((to.clone(), Vec::new())),
        (There::Folder, _) => Ok((to.clone(), own_name)),
        (There::Nothing, false) if to.must_be_folder || to.only_content => {
            Err(Absent(format!("there is no folder {}", to.shown())).into())
        }
        (There::Leaf, true) => {
            Err(UsageError(format!("{} is a file, and a folder cannot replace it", to.shown())).into())
        }
        (There::Leaf, false) if to.must_be_folder || to.only_content => {
            Err(UsageError(format!("{} is no folder", to.shown())).into())
        }
        (There::Nothing, _) => Ok(as_named(to)),
        // As docker does: a link to a file is written through, not replaced.
        (There::Leaf, false) => Ok(as_named(&to.clone().followed()?)),
    }
}

fn as_named<'a>(to: &Spot<'a>) -> (Spot<'a>, Vec<u8>) {
    let (parent, name) = to.split();
    let (parent, name) = (parent.to_vec(), name.to_vec());
    (Spot { path: parent, ..to.clone() }, name)
}

/// Whether an error is only that the other end of a pipe went away.
pub(crate) fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        if error.downcast_ref().is_some_and(broken) {
            return true;
        }
        cause = error.source();
    }
    false
}
