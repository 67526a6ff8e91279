//! How much work there is and who can do it: the numbers by which a pool of executors is scaled and a cluster is watched.

use std::fmt::Write;

use ballista_core::error::Result;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use serde::Serialize;

use crate::resources::held;

/// Ballista's scheduler with our plans.
pub(crate) type Scheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// The scheduler's numbers at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    /// Executors that are registered.
    pub(crate) executors: u64,
    /// Their vcores.
    pub(crate) vcores: u64,
    /// Those of them that no task holds.
    pub(crate) vcores_free: u64,
    /// Vcores that would have work now: held ones, and one for each partition that waits.
    pub(crate) vcores_wanted: u64,
    /// Jobs that wait for their plan.
    pub(crate) jobs_pending: u64,
    /// Jobs at work.
    pub(crate) jobs_running: u64,
    /// Partitions that could be worked on and are not.
    pub(crate) tasks_pending: u64,
    /// Tasks at work, each of one or more partitions.
    pub(crate) tasks_running: u64,
}

/// Counts.
///
/// # Errors
/// When the state of the executors cannot be read.
pub(crate) async fn load(scheduler: &Scheduler) -> Result<Load> {
    let tasks = &scheduler.state.task_manager;
    let jobs = tasks.get_running_job_cache();
    let mut load = Load {
        jobs_pending: tasks.pending_job_number() as u64,
        jobs_running: jobs.len() as u64,
        ..Load::default()
    };
    for (executor, ..) in scheduler
        .state
        .executor_manager
        .get_executors_state()
        .await?
    {
        load.executors += 1;
        load.vcores += u64::from(executor.specification.vcores);
    }
    for job in jobs.values() {
        let graph = job.execution_graph.read().await;
        load.tasks_pending += graph.available_tasks() as u64;
        load.tasks_running += graph.running_tasks().len() as u64;
    }
    let held: u64 = held(&jobs).await.into_values().map(u64::from).sum();
    load.vcores_free = load.vcores.saturating_sub(held);
    load.vcores_wanted = held + load.tasks_pending;
    Ok(load)
}

impl Load {
    /// The numbers as Prometheus reads them (text exposition format 0.0.4).
    pub(crate) fn exposition(&self) -> String {
        let gauges = [
            (
                "executors",
                "Executors that are registered.",
                self.executors,
            ),
            ("vcores", "Vcores of the executors.", self.vcores),
            (
                "vcores_free",
                "Vcores that no task holds.",
                self.vcores_free,
            ),
            (
                "vcores_wanted",
                "Vcores that would have work now.",
                self.vcores_wanted,
            ),
            (
                "jobs_pending",
                "Jobs that wait for their plan.",
                self.jobs_pending,
            ),
            ("jobs_running", "Jobs at work.", self.jobs_running),
            (
                "tasks_pending",
                "Partitions that could be worked on and are not.",
                self.tasks_pending,
            ),
            ("tasks_running", "Tasks at work.", self.tasks_running),
        ];
        let mut text = String::new();
        for (name, help, value) in gauges {
            let name = format!("spillway_scheduler_{name}");
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_gauge_of_its_name() {
        let load = Load {
            tasks_pending: 7,
            ..Load::default()
        };
        let text = load.exposition();
        let fields = serde_json::to_value(load).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            let line = format!("\nspillway_scheduler_{name} {value}\n");
            assert!(text.contains(&line), "{name}: {text}");
        }
    }
}
