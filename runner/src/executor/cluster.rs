//! Queries on a cluster. Owns what its plans are made for, that executors which are not there yet are waited for, and which
//! failures another attempt can mend.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use connectors::sink::Writers;
use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use engine::cluster::{
    ClusterError, ExecutorReport, JobProgress, JobSnapshot, Workers, cluster_plan,
};
use engine::{JoinStrategy, SessionOptions};
use serde::Serialize;

use super::attempt::{Again, Failed, Planned, Purpose, Target};
use crate::context::RunContext;
use crate::decide::Reached;
use crate::error::{RunError, chain};
use crate::event::Status;

/// Attempts at one output, at most.
const ATTEMPTS: u32 = 5;
/// The pause before the second attempt; it doubles with each.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the scheduler and executors may take to come back before an attempt is given up.
const EXECUTORS_TIMEOUT: Duration = Duration::from_secs(60);
/// What an executor is taken to have that does not say: its own default.
const DEFAULT_MEMORY: usize = 1 << 30;

/// Where and how queries are executed.
#[derive(Debug)]
pub struct Cluster {
    reached: Reached,
    /// How far the newest job is.
    progress: JobProgress,
    session: SessionOptions,
    /// What each executor is taken to have, if not what it says, bytes.
    executor_memory: Option<u64>,
    /// A job that takes longer is taken to hang.
    job_timeout: Duration,
    rows_read: u64,
    accounts: Mutex<BTreeMap<String, Account>>,
}

/// What staging an output on the cluster took, for the run's record.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// Attempts, the one that did it included.
    pub tries: u32,
    /// How its joins were planned: `hash` or `sort_merge`.
    pub joins: &'static str,
    /// The job that did it.
    pub job: JobSnapshot,
}

/// One attempt, for the executors that were there when it began.
#[derive(Debug)]
pub struct Attempt<'a> {
    cluster: &'a Cluster,
    number: u32,
    session: SessionOptions,
    workers: Workers,
    joins: JoinStrategy,
    /// How the joins of the plan were executed at last, and the job that wrote.
    written: Mutex<Option<(JoinStrategy, JobSnapshot)>>,
}

impl Cluster {
    /// The cluster that was reached, for sessions with these options. `rows_read` are those that the sources give together,
    /// as far as they were counted.
    pub fn new(
        run: &RunContext,
        reached: Reached,
        session: SessionOptions,
        rows_read: u64,
    ) -> Self {
        let settings = &run.settings.cluster;
        Self {
            reached,
            progress: JobProgress::default(),
            session,
            executor_memory: settings.executor_memory.map(|memory| memory.value),
            job_timeout: settings.job_timeout.value,
            rows_read,
            accounts: Mutex::default(),
        }
    }

