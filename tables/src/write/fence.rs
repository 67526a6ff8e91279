//! The fence between the attempts of a run whose rows other processes write: a small object that the run's own process
//! renews, and that every writer inspects. Owns who may still write; what is published is decided elsewhere, so a writer
//! that overlooks it for a while does no harm but work.
//!
//! A writer stops when the fence is gone (the run is over), names a later attempt (this one was given up), or is not renewed
//! any more (the run's process died). Time is measured by each writer's own clock, from one change that it sees to the
//! next, so clocks need not agree.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::warn;

use crate::error::{Error, Result};
use crate::log::{ControlFile, from_json, full_path, to_json};
use crate::store::Store;

/// How often the run's process renews the fence.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
/// How often a writer inspects it.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// A fence that has not changed for so long is nobody's.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FenceRecord {
    version: u64,
    attempt: u32,
    /// Grows with every renewal.
    beat: u64,
}

impl ControlFile for FenceRecord {
    fn check(&self) -> std::result::Result<(), String> {
        // Both are only ever compared.
        Ok(())
    }
}

impl FenceRecord {
    fn new(attempt: u32, beat: u64) -> Self {
        Self {
            version: 1,
            attempt,
            beat,
        }
    }
}

/// In the run's staging area, so that it goes when that is dropped.
fn key(token: &str) -> String {
    format!("staging/{token}/fence.json")
}

/// Lets one attempt of a run write while this is alive. Dropping it lets the writers stop after a while; the next attempt,
/// or the end of the run, stops them sooner.
#[derive(Debug)]
pub(crate) struct Fence {
    renewal: JoinHandle<()>,
}

impl Fence {
    /// Lets the writers of this attempt write, and no others.
    pub(crate) async fn set(store: &Arc<dyn Store>, token: &str, attempt: u32) -> Result<Self> {
        let (store, key) = (Arc::clone(store), key(token));
        let first = FenceRecord::new(attempt, 0);
        store.put(&key, to_json(&key, &first)?).await?;
        let renewal = tokio::spawn(async move {
            let mut ticks = interval(HEARTBEAT_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            for beat in 1.. {
                ticks.tick().await;
                let renewed = match to_json(&key, &FenceRecord::new(attempt, beat)) {
                    Ok(content) => store.put(&key, content).await.map_err(Error::from),
                    Err(error) => Err(error),
                };
                if let Err(error) = renewed {
                    warn!(table = store.location(), %error, "could not renew the fence of the run's writers");
                }
            }
        });
        Ok(Self { renewal })
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Waits until the writers of this attempt must stop, and says why.
pub(super) async fn lost(store: &dyn Store, token: &str, attempt: u32) -> Error {
    let mut watch = FenceWatch::new(attempt, Instant::now());
    loop {
        let found = read(store, token).await;
        if let Err(error) = &found {
            // As long as it may be a short fault of the network, it is one.
            warn!(table = store.location(), %error, "could not look at the fence");
        }
        if let Some(reason) = watch.inspect(found.ok(), Instant::now()) {
            return Error::FencedOff {
                table: store.location().to_owned(),
                attempt,
                reason: reason.to_owned(),
            };
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn read(store: &dyn Store, token: &str) -> Result<Option<FenceRecord>> {
    let key = key(token);
    match store.read(&key).await? {
        Some(content) => from_json(&full_path(store, &key), &content).map(Some),
        None => Ok(None),
    }
}

/// What a writer of an attempt saw of the fence.
#[derive(Debug)]
struct FenceWatch {
    attempt: u32,
    seen: Option<FenceRecord>,
    /// When it was last seen to change.
    changed: Instant,
}

impl FenceWatch {
    fn new(attempt: u32, now: Instant) -> Self {
        Self {
            attempt,
            seen: None,
            changed: now,
        }
    }

    /// Takes what was found, `None` if nothing could be, and says why the writer must stop.
    fn inspect(
        &mut self,
        found: Option<Option<FenceRecord>>,
        now: Instant,
    ) -> Option<&'static str> {
        match found {
            Some(None) => return Some("the run is over"),
            Some(Some(record)) if record.attempt > self.attempt => {
                return Some("the run has begun another try");
            }
            // Numbers only grow: this is a renewal of an earlier attempt that was on its way when that was given up. The next
            // renewal takes its place.
            Some(Some(record)) if record.attempt < self.attempt => {}
            Some(Some(record)) if self.seen != Some(record) => {
                self.seen = Some(record);
                self.changed = now;
            }
            Some(Some(_)) | None => {}
        }
        (now.duration_since(self.changed) > HEARTBEAT_TIMEOUT)
            .then_some("its process does not answer for it any more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LocalStore;

    fn fence(attempt: u32, beat: u64) -> Option<Option<FenceRecord>> {
        Some(Some(FenceRecord::new(attempt, beat)))
    }

    #[test]
    fn writers_go_on_while_the_run_renews_the_fence_of_their_attempt() {
        let mut now = Instant::now();
        let mut watch = FenceWatch::new(2, now);
        for beat in 0..20 {
            now += HEARTBEAT_TIMEOUT;
            assert_eq!(watch.inspect(fence(2, beat), now), None);
        }
    }

    #[test]
    fn writers_stop_when_nobody_renews_the_fence_or_it_cannot_be_read() {
        for later in [fence(1, 7), None] {
            let begun = Instant::now();
            let mut watch = FenceWatch::new(1, begun);
            assert_eq!(watch.inspect(fence(1, 7), begun), None);
            assert_eq!(watch.inspect(later, begun + HEARTBEAT_TIMEOUT), None);
            let reason = watch.inspect(later, begun + HEARTBEAT_TIMEOUT + POLL_INTERVAL);
            assert!(reason.unwrap().contains("does not answer"));
        }
    }

    #[test]
    fn a_renewal_of_an_earlier_attempt_that_comes_late_stops_nobody_by_itself() {
        let begun = Instant::now();
        let mut watch = FenceWatch::new(2, begun);
        assert_eq!(watch.inspect(fence(1, 7), begun), None);
        assert_eq!(watch.inspect(fence(2, 0), begun + POLL_INTERVAL), None);
        let seen = begun + POLL_INTERVAL;
        assert_eq!(watch.inspect(fence(1, 8), seen + HEARTBEAT_TIMEOUT), None);
        let later = seen + HEARTBEAT_TIMEOUT + POLL_INTERVAL;
        let reason = watch.inspect(fence(1, 8), later);
        assert!(reason.unwrap().contains("does not answer"));
    }

    #[tokio::test]
    async fn writers_of_another_try_stop_and_those_of_a_run_that_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(LocalStore::new(&folder.path().join("t")).unwrap());
        store.prepare().await.unwrap();
        let fence = Fence::set(&store, "token", 2).await.unwrap();
        let reason = lost(store.as_ref(), "token", 1).await.to_string();
        assert!(reason.contains("another try"), "{reason}");
        drop(fence);
        store.abort("token").await.unwrap();
        let reason = lost(store.as_ref(), "token", 2).await.to_string();
        assert!(reason.contains("is over"), "{reason}");
    }
}
