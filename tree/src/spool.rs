//! A list of records that may outgrow memory.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags};

/// Bytes kept in memory before a file is used.
const IN_MEMORY_BYTES: usize = 1 << 20;

/// The name of the file while it has one.
const NAME: &str = ".spool";

/// Records of bytes, appended and then read once in order. Memory stays under some two MiB: past that they go
/// to a file without a name in the folder given.
#[derive(Debug)]
pub(crate) struct Spool<'a> {
    folder: BorrowedFd<'a>,
    memory: Vec<u8>,
    file: Option<File>,
}

impl<'a> Spool<'a> {
    pub(crate) fn new(folder: BorrowedFd<'a>) -> Self {
        Self { folder, memory: Vec::new(), file: None }
    }

    /// Appends a record.
    pub(crate) fn push(&mut self, record: &[u8]) -> io::Result<()> {
        let length = u32::try_from(record.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.memory.extend_from_slice(&length.to_le_bytes());
        self.memory.extend_from_slice(record);
        if self.memory.len() >= IN_MEMORY_BYTES {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(nameless_file(self.folder)?),
        };
        file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
    }

    /// Visits the records in the order they were pushed.
    pub(crate) fn drain<E: From<io::Error>>(
        self,
        mut visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let memory = Cursor::new(self.memory);
        let mut reader: Box<dyn Read> = match self.file {
            Some(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                Box::new(BufReader::with_capacity(128 << 10, file).chain(memory))
            }
            None => Box::new(memory),
        };
        let mut record = Vec::new();
        while read_record(&mut reader, &mut record)? {
            visit(&record)?;
        }
        Ok(())
    }
}

/// Reads one record in the form that [`Spool::push`] writes; answers whether there was one.
pub(crate) fn read_record(reader: &mut dyn Read, record: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0_u8; 4];
    match reader.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    }
    record.clear();
    let length = u64::from(u32::from_le_bytes(length));
    if reader.take(length).read_to_end(record)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(true)
}

fn nameless_file(folder: BorrowedFd<'_>) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, NAME, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::unlinkat(folder, NAME, AtFlags::empty())?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn records_come_back_in_order_from_memory_and_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let opened = crate::resolve::open_root(folder.path()).unwrap();
        for count in [0_u32, 3, 200_000] {
            let mut spool = Spool::new(opened.as_fd());
            for number in 0..count {
                spool.push(format!("record {number}").as_bytes()).unwrap();
            }
            assert!(spool.memory.len() < 2 * IN_MEMORY_BYTES);
            let mut next = 0;
            spool
                .drain::<io::Error>(|record| {
                    assert_eq!(record, format!("record {next}").as_bytes());
                    next += 1;
                    Ok(())
                })
                .unwrap();
            assert_eq!(next, count);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
