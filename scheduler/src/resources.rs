//! Which executors may be given tasks, and how many: counted from the tasks that run, at every decision.
//!
//! Ballista's own bookkeeping counts up and down with each task and loses count when an executor dies while a job runs:
//! the vcores of the survivors stay taken, and later jobs wait for ever (docs/cluster.md). Here nothing is kept that could
//! be wrong. An executor must also have given a sign of life of late, and answer now, or it gets nothing.
//!
//! Registration, heartbeats and the order in which tasks are dealt are Ballista's.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::ExecutorHeartbeat;
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::cluster::{BoundTask, ClusterState, ClusterStateEventStream, ExecutorSlot};
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::state::task_manager::JobInfoCache;
use engine::cluster::probe;
use futures::future::join_all;
use tokio::time::Instant;

/// An executor whose last heartbeat is older gets no tasks.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(6);
/// An executor that does not accept a connection within this time gets no tasks.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The state of the cluster's executors.
#[derive(Default)]
pub(crate) struct Resources {
    registered: InMemoryClusterState,
    /// When each executor was last heard of, by this process's clock.
    heard: Mutex<HashMap<String, Instant>>,
    /// Two decisions at once would give the same vcore away twice.
    deciding: tokio::sync::Mutex<()>,
}

impl Resources {
    fn heard(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, executor: &str) {
        self.heard().insert(String::from(executor), Instant::now());
    }

    /// Executors that are alive, as far as can be told from here. If none answers, it may be this process that cannot
    /// reach them; then heartbeats decide alone, because nothing would ask again.
    async fn alive(&self) -> Vec<ExecutorMetadata> {
        let mut registered = self.registered.registered_executor_metadata().await;
        registered.retain(|executor| {
            self.heard()
                .get(&executor.id)
                .is_some_and(|heard| heard.elapsed() < HEARTBEAT_TIMEOUT)
        });
        let answers = join_all(registered.iter().map(async |executor| {
            let answered = probe(&executor.host, executor.grpc_port, CONNECT_TIMEOUT);
            answered.await.is_ok()
        }))
        .await;
        if !answers.contains(&true) {
            return registered;
        }
        let answered = registered.into_iter().zip(answers);
        answered
            .filter_map(|(executor, answers)| answers.then_some(executor))
            .collect()
    }
}

/// The vcores that running tasks hold, by executor.
pub(crate) async fn held(jobs: &HashMap<JobId, JobInfoCache>) -> HashMap<String, u32> {
    let mut held: HashMap<String, u32> = HashMap::new();
    for job in jobs.values() {
        let graph = job.execution_graph.read().await;
        for task in graph.running_tasks() {
            let vcores = graph.task_vcores(task.stage_id, task.task_id).unwrap_or(1);
            *held.entry(task.executor_id).or_default() += vcores;
        }
    }
    held
}

#[async_trait]
impl ClusterState for Resources {
    async fn bind_schedulable_tasks(
        &self,
        distribution: TaskDistributionPolicy,
        active_jobs: Arc<HashMap<JobId, JobInfoCache>>,
        executors: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        let _deciding = self.deciding.lock().await;
        let held = held(&active_jobs).await;
        // Ballista deals tasks to the free vcores of a state; this one has those of this moment and is then forgotten.
        let now = InMemoryClusterState::default();
        for executor in self.alive().await {
            if executors
                .as_ref()
                .is_some_and(|executors| !executors.contains(&executor.id))
            {
                continue;
            }
            let vcores = executor.specification.vcores;
            let free = ExecutorData {
                executor_id: executor.id.clone(),
                total_vcores: vcores,
                available_vcores: vcores
                    .saturating_sub(held.get(&executor.id).copied().unwrap_or_default()),
            };
            now.register_executor(executor, free).await?;
        }
        now.bind_schedulable_tasks(distribution, active_jobs, None)
            .await
    }

    /// Nothing is held but by tasks that run.
    async fn unbind_tasks(&self, _: Vec<ExecutorSlot>) -> Result<()> {
        Ok(())
    }

    async fn register_executor(
        &self,
        executor: ExecutorMetadata,
        free: ExecutorData,
    ) -> Result<()> {
        self.hear(&executor.id);
        self.registered.register_executor(executor, free).await
    }

    async fn save_executor_metadata(&self, executor: ExecutorMetadata) -> Result<()> {
        self.hear(&executor.id);
        self.registered.save_executor_metadata(executor).await
    }

    async fn get_executor_metadata(&self, executor: &str) -> Result<ExecutorMetadata> {
        self.registered.get_executor_metadata(executor).await
    }

    async fn registered_executor_metadata(&self) -> Vec<ExecutorMetadata> {
        self.registered.registered_executor_metadata().await
    }

    async fn save_executor_heartbeat(&self, heartbeat: ExecutorHeartbeat) -> Result<()> {
        self.hear(&heartbeat.executor_id);
        self.registered.save_executor_heartbeat(heartbeat).await
    }

    async fn remove_executor(&self, executor: &str) -> Result<()> {
        self.heard().remove(executor);
        self.registered.remove_executor(executor).await
    }

    fn executor_heartbeats(&self) -> HashMap<String, ExecutorHeartbeat> {
        self.registered.executor_heartbeats()
    }

    fn get_executor_heartbeat(&self, executor: &str) -> Option<ExecutorHeartbeat> {
        self.registered.get_executor_heartbeat(executor)
    }

    async fn cluster_state_events(&self) -> Result<ClusterStateEventStream> {
        self.registered.cluster_state_events().await
    }
}
