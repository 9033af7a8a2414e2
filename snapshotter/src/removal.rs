//! Layers removed in the background: a call answers once nobody can reach them any more, and `Cleanup` once they are gone.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plywood_graph::Removal;
use tokio::sync::oneshot;

use crate::ServeError;
use crate::metrics::Metrics;
use crate::status::chain;

/// How long layers that are still mounted are left alone before they are tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Removals are gathered until none came for this long, so that the disk is free for those who wait for an answer, and the records are
/// written once for all. Whoever waits for removals ends that.
const QUIET: Duration = Duration::from_millis(500);
/// The longest that removals are gathered.
const GATHERING: Duration = Duration::from_secs(5);
/// The most that are gathered.
const GATHERED: usize = 256;

/// What the thread is told.
enum Order {
    Remove(Removal),
    /// To answer once everything told before is done, or found not to be possible now.
    Answer(oneshot::Sender<()>),
}

/// The thread that removes layers. Dropping it waits until it has tried everything.
#[derive(Debug)]
pub(crate) struct Remover {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Remover {
    /// Starts the thread.
    pub(crate) fn start(metrics: Metrics) -> Result<Self, ServeError> {
        let (orders, received) = mpsc::channel();
        let thread = std::thread::Builder::new().name("remover".to_owned());
        let thread = thread
            .spawn(move || Removing { metrics, left: Vec::new() }.run(&received))
            .map_err(|source| ServeError::Start { what: "a thread", source })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Removes when there is time. Where the thread is gone, the next recovery does it.
    pub(crate) fn remove(&self, removal: Removal) {
        self.tell(Order::Remove(removal));
    }

    /// Waits until everything told before is done. What is still mounted stays.
    pub(crate) async fn wait(&self) {
        let (answer, answered) = oneshot::channel();
        self.tell(Order::Answer(answer));
        // An error says that the thread is gone, and with it all that could be waited for.
        drop(answered.await);
    }

    fn tell(&self, order: Order) {
        if let Some(orders) = &self.orders
            && orders.send(order).is_err()
        {
            tracing::error!("the thread that removes layers is gone: they stay until the next start");
        }
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        self.orders = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that removes layers ended badly: the next start finishes its work");
        }
    }
}

/// The thread's own.
struct Removing {
    metrics: Metrics,
    /// Layers that could not be removed yet.
    left: Vec<Removal>,
}

impl Removing {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = if self.left.is_empty() {
                orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                orders.recv_timeout(PATIENCE)
            };
            let mut answers = Vec::new();
            match first {
                Ok(order) => self.take(order, &mut answers),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            self.gather(orders, &mut answers);
            self.finish();
            for answer in answers {
                if answer.send(()).is_err() {
                    tracing::debug!("whoever waited for removals does not wait any more");
                }
            }
        }
    }

    fn gather(&mut self, orders: &Receiver<Order>, answers: &mut Vec<oneshot::Sender<()>>) {
        let until = Instant::now() + GATHERING;
        while self.left.len() < GATHERED {
            let left = until.saturating_duration_since(Instant::now());
            let wait = if answers.is_empty() { left.min(QUIET) } else { Duration::ZERO };
            match orders.recv_timeout(wait) {
                Ok(order) => self.take(order, answers),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, order: Order, answers: &mut Vec<oneshot::Sender<()>>) {
        match order {
            Order::Remove(removal) => self.left.push(removal),
            Order::Answer(answer) => answers.push(answer),
        }
    }

    fn finish(&mut self) {
        let removals = std::mem::take(&mut self.left);
        let count = removals.len();
        match Removal::finish(removals) {
            Ok(left) => {
                self.metrics.removed(count - left.len());
                for (removal, error) in left {
                    tracing::warn!(error = chain(&error), "a layer is removed later");
                    self.left.push(removal);
                }
            }
            Err(error) => {
                tracing::error!(error = chain(&error), count, "layers are removed at the next start");
            }
        }
    }
}
