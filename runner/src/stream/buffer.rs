//! What waits between two parts of a stream. Owns the bound: when it is full the one before has to wait until the one behind has
//! taken so many; and that an end which nobody meant is not taken for the end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::held::Held;
use super::monitor::Monitor;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Chunks at which the one before has to wait.
    pub(super) pause_at: usize,
    /// Chunks at which it may go on; fewer.
    pub(super) resume_at: usize,
    /// Bytes of all chunks of the stream at which it has to wait while any chunk waits here.
    pub(super) memory: Option<u64>,
}

/// The other side is gone, and did not say that it had come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

#[derive(Debug)]
struct Shared {
    limits: Limits,
    monitor: Arc<Monitor>,
    /// Whether it is the source that waits.
    is_first: bool,
    state: Mutex<State>,
    room: Notify,
    chunks: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Held>,
    is_full: bool,
    sender: Side,
    receiver: Side,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Side {
    #[default]
    There,
    Ended,
    Gone,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over_memory(&self) -> bool {
        (self.limits.memory).is_some_and(|most| self.monitor.memory() >= most)
    }
}

/// Puts chunks in.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

/// Takes them out.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Shared>);

/// An empty buffer, behind the source if it `is_first`.
pub(super) fn buffer(limits: Limits, monitor: &Arc<Monitor>, is_first: bool) -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        limits,
        monitor: Arc::clone(monitor),
        is_first,
        state: Mutex::default(),
        room: Notify::new(),
        chunks: Notify::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl Sender {
    /// Puts a chunk in, once there is room.
    pub(super) async fn send(&mut self, chunk: Held) -> Result<(), Broken> {
        loop {
            {
                let mut state = self.0.lock();
                if state.receiver != Side::There {
                    return Err(Broken);
                }
                if !state.is_full {
                    state.queue.push_back(chunk);
                    self.0.monitor.buffer();
                    if state.queue.len() >= self.0.limits.pause_at || self.0.is_over_memory() {
                        state.is_full = true;
                        if self.0.is_first {
                            self.0.monitor.pause();
                        }
                    }
                    self.0.chunks.notify_one();
                    return Ok(());
                }
            }
            self.0.room.notified().await;
        }
    }

    /// Nothing comes any more, as it should be.
    pub(super) fn end(self) {
        self.0.lock().sender = Side::Ended;
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.sender == Side::There {
            state.sender = Side::Gone;
        }
        self.0.chunks.notify_one();
    }
}

impl Receiver {
    /// The next chunk, once there is one; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Held>, Broken> {
        loop {
            {
                let mut state = self.0.lock();
                if let Some(chunk) = state.queue.pop_front() {
                    self.0.monitor.unbuffer(1);
                    let waiting = state.queue.len();
                    let has_room = waiting <= self.0.limits.resume_at;
                    if state.is_full && has_room && (waiting == 0 || !self.0.is_over_memory()) {
                        state.is_full = false;
                        if self.0.is_first {
                            self.0.monitor.resume();
                        }
                        self.0.room.notify_one();
                    }
                    return Ok(Some(chunk));
                }
                match state.sender {
                    Side::There => {}
                    Side::Ended => return Ok(None),
                    Side::Gone => return Err(Broken),
                }
            }
            self.0.chunks.notified().await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver = Side::Gone;
        self.0.monitor.unbuffer(state.queue.len());
        state.queue.clear();
        self.0.room.notify_one();
    }
}
