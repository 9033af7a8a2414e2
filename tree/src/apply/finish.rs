//! What waits until all entries are unpacked: times of folders, which their content changes, and modes and default
//! ACLs, which their content would suffer from.

use std::os::fd::BorrowedFd;

use plywood_archive::tar::Timestamp;
use plywood_graphdriver::{Applied, DriverError, DriverResult};
use rustix::io::Errno;

use crate::fail::Attempt;
use crate::metadata::{set_mode, set_modified};
use crate::resolve::{Node, open_folder};
use crate::spool::Spool;
use crate::xattr;

/// The name of the default ACL's attribute.
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// Folders to be finished, in the order of their entries: where a path comes twice, the last wins.
pub(super) struct Finishing<'a> {
    times: Spool<'a>,
    late: Spool<'a>,
    has_late: bool,
    privileged: bool,
}

/// Bytes in front of the path in a record of times, and of late settings.
const TIME_BYTES: usize = 12;
const MODE_BYTES: usize = 8;

impl<'a> Finishing<'a> {
    pub(super) fn new(layer: BorrowedFd<'a>, privileged: bool) -> Self {
        Self { times: Spool::new(layer), late: Spool::new(layer), has_late: false, privileged }
    }

    /// The folder at `path` gets this time.
    pub(super) fn folder(&mut self, path: &[u8], modified: Timestamp) -> DriverResult<()> {
        let mut record = Vec::with_capacity(TIME_BYTES + path.len());
        record.extend_from_slice(&modified.seconds.to_le_bytes());
        record.extend_from_slice(&modified.nanoseconds.to_le_bytes());
        record.extend_from_slice(path);
        self.times.push(&record).attempt("note folder", path)
    }

    /// The folder at `path` gets this mode and default ACL.
    pub(super) fn late(&mut self, path: &[u8], mode: u32, default_acl: Option<&[u8]>) -> DriverResult<()> {
        self.has_late = true;
        let acl = default_acl.unwrap_or_default();
        let mut record = Vec::with_capacity(MODE_BYTES + path.len() + acl.len());
        record.extend_from_slice(&mode.to_le_bytes());
        record.extend_from_slice(&u32::try_from(path.len()).unwrap_or(u32::MAX).to_le_bytes());
        record.extend_from_slice(path);
        record.extend_from_slice(acl);
        self.late.push(&record).attempt("note folder", path)
    }

    /// Whether anything is late.
    pub(super) fn has_late(&self) -> bool {
        self.has_late
    }

    pub(super) fn run(self, upper: BorrowedFd<'_>, applied: &mut Applied) -> DriverResult<()> {
        self.times.drain::<Failed>(|record| {
            let Some((head, path)) = record.split_first_chunk::<TIME_BYTES>() else { return Ok(()) };
            let (seconds, nanoseconds) = head.split_at(8);
            let modified = Timestamp {
                seconds: i64::from_le_bytes(seconds.try_into().unwrap_or_default()),
                nanoseconds: u32::from_le_bytes(nanoseconds.try_into().unwrap_or_default()),
            };
            on_folder(upper, path, |node| set_modified(node, modified)).map_err(Failed)
        })?;
        if self.privileged {
            self.late.drain::<Failed>(|record| set_late(upper, record, applied).map_err(Failed))?;
            return Ok(());
        }
        // Without privilege a folder that forbids its owner must come after all below it.
        let mut records = Vec::new();
        self.late.drain::<Failed>(|record| {
            records.push(record.to_vec());
            Ok(())
        })?;
        records.sort_by(|one, other| late_path(other).cmp(late_path(one)));
        records.iter().try_for_each(|record| set_late(upper, record, applied))
    }
}

fn late_path(record: &[u8]) -> &[u8] {
    let length =
        record.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
    record.get(MODE_BYTES..MODE_BYTES + length).unwrap_or_default()
}

fn set_late(upper: BorrowedFd<'_>, record: &[u8], applied: &mut Applied) -> DriverResult<()> {
    let path = late_path(record);
    let mode = record.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let acl = record.get(MODE_BYTES + path.len()..).unwrap_or_default();
    if acl.is_empty() {
        on_folder(upper, path, |node| xattr::remove(node, DEFAULT_ACL))?;
    } else {
        on_folder(upper, path, |node| match xattr::set(node, DEFAULT_ACL, acl) {
            Err(Errno::OPNOTSUPP | Errno::PERM) => {
                applied.skipped.xattrs += 1;
                Ok(())
            }
            other => other,
        })?;
    }
    on_folder(upper, path, |node| set_mode(node, mode))
}

/// Does something to the folder at a path, if a later entry did not put something else there.
fn on_folder(
    upper: BorrowedFd<'_>,
    path: &[u8],
    set: impl FnOnce(Node<'_>) -> rustix::io::Result<()>,
) -> DriverResult<()> {
    match open_folder(upper, path) {
        Ok(opened) => set(Node::new(&opened, b".")).attempt("finish folder", path),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
        Err(error) => Err(error).attempt("finish folder", path),
    }
}

/// Lets errors of the spool and of the driver through one `?`.
struct Failed(DriverError);

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self(DriverError::system("read notes", error))
    }
}

impl From<Failed> for DriverError {
    fn from(failed: Failed) -> Self {
        failed.0
    }
}
