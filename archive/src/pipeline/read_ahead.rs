//! Reads a source on its own thread.

use std::any::Any;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

/// A buffer on its way: `bytes[..filled]` is data.
#[derive(Default)]
struct Chunk {
    bytes: Box<[u8]>,
    filled: usize,
}

/// What the producer tells the consumer.
enum Message<S> {
    Chunk(Chunk),
    End(S),
    Failed(io::Error),
}

/// Reads a source on a thread of its own, a bounded number of buffers ahead.
///
/// Bytes come out in order. An error of the source comes out after the bytes before it; a panic of the source comes
/// out as an error. Dropping it ends the thread at its next buffer, without waiting for a read that is under way.
pub struct ReadAhead<S> {
    filled: Receiver<Message<S>>,
    emptied: SyncSender<Box<[u8]>>,
    current: Chunk,
    start: usize,
    state: State<S>,
}

enum State<S> {
    Running,
    Ended(S),
    Failed,
}

impl<S: Read + Send> ReadAhead<S> {
    /// Reads `source` on a new thread with `chunks` buffers of `chunk_bytes` each (at least one of one byte).
    ///
    /// Where no thread can be started the first read says so.
    pub fn spawn(source: S, chunk_bytes: usize, chunks: usize) -> Self
    where
        S: 'static,
    {
        let (ahead, producer) = Self::prepare(chunk_bytes, chunks);
        let failure = producer.filled.clone();
        let spawned = thread::Builder::new().name("read-ahead".into()).spawn(move || producer.run(source));
        if let Err(error) = spawned {
            report(&failure, error);
        }
        ahead
    }

    /// Does the same on a thread of `scope`, so that `source` may borrow. The scope waits for the thread, so the
    /// source must not block for ever.
    pub fn spawn_scoped<'scope>(
        scope: &'scope Scope<'scope, '_>,
        source: S,
        chunk_bytes: usize,
        chunks: usize,
    ) -> Self
    where
        S: 'scope,
    {
        let (ahead, producer) = Self::prepare(chunk_bytes, chunks);
        let failure = producer.filled.clone();
        let builder = thread::Builder::new().name("read-ahead".into());
        if let Err(error) = builder.spawn_scoped(scope, move || producer.run(source)) {
            report(&failure, error);
        }
        ahead
    }

    fn prepare(chunk_bytes: usize, chunks: usize) -> (Self, Producer<S>) {
        let chunks = chunks.max(1);
        // One place more than there are buffers: the end or an error never waits for the consumer.
        let (filled_sender, filled) = sync_channel(chunks + 1);
        let (emptied, emptied_receiver) = sync_channel(chunks);
        let producer = Producer {
            filled: filled_sender,
            emptied: emptied_receiver,
            chunk_bytes: chunk_bytes.max(1),
            unallocated: chunks,
        };
        let ahead = Self { filled, emptied, current: Chunk::default(), start: 0, state: State::Running };
        (ahead, producer)
    }

    /// Reads to the end and gives the source back.
    ///
    /// # Errors
    ///
    /// What the source answered; also when it was already seen by reading.
    pub fn finish(mut self) -> io::Result<S> {
        loop {
            let available = self.fill_buf()?.len();
            if available == 0 {
                break;
            }
            self.consume(available);
        }
        match self.state {
            State::Ended(source) => Ok(source),
            State::Running | State::Failed => Err(failed_before()),
        }
    }

    /// Gives the bytes that can be read without waiting; empty between buffers.
    pub fn buffered(&self) -> &[u8] {
        &self.current.bytes[self.start..self.current.filled]
    }

    /// Hands the used buffer back and waits for the next message.
    fn advance(&mut self) -> io::Result<()> {
        let used = std::mem::take(&mut self.current);
        self.start = 0;
        // The producer may have ended already and need no buffers any more.
        if !used.bytes.is_empty() && self.emptied.try_send(used.bytes).is_err() {
            tracing::trace!("the reading thread has ended");
        }
        match self.filled.recv() {
            Ok(Message::Chunk(chunk)) => self.current = chunk,
            Ok(Message::End(source)) => self.state = State::Ended(source),
            Ok(Message::Failed(error)) => {
                self.state = State::Failed;
                return Err(error);
            }
            Err(_) => {
                self.state = State::Failed;
                return Err(io::Error::other("the reading thread ended without a word"));
            }
        }
        Ok(())
    }
}

fn failed_before() -> io::Error {
    io::Error::other("reading failed before")
}

/// Tells the consumer about an error, if it is still there.
fn report<S>(filled: &SyncSender<Message<S>>, error: io::Error) {
    if filled.try_send(Message::Failed(error)).is_err() {
        tracing::trace!("nobody reads any more");
    }
}

impl<S: Read + Send> Read for ReadAhead<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<S: Read + Send> BufRead for ReadAhead<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.current.filled {
            match self.state {
                State::Running => self.advance()?,
                State::Ended(_) => {}
                State::Failed => return Err(failed_before()),
            }
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.current.filled);
    }
}

/// The side of the thread.
struct Producer<S> {
    filled: SyncSender<Message<S>>,
    emptied: Receiver<Box<[u8]>>,
    chunk_bytes: usize,
    unallocated: usize,
}

impl<S: Read + Send> Producer<S> {
    fn run(mut self, source: S) {
        let filled = self.filled.clone();
        // The source is used no further after a panic, so that its broken invariants are seen by nobody.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.produce(source))) {
            report(&filled, io::Error::other(format!("the reading thread panicked: {}", message(&*panic))));
        }
    }

    fn produce(&mut self, mut source: S) {
        // No buffer and no listener both mean that the consumer is gone.
        while let Some(bytes) = self.next_buffer() {
            let (chunk, ended) = fill(&mut source, bytes);
            if chunk.filled > 0 && self.filled.send(Message::Chunk(chunk)).is_err() {
                return;
            }
            match ended {
                None => {}
                Some(Ok(())) => {
                    if self.filled.send(Message::End(source)).is_err() {
                        tracing::trace!("nobody reads any more");
                    }
                    return;
                }
                Some(Err(error)) => return report(&self.filled, error),
            }
        }
    }

    fn next_buffer(&mut self) -> Option<Box<[u8]>> {
        if self.unallocated > 0 {
            self.unallocated -= 1;
            return Some(vec![0; self.chunk_bytes].into_boxed_slice());
        }
        self.emptied.recv().ok()
    }
}

/// Fills a whole buffer, so that the threads meet seldom; says whether the source ended or failed in it.
fn fill<S: Read>(source: &mut S, mut bytes: Box<[u8]>) -> (Chunk, Option<io::Result<()>>) {
    let mut filled = 0;
    let mut ended = None;
    while filled < bytes.len() && ended.is_none() {
        match source.read(&mut bytes[filled..]) {
            Ok(0) => ended = Some(Ok(())),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => ended = Some(Err(error)),
        }
    }
    (Chunk { bytes, filled }, ended)
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return text;
    }
    panic.downcast_ref::<String>().map_or("no message", String::as_str)
}
