//! A disk that records: every write in its order, and every flush. What a power cut would leave of it can be made afterwards, for any moment.
//!
//! It is one file in a small file system of its own (FUSE), which a loop device makes a disk of: what the file system on that disk writes comes here
//! as writes, and its barriers as fsync. The kernel's dm-log-writes records the same, and is not in every kernel.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What the disk was told.
#[derive(Debug, Clone)]
pub enum Event {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// All that was written before is on the disk.
    Flush,
    /// Something that the test wants to find again.
    Mark(String),
}

/// The disk's content, and how it came about.
#[derive(Debug)]
struct Disk {
    content: Vec<u8>,
    events: Vec<Event>,
}

/// A disk that records, mounted as a file.
pub struct Recorder {
    folder: PathBuf,
    disk: Arc<Mutex<Disk>>,
    server: Option<JoinHandle<()>>,
}

/// The file's number; 1 is the root (`fuse_kernel.h`, `FUSE_ROOT_ID`).
const FILE: u64 = 2;
/// The largest write that is taken at once.
const WRITE_BYTES: u32 = 1 << 20;
/// A request has a head of 40 bytes (`struct fuse_in_header`), and a write one of 40 more.
const HEAD_BYTES: usize = 40;

impl Recorder {
    /// A disk with this content, as the file [`path`](Self::path) below the empty folder `folder`.
    pub fn new(folder: &Path, content: Vec<u8>) -> Self {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let data =
            format!("fd={},rootmode=40755,user_id=0,group_id=0,max_read={WRITE_BYTES}", device.as_raw_fd());
        let data = std::ffi::CString::new(data).unwrap();
        let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
        rustix::mount::mount("plywood-recorder", folder, "fuse", flags, data.as_c_str()).unwrap();
        let disk = Arc::new(Mutex::new(Disk { content, events: Vec::new() }));
        let served = Arc::clone(&disk);
        let server = std::thread::spawn(move || serve(device, &served));
        Self { folder: folder.to_owned(), disk, server: Some(server) }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("disk")
    }

    pub fn mark(&self, text: &str) {
        lock(&self.disk).events.push(Event::Mark(text.to_owned()));
    }

    /// What is on the disk, and forgets how it came about: the beginning of the record.
    pub fn begin(&self) -> Vec<u8> {
        let mut disk = lock(&self.disk);
        disk.events.clear();
        disk.content.clone()
    }

    /// All that happened since.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.disk).events)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.folder).status());
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

fn lock(disk: &Mutex<Disk>) -> std::sync::MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn small(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Answers requests until it is unmounted.
fn serve(mut device: File, disk: &Mutex<Disk>) {
    let mut buffer = vec![0; WRITE_BYTES as usize + 65_536];
    loop {
        let count = match device.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOENT | libc::EAGAIN)) => {
                continue;
            }
            Err(_) => return,
        };
        let request = &buffer[..count];
        let Some(answer) = answer(small(request, 4), number(request, 16), &request[HEAD_BYTES..], disk)
        else {
            continue;
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (-error, Vec::new()),
        };
        // struct fuse_out_header
        let mut out = Vec::with_capacity(16 + body.len());
        out.extend(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
        out.extend(error.to_ne_bytes());
        out.extend(number(request, 8).to_ne_bytes());
        out.extend(body);
        drop(device.write(&out));
    }
}

/// The answer to a request; `None` where none is awaited. The numbers are those of `fuse_kernel.h`.
fn answer(operation: u32, node: u64, body: &[u8], disk: &Mutex<Disk>) -> Option<Result<Vec<u8>, i32>> {
    Some(Ok(match operation {
        // LOOKUP
        1 if body.starts_with(b"disk\0") => {
            let mut entry = words(&[FILE, 0, 3600, 3600, 0]);
            entry.extend(attributes(FILE, disk));
            entry
        }
        1 => return Some(Err(libc::ENOENT)),
        // FORGET, INTERRUPT, BATCH_FORGET
        2 | 36 | 42 => return None,
        // GETATTR, SETATTR
        3 | 4 => {
            let mut answer = words(&[3600, 0]);
            answer.extend(attributes(node, disk));
            answer
        }
        // OPEN, OPENDIR
        14 | 27 => words(&[0, 2]),
        // READ
        15 => {
            let disk = lock(disk);
            let from = usize::try_from(number(body, 8)).unwrap().min(disk.content.len());
            let to = (from + small(body, 16) as usize).min(disk.content.len());
            disk.content[from..to].to_vec()
        }
        // WRITE
        16 => {
            let (offset, length) = (number(body, 8), small(body, 16));
            write(&mut lock(disk), offset, &body[40..40 + length as usize]);
            words(&[u64::from(length)])
        }
        // STATFS
        17 => vec![0; 80],
        // FSYNC
        20 => {
            lock(disk).events.push(Event::Flush);
            Vec::new()
        }
        // RELEASE, FLUSH, RELEASEDIR, ACCESS, DESTROY
        18 | 25 | 29 | 34 | 38 => Vec::new(),
        // INIT
        26 => hello(body),
        _ => return Some(Err(libc::ENOSYS)),
    }))
}

fn write(disk: &mut Disk, offset: u64, bytes: &[u8]) {
    let from = usize::try_from(offset).unwrap();
    if from + bytes.len() <= disk.content.len() {
        disk.content[from..from + bytes.len()].copy_from_slice(bytes);
        disk.events.push(Event::Write { offset, bytes: bytes.to_vec() });
    }
}

/// `struct fuse_init_out`: version 7.31, large writes.
fn hello(body: &[u8]) -> Vec<u8> {
    let flags = small(body, 12) & ((1 << 5) | (1 << 22));
    let mut answer = Vec::new();
    for word in [7, 31, WRITE_BYTES, flags, 16 | (12 << 16), WRITE_BYTES, 1, 256] {
        answer.extend(word.to_ne_bytes());
    }
    answer.resize(64, 0);
    answer
}

/// `struct fuse_attr`.
fn attributes(node: u64, disk: &Mutex<Disk>) -> Vec<u8> {
    let size = if node == FILE { lock(disk).content.len() as u64 } else { 0 };
    let mode: u32 = if node == FILE { libc::S_IFREG | 0o600 } else { libc::S_IFDIR | 0o755 };
    let mut answer = words(&[node, size, size / 512, 0, 0, 0]);
    for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        answer.extend(word.to_ne_bytes());
    }
    answer
}

fn words(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}
