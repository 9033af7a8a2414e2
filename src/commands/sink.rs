//! Where tars go: standard output, or a file that is there only once it is whole.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use plywood::Plywood;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

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
    let written = fill(&program.plywood, open_beside(file, &partial)?, write).and_then(|opened| {
        // One without a name gets the partial one first: a link replaces nothing.
        if rustix::fs::fstat(&opened)?.st_nlink == 0 {
            let open = format!("/proc/self/fd/{}", opened.as_raw_fd());
            rustix::fs::linkat(CWD, open, CWD, &partial, AtFlags::SYMLINK_FOLLOW)
                .with_context(|| format!("make {}", Path::new(&partial).display()))?;
        }
        rustix::fs::renameat(CWD, &partial, CWD, file).with_context(|| format!("make {}", file.display()))
    });
    if written.is_err() {
        match rustix::fs::unlinkat(CWD, &partial, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => tracing::warn!(file = ?partial, %error, "half a file was left behind"),
        }
    }
    written
}

/// A file in the folder of `file` that goes with the process; where the file system has none without a name, `partial`.
fn open_beside(file: &Path, partial: &OsString) -> anyhow::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o666);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let nameless = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    if let Ok(opened) = rustix::fs::openat(CWD, folder, nameless, mode) {
        return Ok(opened);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, partial, flags, mode)
        .with_context(|| format!("make {}", Path::new(partial).display()))
}

fn fill(
    plywood: &Plywood,
    opened: OwnedFd,
    write: impl FnOnce(&Plywood, &mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<File> {
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, File::from(opened));
    write(plywood, &mut buffered)?;
    buffered.flush()?;
    rustix::fs::fsync(buffered.get_ref().as_fd())?;
    Ok(buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?)
}

/// A name beside the file's, of this process alone.
fn partial_name(file: &Path) -> OsString {
    let mut name = OsString::from(file.as_os_str());
    name.push(format!(".partial-{}", std::process::id()));
    name
}
