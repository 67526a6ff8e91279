//! The service that takes tasks from the scheduler, and their execution. Ballista has one, but it listens by itself, on a port
//! that it opens to everybody; this one is a service that is served as all others are (`server`).
//!
//! Owns which tasks run, their memory, their cancellation, and what is told of their end. Reading a plan and executing a stage
//! are Ballista's; watching it is `work`'s.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ballista_core::ConfigProducer;
use ballista_core::error::BallistaError;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpc;
use ballista_core::serde::protobuf::{
    CancelTasksParams, CancelTasksResult, FailedTask, LaunchMultiTaskParams, LaunchMultiTaskResult,
    LaunchTaskParams, LaunchTaskResult, MultiTaskDefinition, RemoveJobDataParams,
    RemoveJobDataResult, StopExecutorParams, StopExecutorResult, SuccessfulTask, TaskStatus,
    failed_task::FailedReason, task_status,
};
use ballista_core::serde::scheduler::from_proto::get_task_definition_vec;
use ballista_core::serde::scheduler::{TaskDefinition, TaskKey};
use ballista_executor::execution_engine::{ExecutionEngine, QueryStageExecutor};
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use engine::cluster::failure_of;
use futures::FutureExt;
use futures::future::{AbortHandle, AbortRegistration, Abortable};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tonic::{Request, Response, Status};

use crate::scheduler::Scheduler;
use crate::shuffled;

/// What tasks are executed with.
pub(crate) struct Means {
    /// This executor's name.
    pub(crate) id: String,
    /// Where shuffled rows are kept.
    pub(crate) folder: Arc<Path>,
    /// Memory of the pools of one vcore, bytes.
    pub(crate) vcore_bytes: usize,
    pub(crate) engine: Arc<dyn ExecutionEngine>,
    pub(crate) functions: BallistaFunctionRegistry,
    pub(crate) configuration: ConfigProducer,
    pub(crate) codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode>,
    /// Storages and the folder for spilling, which all tasks share.
    pub(crate) runtime: Arc<RuntimeEnv>,
    /// Threads for nothing but tasks: heartbeats and answers do not wait for them.
    pub(crate) threads: Handle,
}

/// The tasks of this executor.
#[derive(Clone)]
pub(crate) struct Tasks {
    means: Arc<Means>,
    running: Arc<Mutex<HashMap<TaskKey, Running>>>,
    /// Told when a task ended.
    ended: Arc<Notify>,
    /// Whom to tell how tasks end; there from the moment in which the first task can come.
    scheduler: watch::Receiver<Option<Arc<Scheduler>>>,
}

/// A task that runs.
struct Running {
    abort: AbortHandle,
    /// What the scheduler is told of it, but for its end.
    status: TaskStatus,
    /// It was told of the end before the task noticed it.
    told: bool,
}

impl Tasks {
    /// None yet.
    pub(crate) fn new(means: Means, scheduler: watch::Receiver<Option<Arc<Scheduler>>>) -> Self {
        Self {
            means: Arc::new(means),
            running: Arc::default(),
            ended: Arc::default(),
            scheduler,
        }
    }

    /// Waits until no task runs.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.running().is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Ends the tasks of now because memory is exhausted, and tells the scheduler at once: this process may be over before
    /// they notice.
    pub(crate) async fn exhaust(&self, why: &str) {
        let mut ended = Vec::new();
        for task in self.running().values_mut().filter(|task| !task.told) {
            task.told = true;
            task.abort.abort();
            let why = DataFusionError::ResourcesExhausted(String::from(why));
            let error = BallistaError::DataFusionError(Box::new(why));
            ended.push(failed(task.status.clone(), error));
        }
        self.tell(ended).await;
    }

