//! The socket: handed over by systemd, or made here with its owner and mode.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use rustix::fs::{CWD, Gid, Mode, Uid};
use rustix::io::Errno;

use crate::ServeError;

/// Where the socket is and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// Its path; folders above it that are missing are made, for their owner alone.
    pub path: PathBuf,
    /// Its mode, such as 0o600. Whoever may write to it may do anything with the snapshots.
    pub mode: u32,
    /// Its owner by user and group id; the caller where there is none.
    pub owner: Option<(u32, u32)>,
}

/// The open socket. Dropping it takes its name away, if it was made here.
#[derive(Debug)]
pub(crate) struct Socket {
    /// None once it is served at.
    pub(crate) listener: Option<UnixListener>,
    own: Option<PathBuf>,
}

impl Socket {
    /// Takes the socket that systemd hands over (`LISTEN_FDS`, `sd_listen_fds(3)`), or makes one.
    pub(crate) fn open(options: &SocketOptions) -> Result<Self, ServeError> {
        let failed =
            |source| ServeError::Socket { operation: "take over", path: options.path.clone(), source };
        if let Some(listener) = ListenFd::from_env().take_unix_listener(0).map_err(failed)? {
            tracing::info!("serving at the socket that systemd opened");
            return Ok(Self { listener: Some(listener), own: None });
        }
        let listener = make(options)?;
        Ok(Self { listener: Some(listener), own: Some(options.path.clone()) })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.own
            && let Err(error) = rustix::fs::unlink(path)
        {
            tracing::warn!(path = %path.display(), %error, "the socket stays");
        }
    }
}

/// Makes the socket under another name and renames it, so that it is never there with another owner or mode.
fn make(options: &SocketOptions) -> Result<UnixListener, ServeError> {
    let path = &options.path;
    let failed =
        |operation| move |source: io::Error| ServeError::Socket { operation, path: path.clone(), source };
    if UnixStream::connect(path).is_ok() {
        return Err(ServeError::Taken { path: path.clone() });
    }
    make_folders(path).map_err(failed("make the folder of"))?;
    let mut new = path.clone().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    match rustix::fs::unlink(&new) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(failed("replace")(error.into())),
    }
    let listener = UnixListener::bind(&new).map_err(failed("bind"))?;
    let described = describe(&new, options).and_then(|()| rustix::fs::rename(&new, path));
    if let Err(error) = described {
        if let Err(error) = rustix::fs::unlink(&new) {
            tracing::debug!(%error, "a half-made socket stays");
        }
        return Err(failed("set up")(error.into()));
    }
    Ok(listener)
}

fn describe(path: &Path, options: &SocketOptions) -> rustix::io::Result<()> {
    if let Some((uid, gid)) = options.owner {
        rustix::fs::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    rustix::fs::chmod(path, Mode::from_raw_mode(options.mode))
}

fn make_folders(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    match rustix::fs::mkdirat(CWD, folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => {
            make_folders(folder)?;
            Ok(rustix::fs::mkdirat(CWD, folder, Mode::RWXU)?)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    #![allow(clippy::disallowed_methods, reason = "tests look at files by paths of their own")]
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_socket_has_its_mode_and_replaces_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/run.sock");
        let options = SocketOptions { path: path.clone(), mode: 0o620, owner: Some((1, 2)) };
        let first = Socket::open(&options).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.uid(), metadata.gid()), (0o620, 1, 2));
        let above = std::fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(above.permissions().mode() & 0o7777, 0o700);
        assert!(matches!(Socket::open(&options), Err(ServeError::Taken { .. })));
        drop(first);
        assert!(!path.exists(), "its name goes with it");
    }

    #[test]
    fn what_a_killed_process_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        drop(UnixListener::bind(&path).unwrap());
        let options = SocketOptions { path: path.clone(), mode: 0o600, owner: None };
        let socket = Socket::open(&options).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(socket);
    }
}
