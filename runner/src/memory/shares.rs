//! The ceiling of this process, shared by its runs: each has what it asked for, and all of them stop when they hold more
//! together.
//!
//! Owns the shares, and what is done beyond their sum; measuring and the moment are [`engine::memory`]'s. Nobody can say
//! whose the resident memory of a process is, so what stops one run beyond the ceiling stops all.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::memory::{Exceeded, Reaction, Watchdog};
use futures::future::BoxFuture;
use tokio::runtime::Handle;

use super::refused::ShareRefused;
use crate::error::RunError;
use crate::stop::{Stop, StopReason};

/// How long runs may take to end by themselves.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(50);

/// Notes that a run ended because memory was exhausted, where it is recorded.
pub type Record = Box<dyn Fn(&RunError) -> BoxFuture<'static, ()> + Send + Sync>;

/// The process may be ended when its runs do not stop in time: what is said before.
pub trait LastWords: Send + Sync {
    /// Says why the process ends. It has a few milliseconds.
    fn say(&self, error: &RunError);

    /// The exit code then.
    fn exit_code(&self) -> i32;
}

/// What this process may hold, for all its runs. There is one in a process.
pub struct ProcessMemory {
    total: u64,
    last_words: Option<Box<dyn LastWords>>,
    shares: Arc<Mutex<Shares>>,
}

#[derive(Default)]
struct Shares {
    given: Vec<Given>,
    made: u64,
    watchdog: Option<Watchdog>,
}

struct Given {
    number: u64,
    bytes: u64,
    stop: Stop,
    record: Record,
}

impl fmt::Debug for ProcessMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMemory")
            .field("total", &self.total)
            .field("taken", &lock(&self.shares).taken())
            .finish_non_exhaustive()
    }
}

impl ProcessMemory {
    /// `total` bytes for all runs together. The process is never ended.
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Self {
            total,
            last_words: None,
            shares: Arc::default(),
        })
    }

    /// What one command's only run asks for, whatever it is. The process is ended, after `last_words`, when the run holds more
    /// and does not stop in time.
    pub fn of_command(last_words: impl LastWords + 'static) -> Arc<Self> {
        Arc::new(Self {
            total: u64::MAX,
            last_words: Some(Box::new(last_words)),
            shares: Arc::default(),
        })
    }

    /// A share of `bytes`, until it is dropped. `stop` is asked to stop when the process holds more than all shares together;
    /// `record` notes that a run ended with the process.
    ///
    /// # Errors
    /// When others have too much of it, or the system has no thread left to watch.
    pub fn share(
        self: &Arc<Self>,
        bytes: u64,
        stop: &Stop,
        record: Record,
    ) -> Result<Share, ShareRefused> {
        let mut shares = lock(&self.shares);
        let taken = shares.taken();
        if bytes > self.total.saturating_sub(taken) {
            return Err(ShareRefused::NotLeft {
                asked: bytes,
                taken,
                total: self.total,
            });
        }
        let ceiling = taken.saturating_add(bytes);
        match &shares.watchdog {
            Some(watchdog) => watchdog.set(ceiling),
            None => {
                let reaction = Arc::new(AllStop {
                    memory: Arc::clone(self),
                    runtime: Handle::current(),
                });
                let watchdog = Watchdog::start(ceiling, reaction);
                shares.watchdog = watchdog.map_err(ShareRefused::Unwatched)?;
            }
        }
        shares.made += 1;
        let number = shares.made;
        shares.given.push(Given {
            number,
            bytes,
            stop: stop.clone(),
            record,
        });
        Ok(Share {
            number,
            shares: Arc::clone(&self.shares),
        })
    }
}

fn lock(shares: &Mutex<Shares>) -> MutexGuard<'_, Shares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shares {
    fn taken(&self) -> u64 {
        self.given.iter().map(|share| share.bytes).sum()
    }
}

/// A run's share of the memory of its process, given back when dropped.
pub struct Share {
    number: u64,
    shares: Arc<Mutex<Shares>>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Share").field(&self.number).finish()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = lock(&self.shares);
        shares.given.retain(|share| share.number != self.number);
        let left = shares.taken();
        match &shares.watchdog {
            Some(watchdog) if left > 0 => watchdog.set(left),
            _ => shares.watchdog = None,
        }
    }
}

/// What happens above the ceiling: all runs stop.
struct AllStop {
    memory: Arc<ProcessMemory>,
    runtime: Handle,
}

fn error_of(exceeded: &Exceeded) -> RunError {
    RunError::Memory {
        source: exceeded.clone(),
    }
}

impl Reaction for AllStop {
    fn stop(&self, exceeded: &Exceeded) {
        for share in &lock(&self.memory.shares).given {
            share.stop.ask(StopReason::OutOfMemory(exceeded.clone()));
        }
    }

    fn say(&self, exceeded: &Exceeded) {
        if let Some(last_words) = &self.memory.last_words {
            last_words.say(&error_of(exceeded));
        }
    }

    fn record(&self, exceeded: &Exceeded) {
        let error = error_of(exceeded);
        let records: Vec<BoxFuture<'static, ()>> = lock(&self.memory.shares)
            .given
            .iter()
            .map(|share| (share.record)(&error))
            .collect();
        self.runtime.block_on(futures::future::join_all(records));
    }

    fn exit_code(&self) -> Option<i32> {
        self.memory
            .last_words
            .as_ref()
            .map(|words| words.exit_code())
    }

    fn patience(&self) -> Duration {
        SHUTDOWN_TIMEOUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unrecorded() -> Record {
        Box::new(|_| Box::pin(std::future::ready(())))
    }

    #[tokio::test]
    async fn runs_have_what_is_left_and_give_it_back() {
        let memory = ProcessMemory::new(1 << 30);
        let stop = Stop::default();
        let first = memory.share(700 << 20, &stop, unrecorded()).unwrap();
        let refused = memory.share(400 << 20, &stop, unrecorded()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a run asks for 400 MiB of memory, and 700 of the 1024 MiB of this process are other runs'"
        );
        let second = memory.share(324 << 20, &stop, unrecorded()).unwrap();
        drop(first);
        let third = memory.share(700 << 20, &stop, unrecorded()).unwrap();
        drop((second, third));
        assert_eq!(lock(&memory.shares).taken(), 0);
        assert!(!stop.is_asked());
    }

    #[tokio::test]
    async fn a_process_above_its_ceiling_stops_all_runs_and_goes_on() {
        let memory = ProcessMemory::new(1 << 40);
        let (one, other) = (Stop::default(), Stop::default());
        // Less than the test program itself holds.
        let shares = [&one, &other].map(|stop| memory.share(1 << 10, stop, unrecorded()).unwrap());
        tokio::join!(one.asked(), other.asked());
        assert!(matches!(one.reason(), Some(StopReason::OutOfMemory(_))));
        drop(shares);
    }
}
