//! The end of the process when it is asked for, by SIGTERM or SIGINT. Owns that the executor takes no more tasks from then
//! on, and hands out what its tasks shuffled until the jobs that may want it have ended.
//!
//! Ballista answers these signals by itself: it ends with the last task, and the shuffled rows go with it, so a job whose
//! later stages want them fails. Its answer is put off here: the signals are blocked in every thread, waited for in one, and
//! raised again when it is time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use ballista_executor::executor_server::TERMINATING;
use engine::cluster::{Cluster, ClusterError, Tls};
use nix::sys::signal::{SigSet, Signal, raise};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep};

use crate::work::Works;

/// The scheduler is asked for its jobs as often.
const ASK: Duration = Duration::from_millis(500);
/// Rows of a job that ended are fetched by then.
const FETCH: Duration = Duration::from_secs(5);
/// A scheduler that is silent for so long has no jobs.
const SILENCE: Duration = Duration::from_secs(20);

/// The signals that ask this process to end, kept from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signals(SigSet);

impl Signals {
    /// Keeps them from this thread and from all that it starts: to be called before any other runs.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn block() -> anyhow::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.add(Signal::SIGINT);
        signals.thread_block().context("cannot block signals")?;
        Ok(Self(signals))
    }

    /// Tells of each that comes.
    fn listen(self) -> UnboundedReceiver<()> {
        let (sender, receiver) = unbounded_channel();
        thread::spawn(move || {
            while self.0.wait().is_ok() {
                if sender.send(()).is_err() {
                    break;
                }
            }
        });
        receiver
    }

    /// Lets Ballista end.
    fn pass_on(self) {
        thread::spawn(move || {
            let passed = self
                .0
                .thread_unblock()
                .and_then(|()| raise(Signal::SIGTERM));
            if let Err(error) = passed {
                tracing::error!(%error, "cannot end");
            }
        });
    }
}

/// Where jobs are known.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) address: String,
    pub(crate) tls: Option<Tls>,
}

impl Scheduler {
    async fn unfinished(&self) -> Result<BTreeSet<String>, ClusterError> {
        let cluster = Cluster::connect(&self.address, self.tls.as_ref()).await?;
        let jobs = cluster.jobs().await?.into_iter();
        let unfinished = jobs.filter(engine::cluster::Job::is_unfinished);
        Ok(unfinished.map(|job| job.id).collect())
    }
}

/// Waits until the process is asked to end, then until its jobs have ended, `patience` has passed, or it is asked a second
/// time; then lets it end.
pub(crate) async fn drain(
    signals: Signals,
    scheduler: Scheduler,
    works: Arc<Works>,
    patience: Duration,
) {
    let mut asked = signals.listen();
    if asked.recv().await.is_none() {
        return;
    }
    TERMINATING.store(true, Ordering::Release);
    tracing::info!(
        patience_seconds = patience.as_secs(),
        "asked to end: no more tasks, and the end when the jobs of now have ended; ask again to end with the tasks"
    );
    tokio::select! {
        () = jobs_ended(&scheduler, &works) => tracing::info!("no job needs this executor"),
        () = sleep(patience) => tracing::warn!("jobs that need this executor are at work, and may be tried again"),
        _ = asked.recv() => tracing::warn!("asked again; jobs that need this executor may be tried again"),
    }
    signals.pass_on();
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
                } else if needed.is_none_or(|needed| needed.elapsed() > FETCH) {
                    return;
                }
            }
            Err(error) if answered.elapsed() > SILENCE => {
                tracing::warn!(%error, "the scheduler does not tell its jobs");
                return;
            }
            Err(_) => {}
        }
        sleep(ASK).await;
    }
}
