//! The work of a stage on one chunk, as often as it takes. Owns what a failure is (an error, a panic, too long a time), when it
//! is tried again, and what becomes of a chunk that cannot be done.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;

use super::chunk::{Chunk, made_of};
use super::error::{Cause, Panicked, StreamError};
use super::held::Held;
use super::monitor::{Monitor, StageCounters};
use super::stage::Stage;

/// The longest pause between two tries.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// A chunk that a stage could not do, and the stream went on without.
#[derive(Debug)]
pub struct PutAside {
    /// The stage.
    pub stage: String,
    /// The chunk, as it came to the stage.
    pub chunk: Chunk,
    /// How often it was tried.
    pub tries: u32,
    /// What the last try said.
    pub cause: Cause,
}

#[derive(Debug, thiserror::Error)]
#[error("it took longer than {0:?}")]
struct TooLong(Duration);

/// A stage at work.
#[derive(Debug)]
pub(super) struct AtWork {
    pub(super) stage: Stage,
    pub(super) counters: Arc<StageCounters>,
    pub(super) monitor: Arc<Monitor>,
    aside: Mutex<Vec<Aside>>,
}

/// What will be a [`PutAside`]; until then its memory counts.
#[derive(Debug)]
struct Aside {
    chunk: Held,
    tries: u32,
    cause: Cause,
}

fn count(of: &AtomicU64, number: usize) {
    of.fetch_add(number as u64, Ordering::Relaxed);
}

impl AtWork {
    pub(super) fn new(stage: Stage, monitor: &Arc<Monitor>) -> Self {
        Self {
            counters: Arc::new(StageCounters {
                name: stage.name.clone(),
                ..StageCounters::default()
            }),
            stage,
            monitor: Arc::clone(monitor),
            aside: Mutex::default(),
        }
    }

    /// What was put aside, in the order of the source.
    pub(super) fn put_aside(&self) -> Vec<PutAside> {
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = std::mem::take(&mut *aside);
        let mut aside: Vec<PutAside> = aside
            .into_iter()
            .map(
                |Aside {
                     chunk,
                     tries,
                     cause,
                 }| PutAside {
                    stage: self.stage.name.clone(),
                    chunk: chunk.chunk().clone(),
                    tries,
                    cause,
                },
            )
            .collect();
        aside.sort_by_key(|aside| aside.chunk.sequence);
        aside
    }

    /// Does the work on a chunk, and gives what comes of it.
    pub(super) async fn work(&self, chunk: Held) -> Result<Vec<Held>, StreamError> {
        count(&self.counters.taken, 1);
        let mut tries = 0;
        let cause = loop {
            tries += 1;
            match self.attempt(chunk.chunk().clone()).await {
                Ok(made) => {
                    let made = made_of(chunk.chunk(), made);
                    count(&self.counters.given, made.len());
                    let made = made.into_iter();
                    return Ok(made.map(|chunk| Held::new(chunk, &self.monitor)).collect());
                }
                Err(cause) => {
                    count(&self.counters.errors, 1);
                    if tries > self.stage.retries {
                        break cause;
                    }
                }
            }
            tokio::time::sleep(backoff(self.stage.backoff, tries)).await;
            count(&self.counters.retries, 1);
        };
        self.failed(chunk, tries, cause)?;
        Ok(Vec::new())
    }

    async fn attempt(&self, chunk: Chunk) -> Result<Vec<Chunk>, Cause> {
        // Called when it is polled: what it does before it first waits may panic too.
        let work = async { (self.stage.work)(chunk).await };
        let work = AssertUnwindSafe(work).catch_unwind();
        let done = match self.stage.timeout {
            Some(longest) => tokio::time::timeout(longest, work)
                .await
                .map_err(|_| TooLong(longest))?,
            None => work.await,
        };
        done.unwrap_or_else(|panic| Err(Panicked::new(panic.as_ref()).into()))
    }

    /// Puts a chunk aside, if that may be.
    fn failed(&self, chunk: Held, tries: u32, cause: Cause) -> Result<(), StreamError> {
        let (stage, id) = (self.stage.name.clone(), chunk.chunk().id.clone());
        let sequence = chunk.chunk().sequence;
        let Some(most) = self.stage.put_aside else {
            return Err(StreamError::Stage {
                stage,
                sequence,
                id,
                tries,
                cause,
            });
        };
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        if aside.len() >= most {
            return Err(StreamError::TooManyPutAside {
                stage,
                most,
                sequence,
                id,
                tries,
                cause,
            });
        }
        count(&self.counters.put_aside, 1);
        aside.push(Aside {
            chunk,
            tries,
            cause,
        });
        Ok(())
    }
}

/// The pause after so many tries.
fn backoff(first: Duration, tries: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
    first.saturating_mul(doubled).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let millis = |tries| backoff(Duration::from_millis(100), tries).as_millis();
        assert_eq!(
            [1, 2, 3, 9, 10, 400].map(millis),
            [100, 200, 400, 25_600, 30_000, 30_000]
        );
    }
}
