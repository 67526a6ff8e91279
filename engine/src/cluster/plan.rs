//! The physical plan of a query for the cluster. Owns how its joins are executed: a build side that is small by the
//! memory of a vcore is sent to every task and nothing else travels; larger ones are dealt by hash with their probe side;
//! and where that would not fit, or did not, joins sort and merge, which spills.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::not_impl_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::functions_table::generate_series::GenericSeriesState;
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::session::cluster_state;
use super::workers::Workers;
use crate::budget::{JoinStrategy, ROW_BYTES};
use crate::session::SessionOptions;

/// A plan and the session that made it, whose settings travel with it.
#[derive(Debug)]
pub struct ClusterPlan {
    /// The session.
    pub state: SessionState,
    /// The plan.
    pub physical: Arc<dyn ExecutionPlan>,
    /// How its joins are executed.
    pub joins: JoinStrategy,
}

/// Plans a query for these workers.
///
/// # Errors
/// When a setting of the pipeline is wrong, or the query cannot be planned, or not for several processes: a `NOT IN` that
/// Ballista's rule leaves alone, as where its left side is volatile, compares with all of its subquery in one task, which
/// Ballista 55 does not keep together.
pub async fn cluster_plan(
    options: &SessionOptions,
    workers: &Workers,
    joins: JoinStrategy,
    query: &LogicalPlan,
) -> Result<ClusterPlan> {
    if loses_of_windows(query)? {
        return not_impl_err!(
            "executors are not told of FILTER and IGNORE NULLS of a window function, and would give other rows: write CASE \
             instead of FILTER, or run with --mode local"
        );
    }
    let mut plan = plan_with(options, workers, joins, query).await?;
    if joins == JoinStrategy::Hash && exceeds(plan.physical.as_ref(), workers.vcore_bytes / 2) {
        plan = plan_with(options, workers, JoinStrategy::SortMerge, query).await?;
    }
    checked(plan)
}

async fn plan_with(
    options: &SessionOptions,
    workers: &Workers,
    joins: JoinStrategy,
    query: &LogicalPlan,
) -> Result<ClusterPlan> {
    let state = cluster_state(options, workers, joins)?;
    let physical = state.create_physical_plan(query).await?;
    let physical = physical.transform_up(with_all_columns)?.data;
    Ok(ClusterPlan {
        state,
        physical,
        joins,
    })
}

/// A series of which only the number of rows is wanted, as a whole series without its column: DataFusion sends no projection
/// of a series, and executors would find a column that nobody announced.
fn with_all_columns(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(series) = node
        .downcast_ref::<LazyMemoryExec>()
        .filter(|series| series.schema().fields().is_empty())
    else {
        return Ok(Transformed::no(node));
    };
    let is_of_integers = series.generators().iter().all(|generator| {
        let generator = generator.read();
        generator.as_any().is::<GenericSeriesState<i64>>()
    });
    if !is_of_integers {
        return Ok(Transformed::no(node));
    }
    let column = Field::new("value", DataType::Int64, false);
    let whole = Arc::new(Schema::new(vec![column]));
    let series = LazyMemoryExec::try_new(whole, series.generators().clone())?;
    let none: [ProjectionExpr; 0] = [];
    let rows = ProjectionExec::try_new(none, Arc::new(series))?;
    Ok(Transformed::yes(Arc::new(rows)))
}

fn checked(plan: ClusterPlan) -> Result<ClusterPlan> {
    if any(plan.physical.as_ref(), &|node| {
        let join = node.downcast_ref::<HashJoinExec>();
        join.is_some_and(|join| join.null_aware)
    }) {
        return not_impl_err!(
            "this NOT IN with a subquery would give wrong rows on a cluster: write NOT EXISTS (SELECT * … WHERE y = x) if \
             NULL does not matter, or run with --mode local"
        );
    }
    if any(plan.physical.as_ref(), &|node| {
        node.downcast_ref::<RecursiveQueryExec>().is_some()
    }) {
        return not_impl_err!(
            "WITH RECURSIVE cannot be executed on a cluster: run with --mode local"
        );
    }
    Ok(plan)
}

