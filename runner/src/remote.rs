//! Staging an output's rows on the cluster. Owns the tries: when one is given up, that the next one writes elsewhere, and
//! that rows are believed only after they were counted a second way.
//!
//! ```text
//! try 1 ─► fence ─► plan for the executors of now ─► job ─► rows of one writer per partition ─► count ─► staged
//!   │        an executor is lost, a part ran twice, the count differs: cancel, wait a little
//! try 2 ─► fence (stops the writers of try 1), another folder, …
//! ```

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::stats::Precision;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use engine::cluster::{
    ClusterError, ClusterPlan, ExecutorReport, JobProgress, JobSnapshot, Workers, cluster_plan,
};
use engine::{JoinStrategy, SessionOptions};
use serde::Serialize;

use super::context::RunContext;
use super::decide::Reached;
use super::error::{RunError, chain};
use super::outputs::{OpenOutput, StagedOutput, name};

/// Tries at one output, at most.
const TRIES: u32 = 5;
/// The pause before the second try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the scheduler and executors may take to come back before a try is given up.
const EXECUTORS: Duration = Duration::from_secs(60);
/// What an executor is taken to have that does not say: its own default.
const SILENT_MEMORY: usize = 1 << 30;

/// Where and how an output is staged remotely.
#[derive(Debug)]
pub struct Remote {
    /// The cluster.
    pub reached: Reached,
    /// How far its newest job is.
    pub progress: JobProgress,
    /// Settings of the session that plans.
    pub session: SessionOptions,
    /// What each executor is taken to have, if not what it says, bytes.
    pub executor_memory: Option<u64>,
    /// A job that takes longer is taken to hang.
    pub job_timeout: Duration,
    /// Rows that the sources give together, if they were counted.
    pub read: u64,
    /// What it took, by output.
    pub accounts: Mutex<BTreeMap<String, Account>>,
}

/// What staging an output on the cluster took, for the run's record.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// Tries, the one that did it included.
    pub tries: u32,
    /// How its joins were planned: `hash` or `sort_merge`.
    pub joins: &'static str,
    /// The job that did it.
    pub job: JobSnapshot,
}

