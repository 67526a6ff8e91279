//! `pipelines cancel RUN`: stops a run wherever its process is, and its jobs on the cluster.

use std::time::Duration;

use chrono::Utc;
use engine::cluster::Job;
use tokio::time::{Instant, sleep};

use super::Session;
use super::exit::ExitStatus;
use super::flags::ClusterFlags;
use runner::error::{ErrorKind, RunError};
use runner::quantity::count;
use runner::settings::ClusterPlace;
use runner::store::{
    Claim, Counts, Outcome, Owner, Processes, Run, RunEnd, RunId, RunState, RunStore,
    SqliteRunStore, StoreError,
};

/// How long the run's process may take to stop before this command gives up waiting for it.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Which run.
#[derive(Debug, clap::Args)]
pub(super) struct CancelArguments {
    /// The run's id, or the beginning of it
    run: String,
    /// The cluster on which the jobs of a dead run are cancelled.
    #[command(flatten)]
    cluster: ClusterFlags,
}

pub(super) async fn cancel(
    session: &Session,
    arguments: &CancelArguments,
) -> Result<ExitStatus, RunError> {
    let path = session.state_dir().join("state.db");
    let Some(store) = SqliteRunStore::open_existing(&path).await? else {
        return Err(RunError::Store(StoreError::NotFound {
            wanted: arguments.run.clone(),
            near: Vec::new(),
        }));
    };
    let run = store.run(&arguments.run).await?;
    let processes = Processes::of_this_machine()?;
    store
        .request_cancel(run.current_attempt(), Utc::now())
        .await?;
    let ended = if processes.is_alive(&run.owner, Utc::now()) {
        session.printer.say(format_args!(
            "asked process {} on {} to stop run {}",
            run.owner.pid, run.owner.host, run.id
        ));
        wait_for_its_end(&store, &run).await?
    } else {
        cancel_jobs(session, arguments, run.id).await?;
        end_for_the_dead(&store, &run, &processes).await?
    };
    store.close().await;
    match ended {
        RunState::Running => {
            session.printer.warning(format_args!(
                "run {} goes on: its process did not stop within {} s",
                run.id,
                PATIENCE.as_secs()
            ));
            Ok(ExitStatus::Error(ErrorKind::Transient))
        }
        state => {
            session
                .printer
                .say(format_args!("run {} is {state}", run.id));
            Ok(match state {
                RunState::Cancelled => ExitStatus::Success,
                _ => ExitStatus::Error(ErrorKind::Failed),
            })
        }
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

/// Cancels what a run that died left at the scheduler. Jobs carry the id of their run in their names.
async fn cancel_jobs(
    session: &Session,
    arguments: &CancelArguments,
    run: RunId,
) -> Result<(), RunError> {
    let place = ClusterPlace::resolve(&arguments.cluster.overrides(), &session.environment);
    let Some(address) = place.running() else {
        return Ok(());
    };
    let cluster = place.connect(address).await?;
    let run = run.to_string();
    let mut jobs = cluster.jobs().await?;
    jobs.retain(|job: &Job| job.name.starts_with(&run) && job.is_unfinished());
    for job in &jobs {
        cluster.cancel(&job.id).await?;
    }
    if !jobs.is_empty() {
        session.printer.say(format_args!(
            "cancelled {} at {}",
            count(jobs.len() as u64, "job"),
            cluster.url()
        ));
    }
    Ok(())
}