/// Whether a window function of the query is more than its call: its filter, and that it ignores NULL unless it is an
/// aggregate, are what DataFusion 55 leaves out of a plan that is sent.
fn loses_of_windows(query: &LogicalPlan) -> Result<bool> {
    let mut loses = false;
    query.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            loses |= expression.exists(|part| {
                let Expr::WindowFunction(window) = part else {
                    return Ok(false);
                };
                let ignores_null = window.params.null_treatment == Some(NullTreatment::IgnoreNulls);
                let is_aggregate = matches!(window.fun, WindowFunctionDefinition::AggregateUDF(_));
                Ok(window.params.filter.is_some() || ignores_null && !is_aggregate)
            })?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(loses)
}

/// Whether a partition of some build side is estimated to have more than `limit` bytes.
fn exceeds(plan: &dyn ExecutionPlan, limit: usize) -> bool {
    any(plan, &|node| {
        let Some(join) = node.downcast_ref::<HashJoinExec>() else {
            return false;
        };
        let parts = join.left().output_partitioning().partition_count().max(1);
        *join.partition_mode() == PartitionMode::Partitioned
            && estimated_bytes(join.left().as_ref()).is_some_and(|bytes| bytes / parts > limit)
    })
}

/// Whether that is so of any operator of the plan.
fn any(plan: &dyn ExecutionPlan, is: &dyn Fn(&dyn ExecutionPlan) -> bool) -> bool {
    let mut inputs = plan.children().into_iter();
    is(plan) || inputs.any(|input| any(input.as_ref(), is))
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use datafusion::physical_plan::displayable;

    use super::*;
    use crate::budget::Budget;
    use crate::session::session;

    fn options_in(spill_dir: &Path) -> SessionOptions {
        SessionOptions::new(Budget::new(1 << 30, 2, 8192), spill_dir)
    }

    async fn planned(query: &str, workers: Workers, settings: &[(&str, &str)]) -> Result<String> {
        let spill_dir = tempfile::tempdir().unwrap();
        let here = options_in(spill_dir.path());
        let query = session(&here)?.sql(query).await?.into_unoptimized_plan();
        let options = SessionOptions {
            settings: settings
                .iter()
                .map(|(key, value)| (String::from(*key), String::from(*value)))
                .collect(),
            ..here
        };
        let plan = cluster_plan(&options, &workers, workers.join_strategy(), &query).await?;
        Ok(displayable(plan.physical.as_ref())
            .indent(false)
            .to_string())
    }

    #[tokio::test]
    async fn not_in_is_an_anti_join_that_several_tasks_can_execute() {
        let query = "SELECT x FROM (VALUES (1), (NULL)) a(x) WHERE x NOT IN (SELECT y FROM (VALUES (2), (NULL)) b(y))";
        let workers = Workers::new(&[(2, 1 << 30); 2]);
        let plan = planned(query, workers, &[]).await.unwrap();
        assert!(
            plan.contains("Anti") && !plan.contains("null_aware"),
            "{plan}"
        );
        let rule = ("ballista.optimizer.not_in_subquery_rewrite", "false");
        let refused = planned(query, workers, &[rule]).await.unwrap_err();
        assert!(refused.to_string().contains("NOT EXISTS"), "{refused}");
    }

    #[tokio::test]
    async fn what_executors_would_read_wrongly_is_refused_with_a_way_out() {
        let workers = Workers::new(&[(2, 1 << 30); 2]);
        let recursive = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r";
        let refused = planned(recursive, workers, &[]).await.unwrap_err();
        assert!(refused.to_string().contains("--mode local"), "{refused}");

        for window in [
            "first_value(x) IGNORE NULLS OVER (ORDER BY x DESC)",
            "sum(x) FILTER (WHERE x > 1) OVER (ORDER BY x)",
        ] {
            let within = format!(
                "SELECT * FROM (VALUES (1), (2)) a(x) WHERE x IN (SELECT {window} FROM (VALUES (1)) b(x))"
            );
            let refused = planned(&within, workers, &[]).await.unwrap_err();
            assert!(refused.to_string().contains("FILTER"), "{refused}");
        }
    }

    #[tokio::test]
    async fn joins_are_chosen_by_the_memory_of_a_vcore() {
        let query = "SELECT * FROM (VALUES (1)) a(x) JOIN (VALUES (1)) b(y) ON x = y";
        let ample = Workers::new(&[(2, 4 << 30); 2]);
        let plan = planned(query, ample, &[]).await.unwrap();
        assert!(plan.contains("HashJoinExec: mode=CollectLeft"), "{plan}");
        let scarce = Workers::new(&[(8, 512 << 20)]);
        let plan = planned(query, scarce, &[]).await.unwrap();
        assert!(plan.contains("SortMergeJoin"), "{plan}");
    }
}
