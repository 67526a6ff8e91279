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

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::super::chunk::Chunk;
    use super::*;

    fn empty() -> (Sender, Receiver, Arc<Monitor>) {
        let monitor = Arc::new(Monitor::default());
        let limits = Limits {
            pause_at: 4,
            resume_at: 2,
            memory: None,
        };
        let (sender, receiver) = buffer(limits, &monitor, true);
        (sender, receiver, monitor)
    }

    fn chunk(monitor: &Arc<Monitor>) -> Held {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        Held::new(Chunk::new(0, batch), monitor)
    }

    #[tokio::test]
    async fn an_end_that_nobody_meant_is_not_the_end() {
        for is_meant in [true, false] {
            let (mut sender, mut receiver, monitor) = empty();
            sender.send(chunk(&monitor)).await.unwrap();
            match is_meant {
                true => sender.end(),
                false => drop(sender),
            }
            assert!(receiver.next().await.unwrap().is_some(), "what was sent");
            let end = receiver.next().await;
            assert_eq!(end.is_ok_and(|none| none.is_none()), is_meant);
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_to_nobody() {
        let (mut sender, receiver, monitor) = empty();
        for _ in 0..4 {
            sender.send(chunk(&monitor)).await.unwrap();
        }
        let mut waits = std::pin::pin!(sender.send(chunk(&monitor)));
        assert!(futures::poll!(waits.as_mut()).is_pending());
        assert!(monitor.memory() > 0);
        drop(receiver);
        assert_eq!(waits.await, Err(Broken));
        assert_eq!(monitor.memory(), 0);
        assert_eq!(monitor.metrics().buffered, 0);
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_enough_was_taken() {
        let (mut sender, mut receiver, monitor) = empty();
        for _ in 0..4 {
            sender.send(chunk(&monitor)).await.unwrap();
        }
        let mut waits = std::pin::pin!(sender.send(chunk(&monitor)));
        assert!(futures::poll!(waits.as_mut()).is_pending());
        drop(receiver.next().await.unwrap());
        assert!(futures::poll!(waits.as_mut()).is_pending(), "three wait");
        drop(receiver.next().await.unwrap());
        assert!(futures::poll!(waits.as_mut()).is_ready(), "two wait");
        assert_eq!(monitor.metrics().pauses, 1);
        assert_eq!(monitor.metrics().most_buffered, 4);
    }
}
