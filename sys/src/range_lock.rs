//! Locks on parts of a file, which belong to the open file and go with it (`F_OFD_SETLK`, Linux 3.15).

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// The part of a file that a lock is on; it need not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its first byte.
    pub start: u64,
    /// How many bytes it has; none for all that follow.
    pub length: u64,
}

impl Part {
    fn locked(self, kind: i32) -> io::Result<libc::flock> {
        let number =
            |value: u64| i64::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        Ok(libc::flock {
            l_type: i16::try_from(kind).unwrap_or_default(),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
            l_start: number(self.start)?,
            l_len: number(self.length)?,
            l_pid: 0,
        })
    }
}

/// Locks a part for this open file alone; false where somebody else has a lock on some of it.
///
/// # Errors
/// Those of `fcntl(2)`; the file must be open for writing.
pub fn try_lock(file: impl AsFd, part: Part) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&part.locked(libc::F_WRLCK)?)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits until nobody else has a lock on the part, and locks it.
///
/// # Errors
/// Those of `fcntl(2)`.
pub fn lock(file: impl AsFd, part: Part) -> io::Result<()> {
    let wanted = part.locked(libc::F_WRLCK)?;
    loop {
        match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLKW(&wanted)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives back what this open file has locked of the part.
///
/// # Errors
/// Those of `fcntl(2)`.
pub fn unlock(file: impl AsFd, part: Part) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&part.locked(libc::F_UNLCK)?))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lock_is_the_open_files_and_goes_with_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (one, other) = (file.reopen().unwrap(), file.reopen().unwrap());
        let part = |start, length| Part { start, length };
        assert!(try_lock(&one, part(10, 5)).unwrap());
        assert!(try_lock(&one, part(12, 5)).unwrap(), "its own");
        assert!(!try_lock(&other, part(0, 0)).unwrap(), "all that follows");
        assert!(!try_lock(&other, part(16, 1)).unwrap());
        assert!(try_lock(&other, part(17, 0)).unwrap());
        unlock(&one, part(10, 5)).unwrap();
        assert!(try_lock(&other, part(0, 15)).unwrap());
        let waiting = std::thread::spawn(move || lock(&other, part(0, 17)).map(|()| other));
        drop(one);
        drop(waiting.join().unwrap().unwrap());
        assert!(try_lock(file.as_file(), part(0, 0)).unwrap());
        assert!(try_lock(file.as_file(), part(u64::MAX, 1)).is_err());
    }
}