    async fn tell(&self, ended: Vec<TaskStatus>) {
        let scheduler = self.scheduler.borrow().clone();
        if let Some(scheduler) = scheduler
            && !ended.is_empty()
        {
            scheduler.tell(ended).await;
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<TaskKey, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tasks of a message. Plans come over the network, and a reader that panics over one must not cost the others.
    fn read(&self, tasks: MultiTaskDefinition) -> Result<Vec<TaskDefinition>, BallistaError> {
        let Means {
            runtime,
            functions,
            configuration,
            codec,
            ..
        } = self.means.as_ref();
        let runtime = Arc::clone(runtime);
        let read = catch_unwind(AssertUnwindSafe(|| {
            get_task_definition_vec(
                tasks,
                Arc::new(move |_| Ok(Arc::clone(&runtime))),
                configuration(),
                functions.scalar_functions.clone(),
                functions.aggregate_functions.clone(),
                functions.window_functions.clone(),
                functions.higher_order_functions.clone(),
                codec.clone(),
            )
        }));
        read.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
    }

    fn begin(&self, task: TaskDefinition) {
        let (abort, registration) = AbortHandle::new_pair();
        let status = TaskStatus {
            task_id: number(task.task_id),
            job_id: task.job_id.to_string(),
            stage_id: number(task.stage_id),
            stage_attempt_num: number(task.stage_attempt_num),
            launch_time: task.launch_time,
            start_exec_time: now_millis(),
            end_exec_time: 0,
            metrics: Vec::new(),
            status: None,
        };
        let running = Running {
            abort,
            status: status.clone(),
            told: false,
        };
        self.running().insert(key(&task), running);
        let tasks = self.clone();
        let threads = self.means.threads.clone();
        threads.spawn(async move { tasks.run(task, status, registration).await });
    }

    async fn run(&self, task: TaskDefinition, status: TaskStatus, registration: AbortRegistration) {
        let key = key(&task);
        tracing::info!(task = name(&key), "begins");
        let executed = AssertUnwindSafe(self.execute(task)).catch_unwind();
        let executed = match Abortable::new(executed, registration).await {
            Ok(Ok(executed)) => executed,
            Ok(Err(panic)) => Err(panicked(panic.as_ref())),
            Err(_) => Err(BallistaError::Cancelled),
        };
        let ended = match executed {
            Ok((stage, successful)) => succeeded(status, stage.as_ref(), successful),
            Err(error) => {
                tracing::warn!(task = name(&key), %error, "failed");
                failed(status, error)
            }
        };
        let told = self.running().get(&key).is_some_and(|task| task.told);
        if !told {
            self.tell(vec![ended]).await;
        }
        tracing::info!(task = name(&key), "ended");
        self.running().remove(&key);
        self.ended.notify_waiters();
    }

    async fn execute(
        &self,
        task: TaskDefinition,
    ) -> Result<(Arc<dyn QueryStageExecutor>, SuccessfulTask), BallistaError> {
        let means = &self.means;
        let folder = means.folder.display().to_string();
        let name = name(&key(&task));
        let stage = means.engine.create_query_stage_exec(
            task.job_id,
            task.stage_id,
            task.task_id,
            task.global_output_partition_ids,
            task.plan,
            &folder,
            &task.session_config,
        )?;
        let vcores = task.vcores_consumed.max(1) as usize;
        let pool = FairSpillPool::new(means.vcore_bytes.saturating_mul(vcores));
        let runtime = RuntimeEnvBuilder::from_runtime_env(&means.runtime)
            .with_memory_pool(Arc::new(pool))
            .build_arc()?;
        let functions = &task.function_registry;
        let context = TaskContext::new(
            Some(name),
            task.session_id,
            task.session_config,
            functions.scalar_functions.clone(),
            functions.higher_order_functions.clone(),
            functions.aggregate_functions.clone(),
            functions.window_functions.clone(),
            runtime,
        );
        let executed = stage.execute_query_stage(task.task_id, Arc::new(context));
        let partitions = executed.await?;
        let successful = SuccessfulTask {
            executor_id: means.id.clone(),
            partitions,
            runtime_stats: stage.collect_runtime_stats_reports(),
            window_state: stage.collect_window_state_reports()?,
            task_column_stats: stage.collect_column_stats(),
        };
        Ok((stage, successful))
    }
}

fn key(task: &TaskDefinition) -> TaskKey {
    TaskKey {
        job_id: task.job_id.clone(),
        stage_id: task.stage_id,
        task_id: task.task_id,
    }
}

fn name(key: &TaskKey) -> String {
    format!("{}/{}/{}", key.job_id, key.stage_id, key.task_id)
}

fn succeeded(
    status: TaskStatus,
    stage: &dyn QueryStageExecutor,
    successful: SuccessfulTask,
) -> TaskStatus {
    let metrics = stage.collect_plan_metrics().into_iter();
    let metrics = metrics.map(TryInto::try_into).collect::<Result<_, _>>();
    TaskStatus {
        end_exec_time: now_millis(),
        metrics: metrics.unwrap_or_default(),
        status: Some(task_status::Status::Successful(successful)),
        ..status
    }
}

fn failed(status: TaskStatus, error: BallistaError) -> TaskStatus {
    let words = failure_of(&error);
    let mut failed = FailedTask::from(error);
    if let (Some(FailedReason::ExecutionError(_)), Some(words)) = (&failed.failed_reason, words) {
        failed.error = words;
    }
    TaskStatus {
        end_exec_time: now_millis(),
        status: Some(task_status::Status::Failed(failed)),
        ..status
    }
}

/// These numbers came as such.
fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn panicked(panic: &(dyn Any + Send)) -> BallistaError {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
    BallistaError::Internal(format!("a panic: {}", said.unwrap_or("it said nothing")))
}

#[async_trait::async_trait]
impl ExecutorGrpc for Tasks {
    /// Our scheduler does not ask so.
    async fn launch_task(
        &self,
        _: Request<LaunchTaskParams>,
    ) -> Result<Response<LaunchTaskResult>, Status> {
        Err(Status::unimplemented(
            "tasks are launched with LaunchMultiTask",
        ))
    }

    async fn launch_multi_task(
        &self,
        request: Request<LaunchMultiTaskParams>,
    ) -> Result<Response<LaunchMultiTaskResult>, Status> {
        let mut failed_jobs = Vec::new();
        for tasks in request.into_inner().multi_tasks {
            let job = tasks.job_id.clone();
            match self.read(tasks) {
                Ok(tasks) => tasks.into_iter().for_each(|task| self.begin(task)),
                Err(error) => {
                    tracing::error!(job, %error, "tasks cannot be read");
                    failed_jobs.push(job);
                }
            }
        }
        Ok(Response::new(LaunchMultiTaskResult { failed_jobs }))
    }

    async fn cancel_tasks(
        &self,
        request: Request<CancelTasksParams>,
    ) -> Result<Response<CancelTasksResult>, Status> {
        for task in request.into_inner().task_infos {
            let key = TaskKey {
                job_id: task.job_id.into(),
                stage_id: task.stage_id as usize,
                task_id: task.task_id as usize,
            };
            if let Some(task) = self.running().get(&key) {
                task.abort.abort();
            }
        }
        Ok(Response::new(CancelTasksResult { cancelled: true }))
    }

    /// Sent to executors that were silent for long. One that hears it is alive, and its next heartbeat says so.
    async fn stop_executor(
        &self,
        request: Request<StopExecutorParams>,
    ) -> Result<Response<StopExecutorResult>, Status> {
        let reason = request.into_inner().reason;
        tracing::warn!(
            reason,
            "the scheduler took this executor for dead; it goes on"
        );
        Ok(Response::new(StopExecutorResult {}))
    }

    async fn remove_job_data(
        &self,
        request: Request<RemoveJobDataParams>,
    ) -> Result<Response<RemoveJobDataResult>, Status> {
        let RemoveJobDataParams {
            job_id,
            remove_stage_ids,
        } = request.into_inner();
        let removed = shuffled::remove(&self.means.folder, &job_id, &remove_stage_ids).await;
        removed.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Response::new(RemoveJobDataResult {}))
    }
}
