//! The physical plan of a query for the cluster. Owns how its joins are executed: a build side that is small by the
//! memory of a vcore is sent to every task and nothing else travels; larger ones are dealt by hash with their probe side;
//! and where that would not fit, or did not, joins sort and merge, which spills.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::session::cluster_state;
use crate::budget::{Budget, JoinStrategy, ROW_BYTES};
use crate::session::SessionOptions;

/// The executors that will work on a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Processes.
    pub executors: usize,
    /// Partitions that they work on at once, together.
    pub vcores: usize,
    /// What a task may reserve for each of its vcores, bytes.
    pub vcore_bytes: usize,
}

impl Workers {
    /// Executors with so many vcores each, all of which were given the same memory.
    pub fn new(vcores: &[usize], executor_memory: usize) -> Self {
        let most = vcores.iter().copied().max().unwrap_or(1).max(1);
        Self {
            executors: vcores.len(),
            vcores: vcores.iter().sum(),
            vcore_bytes: Budget::new(executor_memory, 1, 1).pool_bytes() / most,
        }
    }

    /// How joins are tried first.
    pub fn join_strategy(&self) -> JoinStrategy {
        Budget::strategy(self.vcore_bytes)
    }
}

/// A plan and the session that made it, whose settings travel with it.
#[derive(Debug)]
pub struct ClusterPlan {
    /// The session.
    pub state: SessionState,
    /// The plan.
    pub physical: Arc<dyn ExecutionPlan>,
}

/// Plans a query for these workers.
///
/// # Errors
/// When a setting of the pipeline is wrong, or the query cannot be planned.
pub async fn cluster_plan(
    options: &SessionOptions,
    workers: &Workers,
    joins: JoinStrategy,
    query: &LogicalPlan,
) -> Result<ClusterPlan> {
    let state = cluster_state(options, workers, joins)?;
    let physical = state.create_physical_plan(query).await?;
    if joins == JoinStrategy::Hash && exceeds(physical.as_ref(), workers.vcore_bytes / 2) {
        let state = cluster_state(options, workers, JoinStrategy::SortMerge)?;
        let physical = state.create_physical_plan(query).await?;
        return Ok(ClusterPlan { state, physical });
    }
    Ok(ClusterPlan { state, physical })
}

/// Whether a partition of some build side is estimated to have more than `limit` bytes.
fn exceeds(plan: &dyn ExecutionPlan, limit: usize) -> bool {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && *join.partition_mode() == PartitionMode::Partitioned
        && let Some(bytes) = estimated_bytes(join.left().as_ref())
        && bytes / join.left().output_partitioning().partition_count().max(1) > limit
    {
        return true;
    }
    let mut inputs = plan.children().into_iter();
    inputs.any(|input| exceeds(input.as_ref(), limit))
}

/// The size of all rows of a plan, as far as it can be told.
fn estimated_bytes(plan: &dyn ExecutionPlan) -> Option<usize> {
    let statistics = StatisticsContext::new()
        .compute(plan, &StatisticsArgs::new())
        .ok()?;
    let bytes = statistics.total_byte_size.get_value().copied();
    let rows = statistics.num_rows.get_value().copied();
    bytes.or_else(|| Some(rows?.saturating_mul(ROW_BYTES)))
}
