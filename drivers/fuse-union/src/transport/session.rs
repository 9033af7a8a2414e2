//! A session: threads that take requests of one mount until it is gone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse_abi::linux::{fuse_in_header, fuse_init_in, fuse_opcode};
use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::device::Device;
use super::dispatch::{Dispatcher, Scratch};
use super::negotiate::{LARGEST_WRITE, agree};
use super::reply::Reply;
use super::wire::Body;
use crate::request::{Answer, FileSystem, Kernel};

/// Threads at most: each that waits, for a long copy-up or a disk, takes one.
const MOST_THREADS: usize = 64;

/// Threads that wait for requests are kept up to this number.
const IDLE_THREADS: usize = 4;

/// Room for the largest write with its headers.
const BUFFER_BYTES: usize = LARGEST_WRITE as usize + 4096;

/// A mount that is served.
pub struct Session<F> {
    pool: Arc<Pool<F>>,
}

/// Tells when a mount is gone.
#[derive(Debug, Clone, Default)]
pub struct Unmounted(Arc<Served>);

#[derive(Debug, Default)]
struct Served {
    over: Mutex<bool>,
    told: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Unmounted {
    /// Waits until it is, and its threads have ended.
    pub fn wait(&self) {
        let mut over = self.0.over.lock();
        while !*over {
            self.0.told.wait(&mut over);
        }
        drop(over);
        self.join();
    }

    /// As [`wait`](Self::wait), but no longer than this. Answers whether the mount is gone.
    #[must_use]
    pub fn wait_for(&self, longest: Duration) -> bool {
        let mut over = self.0.over.lock();
        while !*over {
            if self.0.told.wait_for(&mut over, longest).timed_out() {
                return *over;
            }
        }
        drop(over);
        self.join();
        true
    }

    fn join(&self) {
        let threads = std::mem::take(&mut *self.0.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread that served requests failed");
            }
        }
    }

    fn tell(&self) {
        *self.0.over.lock() = true;
        self.0.told.notify_all();
    }

    fn keep(&self, thread: JoinHandle<()>) {
        let mut threads = self.0.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }
}

struct Pool<F> {
    device: Arc<Device>,
    dispatcher: Dispatcher<F>,
    idle: AtomicUsize,
    threads: AtomicUsize,
    unmounted: Unmounted,
}

impl<F: FileSystem> Session<F> {
    /// Answers the kernel's greeting on the device of a new mount. No thread is started.
    ///
    /// # Errors
    /// `EPROTO` for a kernel older than 5.4; those of reading the device.
    pub fn new(device: OwnedFd, file_system: Arc<F>) -> Answer<Self> {
        let device = Arc::new(Device::new(device));
        let xattr_flags = greet(&device, &*file_system)?;
        let dispatcher = Dispatcher { file_system, xattr_flags };
        Ok(Self {
            pool: Arc::new(Pool {
                device,
                dispatcher,
                idle: AtomicUsize::new(0),
                threads: AtomicUsize::new(0),
                unmounted: Unmounted::default(),
            }),
        })
    }

    /// Starts the threads; they end with the mount.
    ///
    /// # Errors
    /// `EAGAIN` where no thread can be started.
    pub fn start(self) -> Answer<Unmounted> {
        spawn(&self.pool)?;
        Ok(self.pool.unmounted.clone())
    }
}

/// Reads the first request, which is `FUSE_INIT`, and answers it. Returns whether attributes are set with flags.
fn greet<F: FileSystem>(device: &Arc<Device>, file_system: &F) -> Answer<bool> {
    let mut buffer = vec![0_u8; BUFFER_BYTES];
    loop {
        let length = receive(device.as_fd(), &mut buffer)?.ok_or(Errno::NODEV)?;
        let mut body = Body::new(&buffer[..length]);
        let header: fuse_in_header = body.take()?;
        let reply = Reply::new(device.as_fd(), header.unique);
        if fuse_opcode::try_from(header.opcode) != Ok(fuse_opcode::FUSE_INIT) {
            reply.error(Errno::IO);
            continue;
        }
        let offer: fuse_init_in = body.take()?;
        // 7.31 (Linux 5.4) is the first with all that is sent without being asked for.
        if offer.major != 7 || offer.minor < 31 {
            reply.error(Errno::PROTO);
            return Err(Errno::PROTO);
        }
        let agreed = agree(&offer, file_system.wishes());
        let kernel: Arc<dyn Kernel> = Arc::clone(device) as Arc<dyn Kernel>;
        file_system.start(agreed.features, kernel);
        tracing::debug!(features = ?agreed.features, version = offer.minor, "the kernel agreed");
        reply.data(agreed.out.as_bytes());
        return Ok(agreed.xattr_flags);
    }
}

fn spawn<F: FileSystem>(pool: &Arc<Pool<F>>) -> Answer<()> {
    let number = pool.threads.fetch_add(1, Ordering::Relaxed);
    let for_thread = Arc::clone(pool);
    let spawned = thread::Builder::new().name(format!("request-{number}")).spawn(move || {
        for_thread.serve();
        // The last one: nobody will serve any more.
        if for_thread.threads.fetch_sub(1, Ordering::AcqRel) == 1 {
            for_thread.dispatcher.file_system.end();
            for_thread.unmounted.tell();
        }
    });
    spawned.map(|thread| pool.unmounted.keep(thread)).map_err(|error| {
        pool.threads.fetch_sub(1, Ordering::Relaxed);
        Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)
    })
}

impl<F: FileSystem> Pool<F> {
    fn serve(self: &Arc<Self>) {
        let own = self.device.channel();
        let channel = own.as_ref().map_or_else(|_| self.device.as_fd(), AsFd::as_fd);
        let mut buffer = vec![0_u8; BUFFER_BYTES];
        let mut scratch = Scratch::default();
        loop {
            self.idle.fetch_add(1, Ordering::Relaxed);
            let received = receive(channel, &mut buffer);
            let idle_before = self.idle.fetch_sub(1, Ordering::Relaxed);
            let length = match received {
                Ok(Some(length)) => length,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the device cannot be read: the mount is given up");
                    return;
                }
            };
            if idle_before == 1 && self.threads.load(Ordering::Relaxed) < MOST_THREADS {
                // Nobody else waits: whoever comes next must not wait for this request.
                if let Err(error) = spawn(self) {
                    tracing::debug!(%error, "no further thread");
                }
            }
            self.dispatcher.handle(channel, &buffer[..length], &mut scratch);
            if self.idle.load(Ordering::Relaxed) >= IDLE_THREADS {
                return;
            }
        }
    }
}

/// Reads one request; nothing where the mount is gone.
fn receive(channel: BorrowedFd<'_>, buffer: &mut [u8]) -> Answer<Option<usize>> {
    loop {
        match rustix::io::read(channel, &mut *buffer) {
            Ok(length) => return Ok(Some(length)),
            // ENOENT: the request was interrupted before it was read.
            Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => {}
            Err(Errno::NODEV | Errno::CONNABORTED) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

impl<F> std::fmt::Debug for Session<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}
