//! Stopping a run from another process than its own, and its jobs on the cluster.

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use engine::cluster::{Cluster, Job};
use tokio::time::{Instant, sleep};

use crate::error::{ErrorKind, RunError};
use crate::settings::ClusterPlace;
use crate::store::{
    Claim, Counts, Outcome, Owner, Processes, Run, RunEnd, RunReader, RunState, RunStore,
    RunWriter, SqliteRunStore, StoreError,
};

/// How long the run's process may take to stop before nobody waits for it any more.
pub const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

/// A run that was asked to stop.
#[derive(Debug)]
pub struct Cancelling {
    store: SqliteRunStore,
    processes: Processes,
    run: Run,
}

impl Cancelling {
    /// Asks the run whose id begins with `run` to stop.
    ///
    /// # Errors
    /// [`RunError::Store`] when there is no such run, or it has ended.
    pub async fn ask(state_dir: &Path, run: &str) -> Result<Self, RunError> {
        let path = state_dir.join("state.db");
        let Some(store) = SqliteRunStore::open_existing(&path).await? else {
            return Err(RunError::Store(StoreError::NotFound {
                wanted: String::from(run),
                near: Vec::new(),
            }));
        };
        let run = store.run(run).await?;
        let processes = Processes::of_this_machine()?;
        store
            .request_cancel(run.current_attempt(), Utc::now())
            .await?;
        Ok(Self {
            store,
            processes,
            run,
        })
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Whether its process lives, and will stop it by itself.
    pub fn has_process(&self) -> bool {
        self.processes.is_alive(&self.run.owner, Utc::now())
    }

    /// Waits for the end that its process gives it; for a run without one, records the end.
    ///
    /// # Errors
    /// [`RunError::Store`].
    pub async fn end(self) -> Result<RunState, RunError> {
        let ended = match self.has_process() {
            true => wait_for_its_end(&self.store, &self.run).await?,
            false => end_for_the_dead(&self.store, &self.run, &self.processes).await?,
        };
        self.store.close().await;
        Ok(ended)
    }

    /// Cancels what a run that died left at the scheduler: how many jobs, and where. Jobs carry the id of their run in their
    /// names.
    ///
    /// # Errors
    /// [`RunError::Cluster`].
    pub async fn cancel_jobs(
        &self,
        place: &ClusterPlace,
    ) -> Result<Option<(u64, Cluster)>, RunError> {
        let Some(address) = place.running() else {
            return Ok(None);
        };
        let cluster = place.connect(address).await?;
        let run = self.run.id.to_string();
        let mut jobs = cluster.jobs().await?;
        jobs.retain(|job: &Job| job.name.starts_with(&run) && job.is_unfinished());
        for job in &jobs {
            cluster.cancel(&job.id).await?;
        }
        Ok(Some((jobs.len() as u64, cluster)))
    }
}

/// The state in which the run's own process leaves it: it may have published before it saw the request.
async fn wait_for_its_end(store: &SqliteRunStore, run: &Run) -> Result<RunState, RunError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = store.run(&run.id.to_string()).await?;
        if now.state != RunState::Running || Instant::now() > deadline {
            return Ok(now.state);
        }
        sleep(PAUSE).await;
    }
}

/// Nobody works on the run any more: its end is recorded here.
async fn end_for_the_dead(
    store: &SqliteRunStore,
    run: &Run,
    processes: &Processes,
) -> Result<RunState, RunError> {
    let now = Utc::now();
    let claim = Claim {
        owner: processes.current(now)?,
        settings: run.settings.clone(),
    };
    let alive = |owner: &Owner| processes.is_alive(owner, now);
    let run = store
        .adopt_run(run.current_attempt(), &claim, &alive)
        .await?;
    let end = RunEnd {
        outcome: Outcome::Cancelled,
        at: Utc::now(),
        exit_code: i32::from(ErrorKind::Terminated.code()),
        error: None,
        counts: Counts::default(),
        bytes_read: 0,
        bytes_written: 0,
        peak_memory_bytes: None,
    };
    Ok(store.finish_run(run.current_attempt(), &end).await?.state)
}
