//! The tasks that this executor works at: the memory pool that each gets, and how far those of each job are, which Ballista
//! tells nobody before a task ends.
//!
//! Operators count for themselves; their numbers are added up when somebody asks.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ballista_core::JobId;
use ballista_core::serde::protobuf::{
    RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport,
};
use ballista_executor::execution_engine::{ExecutionEngine, QueryStageExecutor};
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use engine::cluster::{JobReport, Work};
use engine::memory::{Executing, executing, watch_pool};
use engine::{fair_pool, is_scan};

/// So many jobs are remembered after their last task.
const MAX_JOBS: usize = 64;

/// The jobs that this executor works at, or did.
#[derive(Debug, Default)]
pub(crate) struct Works {
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    by_id: HashMap<JobId, Job>,
    /// From the oldest to the newest.
    order: VecDeque<JobId>,
}

#[derive(Debug, Default)]
struct Job {
    ended: Work,
    running: Vec<Arc<Operators>>,
}

impl Works {
    /// Of each job, what its tasks here did so far.
    pub(crate) fn report(&self) -> Vec<JobReport> {
        let jobs = self.jobs();
        let reports = jobs.by_id.iter().map(|(id, job)| JobReport {
            job_id: id.to_string(),
            tasks_running: job.running.len(),
            work: job
                .running
                .iter()
                .fold(job.ended, |sum, task| sum + task.work()),
        });
        reports.collect()
    }

    /// Whether a task of this job was given to this executor.
    pub(crate) fn knows(&self, job: &str) -> bool {
        self.jobs()
            .by_id
            .keys()
            .any(|known| known.to_string() == job)
    }

    /// Whether any was given to it.
    pub(crate) fn any(&self) -> bool {
        !self.jobs().by_id.is_empty()
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, job: &JobId, task: Arc<Operators>) {
        let mut jobs = self.jobs();
        let Jobs { by_id, order } = &mut *jobs;
        if !by_id.contains_key(job) {
            order.push_back(job.clone());
        }
        by_id.entry(job.clone()).or_default().running.push(task);
        while order.len() > MAX_JOBS {
            order.pop_front().and_then(|oldest| by_id.remove(&oldest));
        }
    }

    fn end(&self, job: &JobId, task: &Arc<Operators>) {
        if let Some(job) = self.jobs().by_id.get_mut(job) {
            job.running.retain(|running| !Arc::ptr_eq(running, task));
            job.ended = job.ended + task.work();
        }
    }
}

/// The operators of a task.
#[derive(Debug)]
struct Operators {
    stage: Arc<dyn QueryStageExecutor>,
    /// Lets them be named.
    _executing: Executing,
    /// Those without an input: they read files, and what other tasks shuffled.
    leaves: Vec<Arc<dyn ExecutionPlan>>,
}

impl Operators {
    fn work(&self) -> Work {
        let mut work = Work::default();
        for read in self.leaves.iter().filter_map(|leaf| leaf.metrics()) {
            work.rows_read += read.output_rows().unwrap_or_default() as u64;
            let bytes = read.sum_by_name("bytes_scanned");
            work.bytes_read += bytes.map_or(0, |bytes| bytes.as_usize()) as u64;
        }
        let all = self.stage.collect_plan_metrics();
        let spilled = all.iter().filter_map(MetricsSet::spilled_bytes);
        work.bytes_spilled = spilled.sum::<usize>() as u64;
        work
    }
}

fn leaves(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Arc<dyn ExecutionPlan>>) {
    if is_scan(plan.as_ref()) {
        found.push(Arc::clone(plan));
        return;
    }
    for child in plan.children() {
        leaves(child, found);
    }
}

/// Executes as `inner` does, under watch and with the engine's own pool.
pub(crate) struct Watched<E> {
    inner: E,
    works: Arc<Works>,
}

impl<E> Watched<E> {
    /// Notes in `works` what `inner` executes.
    pub(crate) fn new(inner: E, works: Arc<Works>) -> Self {
        Self { inner, works }
    }
}

impl<E: ExecutionEngine> ExecutionEngine for Watched<E> {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        global_output_partition_ids: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let plan = files::guard_scans(plan)?;
        let mut read = Vec::new();
        leaves(&plan, &mut read);
        let executing = executing(&plan);
        let partitions = global_output_partition_ids.len().max(1);
        let stage = self.inner.create_query_stage_exec(
            job_id.clone(),
            stage_id,
            task_id,
            global_output_partition_ids,
            plan,
            work_dir,
            config,
        )?;
        let operators = Arc::new(Operators {
            stage,
            _executing: executing,
            leaves: read,
        });
        self.works.begin(&job_id, Arc::clone(&operators));
        Ok(Arc::new(Task {
            job: job_id,
            partitions,
            operators,
            works: Arc::clone(&self.works),
        }))
    }
}

/// The same task with a pool of the size of Ballista's. Without what ours keeps from merges of spilled runs, a plan fails
/// in which several sorts spill.
fn with_our_pool(context: &TaskContext, partitions: usize) -> Result<Arc<TaskContext>> {
    let mut runtime = context.runtime_env();
    if let MemoryLimit::Finite(bytes) = runtime.memory_pool.memory_limit() {
        let pool = fair_pool(bytes, partitions);
        watch_pool(&pool);
        runtime = RuntimeEnvBuilder::from_runtime_env(&runtime)
            .with_memory_pool(pool)
            .build_arc()?;
    }
    Ok(Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone(),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        runtime,
    )))
}

/// A task, as long as Ballista has it.
#[derive(Debug)]
struct Task {
    job: JobId,
    partitions: usize,
    operators: Arc<Operators>,
    works: Arc<Works>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.works.end(&self.job, &self.operators);
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operators.stage.fmt(f)
    }
}

#[async_trait::async_trait]
impl QueryStageExecutor for Task {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let context = with_our_pool(&context, self.partitions)?;
        let stage = &self.operators.stage;
        stage.execute_query_stage(task_id, context).await
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.operators.stage.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.operators.stage.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.operators.stage.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.operators.stage.collect_column_stats()
    }
}
