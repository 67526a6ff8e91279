//! Why runs do not let Ballista repeat anything: the state of a job that lost an executor, as Ballista 55 keeps it. These
//! tests describe a defect. When one fails, Ballista mended it, and docs/cluster.md should be thought over.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use ballista_core::JobId;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::task_status::Status;
use ballista_core::serde::protobuf::{ShuffleWritePartition, SuccessfulTask, TaskStatus};
use ballista_core::serde::scheduler::{
    ExecutorData, ExecutorMetadata, ExecutorOperatingSystemSpecification, ExecutorSpecification,
};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::cluster::{BoundTask, ClusterState};
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::planner::DefaultDistributedPlanner;
use ballista_scheduler::state::execution_graph::StaticExecutionGraph;
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::arrow::array::{Int32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::prelude::SessionConfig;

const PARTITIONS: usize = 2;

/// Rows of two partitions, dealt by hash to two more: a stage that shuffles and one that gives the result.
fn plan() -> anyhow::Result<Arc<dyn ExecutionPlan>> {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, false)]));
    let rows = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![Arc::new(Int32Array::from(vec![1, 2, 3]))],
    )?;
    let parts = vec![vec![rows]; PARTITIONS];
    let scan = MemorySourceConfig::try_new_exec(&parts, Arc::clone(&schema), None)?;
    let dealt = Partitioning::Hash(vec![col("x", &schema)?], PARTITIONS);
    Ok(Arc::new(RepartitionExec::try_new(scan, dealt)?))
}

fn executor(name: &str) -> ExecutorMetadata {
    ExecutorMetadata {
        id: String::from(name),
        host: String::from(name),
        port: 1,
        grpc_port: 2,
        specification: ExecutorSpecification { vcores: 1 },
        os_info: ExecutorOperatingSystemSpecification::default(),
    }
}

/// A job and who works on it, as the scheduler holds them.
struct Scene {
    job: JobInfoCache,
    id: JobId,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let id = JobId::new(String::from("job"));
        let config = SessionConfig::new_with_ballista()
            .with_ballista_adaptive_query_planner(false)
            .with_target_partitions(PARTITIONS);
        let graph = StaticExecutionGraph::new(
            "scheduler",
            &id,
            "",
            "session",
            plan()?,
            0,
            Arc::new(config),
            &mut DefaultDistributedPlanner::new(),
            None,
        )?;
        let mut job = JobInfoCache::new(Box::new(graph));
        job.status = Some(ballista_core::serde::protobuf::job_status::Status::Running(
            Default::default(),
        ));
        Ok(Self { job, id })
    }

    /// The next task goes to that executor.
    async fn give(&self, name: &str) -> anyhow::Result<BoundTask> {
        self.job.execution_graph.write().await.revive();
        let state = InMemoryClusterState::default();
        let executor = executor(name);
        let free = ExecutorData {
            executor_id: executor.id.clone(),
            total_vcores: 1,
            available_vcores: 1,
        };
        state.register_executor(executor, free).await?;
        let jobs = Arc::new(HashMap::from([(self.id.clone(), self.job.clone())]));
        let tasks = state
            .bind_schedulable_tasks(TaskDistributionPolicy::RoundRobin, jobs, None)
            .await?;
        tasks.into_iter().next().context("there is no task to give")
    }

    /// The task ended well.
    async fn end(&self, (name, task): BoundTask) -> anyhow::Result<()> {
        let parts = match task.key.stage_id {
            1 => (0..PARTITIONS as u64).collect(),
            _ => task
                .global_input_partition_ids
                .iter()
                .map(|part| *part as u64)
                .collect::<Vec<_>>(),
        };
        let partitions = parts.into_iter().map(|partition_id| ShuffleWritePartition {
            partition_id,
            num_batches: 1,
            num_rows: 3,
            num_bytes: 12,
            ..ShuffleWritePartition::default()
        });
        let status = TaskStatus {
            task_id: u32::try_from(task.key.task_id)?,
            job_id: task.key.job_id.clone().into(),
            stage_id: u32::try_from(task.key.stage_id)?,
            stage_attempt_num: u32::try_from(task.stage_attempt_num)?,
            status: Some(Status::Successful(SuccessfulTask {
                executor_id: name.clone(),
                partitions: partitions.collect(),
                ..SuccessfulTask::default()
            })),
            ..TaskStatus::default()
        };
        let mut graph = self.job.execution_graph.write().await;
        graph.update_task_status(&executor(&name), vec![status], 4, 4)?;
        Ok(())
    }
}

#[tokio::test]
async fn a_job_that_lost_an_executor_gives_the_rows_of_a_partition_twice() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    for name in ["lost", "left"] {
        let task = scene.give(name).await?;
        scene.end(task).await?;
    }
    // One partition of the result is there when the executor goes, whose shuffled rows the other one still needs.
    let first = scene.give("left").await?;
    scene.end(first).await?;
    scene
        .job
        .execution_graph
        .write()
        .await
        .reset_stages_on_lost_executor("lost")?;
    for _ in 0..10 {
        if scene.job.execution_graph.read().await.is_successful() {
            break;
        }
        let task = scene.give("left").await?;
        scene.end(task).await?;
    }
    let graph = scene.job.execution_graph.read().await;
    assert!(graph.is_successful());
    let mut parts: Vec<usize> = graph
        .output_locations()
        .iter()
        .map(|location| location.partition_id.partition_id)
        .collect();
    parts.sort_unstable();
    assert_eq!(parts, [0, 0, 1], "the job has two partitions");
    Ok(())
}
