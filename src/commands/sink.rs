//! Where tars go: standard output, or a file that is there only once it is whole.

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use plywood::Plywood;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::exit::UsageError;
use crate::program::Program;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// Refuses to write a tar to a terminal.
///
/// # Errors
/// `UsageError`, saying what to do.
pub(crate) fn refuse_terminal(program: &Program<'_>) -> anyhow::Result<()> {
    if program.output.is_terminal() {
        let reason = "a tar is not for a terminal: redirect the output, or name a file with -o";
        return Err(UsageError(reason.to_owned()).into());
    }
    Ok(())
}

/// Lets `write` write to the file, or to standard output where none is named.
///
/// # Errors
/// Those of `write` and of the file, which is then as it was.
pub(crate) fn write_to(
    program: &mut Program<'_>,
    file: Option<&Path>,
    write: impl FnOnce(&Plywood, &mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(file) = file else {
        refuse_terminal(program)?;
        return write(&program.plywood, program.output);
    };
    let partial = partial_name(file);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let opened: OwnedFd = rustix::fs::openat(CWD, &partial, flags, mode)
        .with_context(|| format!("make {}", Path::new(&partial).display()))?;
    let written = fill(&program.plywood, opened, write).and_then(|()| {
        rustix::fs::renameat(CWD, &partial, CWD, file).with_context(|| format!("make {}", file.display()))
    });
    if written.is_err()
        && let Err(error) = rustix::fs::unlinkat(CWD, &partial, AtFlags::empty())
    {
        tracing::warn!(file = ?partial, %error, "half a file was left behind");
    }
    written
}

fn fill(
    plywood: &Plywood,
    opened: OwnedFd,
    write: impl FnOnce(&Plywood, &mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, std::fs::File::from(opened));
    write(plywood, &mut buffered)?;
    buffered.flush()?;
    rustix::fs::fsync(buffered.get_ref().as_fd())?;
    Ok(())
}

/// A name beside the file's, of this process alone.
fn partial_name(file: &Path) -> OsString {
    let mut name = OsString::from(file.as_os_str());
    name.push(format!(".partial-{}", std::process::id()));
    name
}