impl Remote {
    /// What all outputs took so far.
    pub fn accounts(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn execute(
        &self,
        plan: ClusterPlan,
        job: &str,
    ) -> Result<Vec<RecordBatch>, ClusterError> {
        let ClusterPlan {
            state, physical, ..
        } = plan;
        let cluster = self.reached.cluster();
        let limit = self.job_timeout;
        cluster
            .execute(physical, state.config(), job, limit, &self.progress)
            .await
            .map_err(|error| self.reached.explained(error))
    }

    /// What a plan is made for, bytes: as the setting says if it is `believed`, else as the executor does.
    fn memory_of(&self, report: Option<&ExecutorReport>, believed: bool) -> usize {
        let said = self
            .executor_memory
            .filter(|_| believed)
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        said.or(report.map(|report| report.memory_bytes))
            .unwrap_or(SILENT_MEMORY)
    }

    /// The executors of now. Waits for the first, who may be starting, and for the scheduler.
    async fn workers(&self, believed: bool) -> Result<Workers, ClusterError> {
        let cluster = self.reached.cluster();
        let deadline = tokio::time::Instant::now() + EXECUTORS;
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

/// What the plans of a try are made for.
struct Planner {
    session: SessionOptions,
    workers: Workers,
    joins: JoinStrategy,
}

impl Planner {
    async fn plan(
        &self,
        run: &RunContext,
        query: &LogicalPlan,
    ) -> Result<Result<ClusterPlan, DataFusionError>, RunError> {
        let (session, query) = (self.session.clone(), query.clone());
        let (workers, joins) = (self.workers, self.joins);
        run.query(async move { cluster_plan(&session, &workers, joins, &query).await })
            .await
    }
}

impl OpenOutput {
    /// As [`OpenOutput::stage`], on the cluster.
    ///
    /// # Errors
    /// [`RunError::Cluster`] when the last try failed, or one failed in a way that another cannot mend;
    /// [`RunError::Table`].
    pub async fn stage_remotely(
        mut self,
        run: &RunContext,
        remote: &Remote,
        plan: &LogicalPlan,
    ) -> Result<StagedOutput, (RunError, Box<Self>)> {
        match self.tries(run, remote, plan).await {
            Ok(staged) => Ok(StagedOutput::new(self, staged, remote.read)),
            Err(error) => Err((error, Box::new(self))),
        }
    }

    async fn tries(
        &mut self,
        run: &RunContext,
        remote: &Remote,
        plan: &LogicalPlan,
    ) -> Result<tables::Staged, RunError> {
        let name = name(&self.output);
        let (mut pause, mut joins) = (PAUSE, None);
        for number in 1.. {
            let tried = tokio::select! {
                biased;
                () = run.stop.asked() => return Err(run.interrupted()),
                tried = self.one_try(run, remote, plan, joins, number) => tried,
            };
            let error = match tried {
                Ok(staged) => return Ok(staged),
                Err(error) => error,
            };
            let exhausted = matches!(&error, RunError::Cluster(error) if error.is_exhausted());
            let executors_are_left = !matches!(
                &error,
                RunError::Cluster(ClusterError::Exhausted { executors: 0 })
            );
            let again = if exhausted {
                joins.replace(JoinStrategy::SortMerge).is_none() && executors_are_left
            } else {
                may_succeed(&error)
            };
            if number == TRIES || !again {
                return Err(error);
            }
            run.warn(format!(
                "try {number} of {TRIES} at writing `{name}` on the cluster failed: {}; trying again",
                chain(&error)
            ))
            .await?;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(run.interrupted())
    }

    async fn one_try(
        &mut self,
        run: &RunContext,
        remote: &Remote,
        plan: &LogicalPlan,
        joins: Option<JoinStrategy>,
        number: u32,
    ) -> Result<tables::Staged, RunError> {
        // Memory that was exhausted was not what the setting says, and less of it is held at once with smaller batches.
        let workers = remote.workers(joins.is_none()).await?;
        let mut session = remote.session.clone();
        if joins.is_some() {
            session.budget = session.budget.tightened().unwrap_or(session.budget);
        }
        let joins = joins.unwrap_or_else(|| workers.join_strategy());
        let attempt = self
            .staging
            .begin_remote(number)
            .await
            .map_err(|error| self.table_failed(error))?;
        let job = format!("{} {} try {number}", run.attempt.run, name(&self.output));
        let planner = Planner {
            session,
            workers,
            joins,
        };
        let sampled = self
            .sample_remotely(run, remote, &planner, plan, &job)
            .await?;
        let mut planned = planner
            .plan(run, plan)
            .await?
            .map_err(|error| self.query_failed(error))?;
        let known = exact_rows(planned.physical.as_ref()).or(sampled);
        planned.physical = self
            .staging
            .remote_plan(
                &attempt,
                planned.physical,
                planner.workers.executors,
                planner.workers.vcores,
            )
            .map_err(|error| self.table_failed(error))?;
        let joins = planned.joins;
        let rows = remote.execute(planned, &job).await?;
        let account = Account {
            tries: number,
            joins: match joins {
                JoinStrategy::Hash => "hash",
                JoinStrategy::SortMerge => "sort_merge",
            },
            job: remote.progress.snapshot(),
        };
        remote.accounts().insert(name(&self.output), account);
        let staged = self
            .staging
            .staged_remotely(&attempt, &rows)
            .map_err(|error| self.table_failed(error))?;
        let expected = match known {
            Some(rows) => rows,
            None => self.count(run, remote, &planner, plan, &job).await?,
        };
        let given = staged.rows() + staged.rows_discarded;
        if given != expected {
            return Err(RunError::Miscounted {
                output: name(&self.output),
                given,
                expected,
            });
        }
        Ok(staged)
    }

    /// The rows of the plan, counted by a job of its own.
    async fn count(
        &self,
        run: &RunContext,
        remote: &Remote,
        planner: &Planner,
        plan: &LogicalPlan,
        job: &str,
    ) -> Result<u64, RunError> {
        let failed = |error: DataFusionError| self.query_failed(error);
        let counting = LogicalPlanBuilder::from(plan.clone())
            .aggregate(
                Vec::<datafusion::logical_expr::Expr>::new(),
                vec![count(lit(1_i64))],
            )
            .and_then(LogicalPlanBuilder::build)
            .map_err(failed)?;
        let planned = planner.plan(run, &counting).await?.map_err(failed)?;
        let job = format!("{job} count");
        let rows = remote.execute(planned, &job).await?;
        Ok(single_count(&rows))
    }

    /// Looks at the rows by a job of its own first, if large partitions are to be split; then it is known how many there
    /// are.
    async fn sample_remotely(
        &mut self,
        run: &RunContext,
        remote: &Remote,
        planner: &Planner,
        plan: &LogicalPlan,
        job: &str,
    ) -> Result<Option<u64>, RunError> {
        let query = self.staging.sample_query(plan);
        let Some(query) = query.map_err(|error| self.table_failed(error))? else {
            return Ok(None);
        };
        let mut planned = planner
            .plan(run, &query)
            .await?
            .map_err(|error| self.query_failed(error))?;
        let sampling = self.staging.sample_plan(planned.physical);
        let Some(sampling) = sampling.map_err(|error| self.table_failed(error))? else {
            return Ok(None);
        };
        planned.physical = sampling;
        let rows = remote.execute(planned, &format!("{job} sample")).await?;
        let split = self.staging.split(&rows);
        split.map(Some).map_err(|error| self.table_failed(error))
    }
}

/// The number in the only row of the result; 0 if there is none, which no table of rows has.
fn single_count(rows: &[RecordBatch]) -> u64 {
    rows.iter()
        .filter(|batch| batch.num_rows() == 1)
        .filter_map(|batch| batch.column(0).as_primitive_opt::<Int64Type>())
        .map(|column| u64::try_from(column.value(0)).unwrap_or_default())
        .sum()
}

/// The rows of a plan, where its files alone tell.
fn exact_rows(plan: &dyn ExecutionPlan) -> Option<u64> {
    let statistics = StatisticsContext::new()
        .compute(plan, &StatisticsArgs::new())
        .ok()?;
    match statistics.num_rows {
        Precision::Exact(rows) => Some(rows as u64),
        _ => None,
    }
}

/// Whether another try may do better.
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
