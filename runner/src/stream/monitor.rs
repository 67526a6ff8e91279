//! A stream while it goes: its status, its counts, and the request to cancel it. Owns the one decision between cancelling and
//! ending, so that what was cancelled is not published.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::metrics::{Metrics, StageMetrics, Status};

/// What has been decided of the end: nothing, that it is cancelled, that the sink is being ended.
const OPEN: u8 = 0;
const CANCELLED: u8 = 1;
const ENDING: u8 = 2;

/// A stream that goes, or went; all clones are of the same one.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Monitor>);

impl Handle {
    pub(super) fn new(monitor: &Arc<Monitor>) -> Self {
        Self(Arc::clone(monitor))
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        *self.0.status.borrow()
    }

    /// Tells of every change of the status.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.0.status.subscribe()
    }

    /// The counts as they are now.
    pub fn metrics(&self) -> Metrics {
        self.0.metrics()
    }

    /// Asks it to stop: everything that it does is ended, and nothing is published. `false` if it has ended, or is about to:
    /// the sink has all chunks.
    pub fn cancel(&self) -> bool {
        let decided = self.0.decide(CANCELLED);
        if decided {
            self.0.cancel.cancel();
        }
        decided
    }
}

/// What all parts of a stream count.
#[derive(Debug)]
pub(super) struct Monitor {
    status: watch::Sender<Status>,
    end: AtomicU8,
    cancel: CancellationToken,
    begun: OnceLock<Instant>,
    took: OnceLock<Duration>,
    pub(super) read: Counted,
    pub(super) written: Counted,
    pauses: AtomicU64,
    buffered: AtomicUsize,
    most_buffered: AtomicUsize,
    memory: AtomicU64,
    peak_memory: AtomicU64,
    stages: OnceLock<Vec<Arc<StageCounters>>>,
}

/// Chunks, their rows, and the bytes of these.
#[derive(Debug, Default)]
pub(super) struct Counted {
    chunks: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Counted {
    pub(super) fn add(&self, rows: usize, bytes: u64) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }
}

/// What a stage counts.
#[derive(Debug, Default)]
pub(super) struct StageCounters {
    pub(super) name: String,
    pub(super) taken: AtomicU64,
    pub(super) given: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) put_aside: AtomicU64,
}

impl StageCounters {
    fn metrics(&self) -> StageMetrics {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StageMetrics {
            name: self.name.clone(),
            taken: of(&self.taken),
            given: of(&self.given),
            errors: of(&self.errors),
            retries: of(&self.retries),
            put_aside: of(&self.put_aside),
        }
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            status: watch::Sender::new(Status::Active),
            end: AtomicU8::new(OPEN),
            cancel: CancellationToken::new(),
            begun: OnceLock::new(),
            took: OnceLock::new(),
            read: Counted::default(),
            written: Counted::default(),
            pauses: AtomicU64::new(0),
            buffered: AtomicUsize::new(0),
            most_buffered: AtomicUsize::new(0),
            memory: AtomicU64::new(0),
            peak_memory: AtomicU64::new(0),
            stages: OnceLock::new(),
        }
    }
}

impl Monitor {
    /// The stream begins, with these stages.
    pub(super) fn begin(&self, stages: Vec<Arc<StageCounters>>) {
        self.begun.get_or_init(Instant::now);
        self.stages.get_or_init(|| stages);
    }

    /// It has ended so, if it has not ended before.
    pub(super) fn end(&self, status: Status) {
        let begun = self.begun.get();
        self.took
            .get_or_init(|| begun.map_or(Duration::ZERO, Instant::elapsed));
        self.change(status);
    }

    fn change(&self, status: Status) {
        self.status.send_if_modified(|now| {
            let changes = !now.is_end() && *now != status;
            if changes {
                *now = status;
            }
            changes
        });
    }

    fn decide(&self, end: u8) -> bool {
        let decided = (self.end).compare_exchange(OPEN, end, Ordering::SeqCst, Ordering::SeqCst);
        decided.is_ok()
    }

    /// From here on it cannot be cancelled; `false` if it is.
    pub(super) fn begin_end(&self) -> bool {
        self.decide(ENDING)
    }

    /// Waits until somebody cancels it.
    pub(super) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// The source is made to wait.
    pub(super) fn pause(&self) {
        self.pauses.fetch_add(1, Ordering::Relaxed);
        self.change(Status::Paused);
    }

    /// It may go on.
    pub(super) fn resume(&self) {
        self.change(Status::Active);
    }

    /// A chunk came into a buffer.
    pub(super) fn buffer(&self) {
        let buffered = self.buffered.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_buffered.fetch_max(buffered, Ordering::Relaxed);
    }

    /// So many left one.
    pub(super) fn unbuffer(&self, chunks: usize) {
        self.buffered.fetch_sub(chunks, Ordering::Relaxed);
    }

    /// Bytes are held from here on.
    pub(super) fn hold(&self, bytes: u64) {
        let held = self.memory.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak_memory.fetch_max(held, Ordering::Relaxed);
    }

    /// They are not any more.
    pub(super) fn free(&self, bytes: u64) {
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that are held now.
    pub(super) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    pub(super) fn metrics(&self) -> Metrics {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let stages = self.stages.get().into_iter().flatten();
        let stages: Vec<StageMetrics> = stages.map(|stage| stage.metrics()).collect();
        let sum = |get: fn(&StageMetrics) -> u64| stages.iter().map(get).sum();
        let elapsed = self.begun.get().map_or(Duration::ZERO, Instant::elapsed);
        Metrics {
            status: *self.status.borrow(),
            chunks: of(&self.written.chunks),
            items: of(&self.written.rows),
            bytes: of(&self.written.bytes),
            chunks_read: of(&self.read.chunks),
            items_read: of(&self.read.rows),
            errors: sum(|stage| stage.errors),
            retries: sum(|stage| stage.retries),
            put_aside: sum(|stage| stage.put_aside),
            pauses: of(&self.pauses),
            buffered: self.buffered.load(Ordering::Relaxed),
            most_buffered: self.most_buffered.load(Ordering::Relaxed),
            memory: self.memory(),
            peak_memory: of(&self.peak_memory),
            duration: self.took.get().copied().unwrap_or(elapsed),
            stages,
        }
    }
}
