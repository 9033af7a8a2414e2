//! A file that the user named, written whole or not at all.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::ImageError;
use crate::layout::Folder;
use crate::packing::Fill;
use crate::partial::Partial;

/// Bytes collected before each write.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes a file beside `target`, makes it durable and renames it to `target`. A symlink keeps pointing to the file
/// that is replaced; what is no regular file (a pipe, `/dev/stdout`) is written to as it is.
pub(crate) fn replace_file(target: &Path, fill: Fill<'_>) -> Result<(), ImageError> {
    let target = match rustix::fs::stat(target) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            resolved(target).map_err(ImageError::io("look at", target.display()))?
        }
        Ok(_) => return write_as_it_is(target, fill),
        Err(Errno::NOENT) => target.to_owned(),
        Err(error) => return Err(ImageError::io("look at", target.display())(error)),
    };
    let Some(name) = target.file_name().and_then(|name| name.to_str()) else {
        let reason = format!("'{}' is not the name of a file", target.display());
        return Err(ImageError::Invalid { operation: "write the archive", reason });
    };
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = Folder::open(folder, folder.display().to_string())?;
    let partial = Partial::create(&folder)?;
    fill_buffered(partial.file(), &partial.shown(), fill)?;
    partial.publish(name)?;
    rustix::fs::fsync(folder.fd()).map_err(ImageError::io("sync", folder.shown(".")))
}

/// Where a path leads in the end: the user's own links are followed, as any program follows them.
#[allow(clippy::disallowed_methods, reason = "a path that the user typed, not a name out of an image")]
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    path.canonicalize()
}

fn write_as_it_is(target: &Path, fill: Fill<'_>) -> Result<(), ImageError> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(target, flags, Mode::empty());
    let file = File::from(file.map_err(ImageError::io("open", target.display()))?);
    fill_buffered(&file, &target.display().to_string(), fill)
}

fn fill_buffered(file: &File, shown: &str, fill: Fill<'_>) -> Result<(), ImageError> {
    let mut buffer = BufWriter::with_capacity(BUFFER_BYTES, file);
    fill(&mut buffer)?;
    buffer.flush().map_err(ImageError::io("write", shown))
}