    pub(super) async fn attempt(
        &self,
        number: u32,
        relieved: bool,
    ) -> Result<Attempt<'_>, RunError> {
        // Memory that was exhausted was not what the setting says, and less of it is held at once with smaller batches.
        let workers = self.workers(!relieved).await?;
        let mut session = self.session.clone();
        if relieved {
            session.budget = session.budget.tightened().unwrap_or(session.budget);
        }
        let joins = match relieved {
            true => JoinStrategy::SortMerge,
            false => workers.join_strategy(),
        };
        Ok(Attempt {
            cluster: self,
            number,
            session,
            workers,
            joins,
            written: Mutex::default(),
        })
    }

    pub(super) fn status(&self) -> impl Fn() -> Status + Send + Sync + 'static {
        let progress = self.progress.clone();
        move || {
            let seen = progress.snapshot();
            Status {
                done: seen.stages_done as u64,
                total: (seen.stages > 0).then_some(seen.stages as u64),
                detail: progress.to_string(),
            }
        }
    }

    pub(super) fn accounts(&self) -> BTreeMap<String, Account> {
        let accounts = self.accounts.lock();
        accounts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a plan is made for, bytes: as the setting says if it is `believed`, else as the executor does.
    fn memory_of(&self, report: Option<&ExecutorReport>, believed: bool) -> usize {
        let said = self
            .executor_memory
            .filter(|_| believed)
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        said.or(report.map(|report| report.memory_bytes))
            .unwrap_or(DEFAULT_MEMORY)
    }

    /// The executors of now. Waits for the first, who may be starting, and for the scheduler.
    async fn workers(&self, believed: bool) -> Result<Workers, ClusterError> {
        let cluster = self.reached.cluster();
        let deadline = tokio::time::Instant::now() + EXECUTORS_TIMEOUT;
        loop {
            let missing = match cluster.executors_at_work().await {
                Ok(executors) if executors.is_empty() => ClusterError::NoExecutors {
                    url: String::from(cluster.url()),
                },
                Ok(executors) => {
                    let executors: Vec<(usize, usize)> = executors
                        .iter()
                        .map(|(executor, report)| {
                            (executor.vcores, self.memory_of(report.as_ref(), believed))
                        })
                        .collect();
                    return Ok(Workers::new(&executors));
                }
                Err(error) => error,
            };
            let missing = self.reached.explained(missing);
            if !missing.is_transient() || tokio::time::Instant::now() > deadline {
                return Err(missing);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Attempt<'_> {
    pub(super) fn writers(&self) -> Writers {
        Writers::Executors {
            attempt: self.number,
            processes: self.workers.executors,
            streams: self.workers.vcores,
        }
    }

    pub(super) fn rows_read(&self, executed: &dyn ExecutionPlan) -> u64 {
        self.cluster.rows_read + files::good_rows(executed)
    }

    pub(super) async fn plan(
        &self,
        run: &RunContext,
        query: &LogicalPlan,
    ) -> Result<Result<Planned, DataFusionError>, RunError> {
        let (session, query) = (self.session.clone(), query.clone());
        let (workers, joins) = (self.workers, self.joins);
        run.query(async move {
            let plan = cluster_plan(&session, &workers, joins, &query).await?;
            Ok(Planned {
                state: plan.state,
                physical: plan.physical,
                joins: plan.joins,
            })
        })
        .await
    }

    pub(super) async fn execute(
        &self,
        run: &RunContext,
        planned: Planned,
        output: &Target<'_>,
        purpose: Purpose,
    ) -> Result<Vec<RecordBatch>, Failed> {
        let mut job = format!("{} {} try {}", run.attempt.run, output.name, self.number);
        match purpose {
            Purpose::Write => {}
            Purpose::Sample => job.push_str(" sample"),
            Purpose::Count => job.push_str(" count"),
            Purpose::BadRows => job.push_str(" bad rows"),
        }
        let cluster = self.cluster;
        let (config, limit) = (planned.state.config(), cluster.job_timeout);
        let executed = cluster
            .reached
            .cluster()
            .execute(planned.physical, config, &job, limit, &cluster.progress)
            .await;
        let rows = executed.map_err(|error| match cluster.reached.explained(error) {
            // As if it had been read here.
            ClusterError::Read(read) => Failed::Query(DataFusionError::from(*read)),
            error => Failed::Run(RunError::from(error)),
        })?;
        if purpose == Purpose::Write {
            let written = (planned.joins, cluster.progress.snapshot());
            *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
        }
        Ok(rows)
    }

    pub(super) fn succeeded(&self, output: &str) {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((joins, job)) = *written else {
            return;
        };
        let account = Account {
            tries: self.number,
            joins: match joins {
                JoinStrategy::Hash => "hash",
                JoinStrategy::SortMerge => "sort_merge",
            },
            job,
        };
        let accounts = self.cluster.accounts.lock();
        let mut accounts = accounts.unwrap_or_else(PoisonError::into_inner);
        accounts.insert(String::from(output), account);
    }
}

/// Whether there is another attempt after `number` of them, and how.
pub(super) fn again(output: &str, number: u32, relieved: bool, error: &RunError) -> Option<Again> {
    let exhausted = matches!(error, RunError::Cluster(error) if error.is_exhausted());
    let executors_are_left = !matches!(
        error,
        RunError::Cluster(ClusterError::Exhausted { executors: 0 })
    );
    let again = if exhausted {
        !relieved && executors_are_left
    } else {
        may_succeed(error)
    };
    (again && number < ATTEMPTS).then(|| Again {
        warning: format!(
            "try {number} of {ATTEMPTS} at writing `{output}` on the cluster failed: {}; trying again",
            chain(error)
        ),
        relieved: relieved || exhausted,
        pause: PAUSE * 2_u32.pow(number - 1),
    })
}

/// Whether another attempt may do better.
fn may_succeed(error: &RunError) -> bool {
    match error {
        RunError::Cluster(error) => error.is_transient(),
        RunError::Miscounted { .. } => true,
        RunError::Table { source, .. } => {
            matches!(
                source.as_ref(),
                tables::Error::StagedFile { .. } | tables::Error::RanTwice { .. }
            )
        }
        _ => false,
    }
}
