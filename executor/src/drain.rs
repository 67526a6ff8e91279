//! The end of the process when it is asked for, by SIGTERM or SIGINT. Owns that the executor takes no more tasks from then
//! on, and hands out what its tasks shuffled until the jobs that may want it have ended.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::scheduler::Scheduler;
use crate::work::Works;

/// The scheduler is asked for its jobs as often.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Rows of a job that ended are fetched by then.
const FETCH_GRACE: Duration = Duration::from_secs(5);
/// A scheduler that is silent for so long has no jobs.
const SCHEDULER_TIMEOUT: Duration = Duration::from_secs(20);

/// The signals that ask this process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them from the system, whose answer would be to end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn take() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits until the process is asked to end, then until its jobs have ended, `patience` has passed, or it is asked a second
/// time.
pub(crate) async fn drain(
    signals: &mut Signals,
    scheduler: &Scheduler,
    works: &Works,
    patience: Duration,
) {
    signals.next().await;
    scheduler.end();
    tracing::info!(
        patience_seconds = patience.as_secs(),
        "asked to end: no more tasks, and the end when the jobs of now have ended; ask again to end with the tasks"
    );
    tokio::select! {
        () = jobs_ended(scheduler, works) => tracing::info!("no job needs this executor"),
        () = sleep(patience) => tracing::warn!("jobs that need this executor are at work, and may be tried again"),
        () = signals.next() => tracing::warn!("asked again; jobs that need this executor may be tried again"),
    }
}

/// Waits for the jobs that had tasks here, and for those that were at work at the beginning: the scheduler may give this
/// process tasks of them until it hears that there shall be none.
async fn jobs_ended(scheduler: &Scheduler, works: &Works) {
    let mut first: Option<BTreeSet<String>> = None;
    let mut answered = Instant::now();
    let mut needed = works.any().then(Instant::now);
    loop {
        match scheduler.unfinished().await {
            Ok(unfinished) => {
                answered = Instant::now();
                let first = first.get_or_insert_with(|| unfinished.clone());
                let needs = |job: &String| first.contains(job) || works.knows(job);
                if unfinished.iter().any(needs) {
                    needed = Some(answered);
                } else if needed.is_none_or(|needed| needed.elapsed() > FETCH_GRACE) {
                    return;
                }
            }
            Err(error) if answered.elapsed() > SCHEDULER_TIMEOUT => {
                tracing::warn!(%error, "the scheduler does not tell its jobs");
                return;
            }
            Err(_) => {}
        }
        sleep(POLL_INTERVAL).await;
    }
}
